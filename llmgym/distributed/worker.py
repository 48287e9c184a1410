"""A worker: a collector whose tasks are granted by the driver, and whose episodes the driver fetches."""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import platform
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Any

import gymnasium

import llmgym
from llmgym import errors
from llmgym.distributed.cluster import enter
from llmgym.distributed.outbox import Outbox
from llmgym.distributed.wire import Delivery, Grant, Hello, Refusal, decode, encode
from llmgym.errors import LLMGymError
from llmgym.loading import described
from llmgym.policies.server import ServerPolicy
from llmgym.rollout.collector import Collector, Running
from llmgym.rollout.config import RolloutConfig
from llmgym.rollout.groups import Group
from llmgym.rollout.instances import TaskSource
from llmgym.rollout.order import Visit
from llmgym.tasks import Task

_log = logging.getLogger("llmgym.distributed")
_BATCH = 64  # episodes that are worth a reply at once
_LINGER_S = 0.25  # that others may wait for more to come
_BEAT_S = 2.0  # between two replies, by which the driver knows that the worker lives


@dataclass(frozen=True, slots=True)
class Setup:
    """What a worker is made of; sent as bytes, so that a worker can say what of it is missing on its machine.

    Attributes:
        arguments: Of the collector.
        specs: What Gymnasium knows of the environments.
        folder: Where the run was started.
        served: What the policy is given besides the addresses, where the run has engines of its own.
    """

    arguments: dict[str, Any]
    specs: list[Any]
    folder: str
    served: dict[str, Any] | None = None


class Worker:
    """The actor. Each call answers within seconds, whatever the episodes do; only `ready` may take longer."""

    def __init__(self, setup: bytes) -> None:
        """Keep what the collector is made of."""
        self._setup = setup
        self._running: asyncio.Task[None] | None = None
        self._collector: LeasedCollector | None = None
        self._served: ServerPolicy | None = None

    async def ready(self, engines: list[str]) -> bytes:
        """Load everything, and say so."""
        try:
            setup: Setup = pickle.loads(self._setup)
            enter(setup.folder)
            for spec in setup.specs:
                gymnasium.registry.setdefault(spec.id, spec)
            arguments = setup.arguments
            if setup.served is not None:
                self._served = ServerPolicy(engines, **setup.served)
                arguments = {**arguments, "policy": self._served, "policy_options": {}}
            collector = self._collector = LeasedCollector(arguments)
            self._running = asyncio.create_task(collector.serve())
            await asyncio.wait({self._running, collector.outbox.identity}, return_when=asyncio.FIRST_COMPLETED)
            if self._running.done():
                self._running.result()
            identity, refusal = collector.outbox.identity.result(), None
        except Exception as error:  # noqa: BLE001 -- whatever it is, the driver is told
            identity, refusal = {}, refusal_of(error)
        return encode(Hello(llmgym.__version__, platform.node(), os.getpid(), identity, refusal))

    async def work(self, grants: bytes, engines: list[str]) -> tuple[bytes, bytes]:
        """Take tasks, and give what there is, once there is something."""
        collector, running = self._collector, self._running
        assert collector is not None
        assert running is not None
        if self._served is not None:
            self._served.move(engines)
        collector.feed.add(decode(grants, list[Grant]))
        outbox = collector.outbox
        await _either(running, outbox.news.wait(), _BEAT_S)
        if outbox.size < _BATCH and not collector.feed.is_empty:
            await _either(running, collector.wait_for_batch(_BATCH), _LINGER_S)
        return self._give(running, collector)

    async def stop(self) -> tuple[bytes, bytes]:
        """End all episodes, and give those that had ended."""
        collector, running = self._collector, self._running
        if collector is None or running is None:  # it is not ready yet
            return encode(Delivery([], [])), b""
        running.cancel()
        with suppress(asyncio.CancelledError, Exception):  # what ended it was told by `work`
            await running
        return self._give(running, collector)

    def _give(self, running: asyncio.Task[None], collector: LeasedCollector) -> tuple[bytes, bytes]:
        found, lines = collector.outbox.fetch()
        error = running.exception() if running.done() and not running.cancelled() else None
        refusal = None if error is None else refusal_of(error)
        return encode(Delivery(found.episodes, found.whole, found.scored, collector.progress.live, refusal)), lines


