"""A place for a worker: its actor, and another one when that is lost."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import llmgym
from llmgym.distributed.cluster import ClusterError
from llmgym.distributed.wire import Delivery, Grant, Hello, decode, encode
from llmgym.distributed.worker import Worker, error_of
from llmgym.errors import ConfigError

_log = logging.getLogger("llmgym.distributed")
_START_S = 1800.0  # for a worker to load its policy, and for the cluster to find a place for it
_SAY_S = 60.0  # between two lines about a worker that is not ready
_STOP_S = 5.0
_PAUSES_S = (0.0, 1.0, 5.0, 15.0, 30.0)  # before each try to start a worker


class Lost(Exception):
    """A worker has died, or is silent."""


class Hand:
    """A worker, whichever actor it is at present.

    Attributes:
        place: Its number.
        node: Where it runs.
        pid: Its process.
        live: Episodes that it runs.
    """

    def __init__(self, ray: Any, place: int, setup: Any, patience: float) -> None:
        """Name it; nothing is started.

        Args:
            ray: Ray, which has a cluster.
            place: Its number.
            setup: What a worker is made of, as Ray keeps it.
            patience: Seconds without a word after which it counts as lost.
        """
        self.place, self.node, self.pid, self.live = place, "", 0, 0
        self._ray, self._setup, self._patience = ray, setup, patience
        # Ray repeats nothing: it would run episodes twice, and hand out what had arrived before.
        self._class = ray.remote(num_cpus=1, max_restarts=0, max_task_retries=0, scheduling_strategy="SPREAD")(Worker)
        self._actor: Any = None

    async def up(self) -> Hello:
        """Start a worker in the place of the one that was there, and wait until it can take tasks.

        Raises:
            ClusterError: It was lost again and again.
            LLMGymError: It refuses to run, which another one would, too.
        """
        why = ""
        for pause in _PAUSES_S:
            await asyncio.sleep(pause)
            try:
                return await self._start()
            except Lost as error:
                why = str(error)
                _log.warning("worker %d was lost before it was ready: %s", self.place, why)
        raise ClusterError(
            f"worker {self.place} was lost {len(_PAUSES_S)} times before it was ready: {why}; Ray keeps its log on its "
            "machine, in /tmp/ray/session_latest/logs"
        )

    async def _start(self) -> Hello:
        self.kill()
        self._actor = self._class.remote(self._setup)
        told = asyncio.create_task(self._tell())
        try:
            hello = decode(await self._answer(self._actor.ready.remote(), _START_S), Hello)
        finally:
            told.cancel()
        self.node, self.pid = hello.node, hello.pid
        if hello.refusal is not None:
            raise error_of(hello.refusal, hello.node)
        if hello.version != llmgym.__version__:
            raise ConfigError(
                f"{hello.node} has llmgym {hello.version}, this machine {llmgym.__version__}: install the same on all"
            )
        return hello

    async def _tell(self) -> None:
        while True:
            await asyncio.sleep(_SAY_S)
            free = self._ray.available_resources().get("CPU", 0)
            _log.warning("worker %d is not ready yet; the cluster has %d processors free", self.place, free)

    async def work(self, grants: Sequence[Grant]) -> tuple[Delivery, bytes]:
        """Give a worker tasks, and get what has ended.

        Raises:
            Lost: It has died, or is silent.
            LLMGymError: It cannot go on, and another one could not, either.
        """
        told, lines = await self._answer(self._actor.work.remote(encode(grants)), self._patience)
        delivery = decode(told, Delivery)
        self.live = delivery.live
        return delivery, lines

    async def stop(self) -> tuple[Delivery, bytes] | None:
        """End all that it runs, and get what had ended; None where it does not answer."""
        if self._actor is None:
            return None
        try:
            told, lines = await self._answer(self._actor.stop.remote(), _STOP_S)
        except (Lost, ClusterError):
            return None
        return decode(told, Delivery), lines

    async def _answer(self, ref: Any, seconds: float) -> Any:
        from ray.exceptions import RayError, RayTaskError

        try:
            async with asyncio.timeout(seconds):
                return await ref
        except TimeoutError:
            raise Lost(f"no word for {seconds:.0f} s") from None
        except RayTaskError:
            raise
        except RayError as error:
            raise Lost(str(error).strip().partition("\n")[0]) from error

    def kill(self) -> None:
        """End its process, if there is one."""
        actor, self._actor = self._actor, None
        self.live = 0
        if actor is not None:
            self._ray.kill(actor)
