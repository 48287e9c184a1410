"""A place for a worker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import llmgym
from llmgym.distributed.engines import EnginePlace, first_answers
from llmgym.distributed.places import START_S, Lost, Place
from llmgym.distributed.wire import Delivery, Grant, Hello, decode, encode
from llmgym.distributed.worker import Worker, error_of
from llmgym.errors import ConfigError, PolicyUnavailable

_STOP_S = 5.0


class Hand(Place[Hello]):
    """A worker, whichever actor it is at present.

    Attributes:
        pid: Its process.
        live: Episodes that it runs.
    """

    kind = "worker"

    def __init__(self, ray: Any, number: int, setup: Any, patience: float, engines: Sequence[EnginePlace]) -> None:
        """Name it; nothing is started.

        Args:
            ray: Ray, which has a cluster.
            number: Its number.
            setup: What a worker is made of, as Ray keeps it.
            patience: Seconds without a word after which it counts as lost.
            engines: What it samples from, where the run has engines of its own.
        """
        super().__init__(ray, number, patience)
        self.pid, self.live = 0, 0
        self._setup, self._engines = setup, engines
        # Ray repeats nothing: it would run episodes twice, and hand out what had arrived before.
        self._class = ray.remote(num_cpus=1, max_restarts=0, max_task_retries=0, scheduling_strategy="SPREAD")(Worker)

    async def _start(self) -> Hello:
        if self._engines:
            await first_answers(self._engines)
        self._actor = self._class.remote(self._setup)
        hello = decode(await self._answer(self._actor.ready.remote(self._addresses), 2 * START_S), Hello)
        again, self.node, self.pid = bool(self.pid), hello.node, hello.pid
        if hello.refusal is not None:
            if hello.refusal.kind == PolicyUnavailable.__name__ and (again or self._engines):
                raise Lost(hello.refusal.text)  # what was there may come back
            raise error_of(hello.refusal, hello.node)
        if hello.version != llmgym.__version__:
            raise ConfigError(
                f"{hello.node} has llmgym {hello.version}, this machine {llmgym.__version__}: install the same on all"
            )
        return hello

    @property
    def _addresses(self) -> list[str]:
        return [engine.address for engine in self._engines]

    async def work(self, grants: Sequence[Grant]) -> tuple[Delivery, bytes]:
        """Give a worker tasks, and get what has ended.

        Raises:
            Lost: It has died, or is silent.
            LLMGymError: It cannot go on, and another one could not, either.
        """
        working = self._actor.work.remote(encode(grants), self._addresses)
        told, lines = await self._answer(working, self._patience)
        delivery = decode(told, Delivery)
        self.live = delivery.live
        return delivery, lines

    async def stop(self) -> tuple[Delivery, bytes] | None:
        """End all that it runs, and get what had ended; None where it does not answer."""
        if self._actor is None:
            return None
        try:
            told, lines = await self._answer(self._actor.stop.remote(), _STOP_S)
        except Lost:
            return None
        return decode(told, Delivery), lines

    def kill(self) -> None:
        """End its process, if there is one."""
        super().kill()
        self.live = 0