async def _either(running: asyncio.Task[None], what: Any, seconds: float) -> None:
    """Wait for one of two things, but not for long."""
    waiting = asyncio.ensure_future(what)
    await asyncio.wait({running, waiting}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()


def refusal_of(error: BaseException) -> Refusal:
    """An error as data; the worker's log has it whole."""
    _log.error("the worker cannot go on", exc_info=error)
    known = ("ConfigError", "TaskError", "PolicyUnavailable", "PolicyError", "StoreError", "EnvironmentFailure")
    kind = next((cls.__name__ for cls in type(error).__mro__ if cls.__name__ in known), "LLMGymError")
    text = str(error) if isinstance(error, LLMGymError) else described(error)
    return Refusal(kind, text)


def error_of(refusal: Refusal, node: str) -> LLMGymError:
    """The error again, with where it happened."""
    cls: type[LLMGymError] = getattr(errors, refusal.kind)
    return cls(f"{refusal.text} (on {node})")


@dataclass(slots=True)
class Feed:
    """The order of a worker's tasks: that in which they are granted."""

    outbox: Outbox
    _granted: asyncio.Queue[Grant] = field(default_factory=asyncio.Queue)

    def add(self, grants: Sequence[Grant]) -> None:
        """Add tasks."""
        for grant in grants:
            self._granted.put_nowait(grant)

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits to be begun."""
        return self._granted.empty()

    def size(self, sources: Sequence[TaskSource], config: RolloutConfig) -> None:
        """No end."""

    def identity(self, config: RolloutConfig) -> dict[str, Any]:
        """The driver knows it."""
        return {}

    def observe(self, group: Group, config: RolloutConfig) -> None:
        """Makes no difference."""

    async def visits(self, sources: Sequence[TaskSource], config: RolloutConfig) -> AsyncIterator[Visit]:
        """See `TaskOrder`."""
        while True:
            grant = await self._granted.get()
            source = sources[grant.env]
            granted = GrantedSource(
                source.id, source.scope, source.tasks, source.agents, grant=grant, outbox=self.outbox
            )
            yield granted, grant.index, grant.before


@dataclass(frozen=True, slots=True)
class GrantedSource(TaskSource):
    """Tells the outbox for which grant a task was made."""

    grant: Grant = field(kw_only=True)
    outbox: Outbox = field(kw_only=True)

    def plan(self, split: str, seed: int, index: int) -> Task:
        """See `TaskSource.plan`."""
        task = TaskSource.plan(self, split, seed, index)
        self.outbox.open(self.id, task.id, self.grant)
        return task


class LeasedCollector(Collector):
    """A collector that stores into an outbox."""

    def __init__(self, arguments: dict[str, Any]) -> None:
        """Configure it."""
        super().__init__(**arguments)
        self.outbox = Outbox(self.config.groups.num_started)
        self.feed = Feed(self.outbox)

    async def serve(self) -> None:
        """Run what is granted, for ever."""
        async with aclosing(self.stream(self.feed)) as groups:
            async for group in groups:
                self.outbox.end(group.trajectories[0])

    async def wait_for_batch(self, size: int) -> None:
        """Wait for so many episodes, or until more tasks are needed."""
        while self.outbox.size < size and not self.feed.is_empty:
            self.outbox.news.clear()
            await self.outbox.news.wait()

    def _open(self, identity: dict[str, Any]) -> Any:
        return self.outbox

    def _conclude(self, session: Running, store: Any) -> None:
        """The driver does that."""
