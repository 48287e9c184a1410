"""Waits that are nobody's fault: deadlines of whoever waits stand still meanwhile.

A request that waits for its turn says nothing about how fast the one who will answer it is. Who has deadlines offers a
watch; who makes others wait holds the watches of the context.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol


class Watch(Protocol):
    """What measures a deadline."""

    def hold(self) -> None:
        """Stand still; several may ask for it at once."""
        ...

    def release(self) -> None:
        """One of them has waited long enough."""
        ...


_watch: ContextVar[Watch | None] = ContextVar("watch", default=None)


class Clock:
    """The time that work has: a watch, and so are those around it, as what waits for others makes all of it wait."""

    def __init__(self, seconds: float, ring: Callable[[], object]) -> None:
        """Make it, of the event loop that runs.

        Args:
            seconds: The time.
            ring: Called once it is over.
        """
        self._loop = asyncio.get_running_loop()
        self._around = _watch.get()
        self._left, self._ring = seconds, ring
        self._timer: asyncio.TimerHandle | None = None
        self._holds = 0

    def wear(self) -> None:
        """Be the watch of this context, for good."""
        _watch.set(self)

    def start(self) -> None:
        """Begin, or go on."""
        if not self._holds and self._timer is None:
            self._timer = self._loop.call_later(self._left, self._ring)

    def stop(self) -> None:
        """End, or stand still."""
        if self._timer is not None:
            self._left = self._timer.when() - self._loop.time()
            self._timer.cancel()
            self._timer = None

    async def rest(self, task: asyncio.Task[Any]) -> None:
        """Wait for a task, and no longer than the time lasts; what was called at its end is called no more."""
        over = self._loop.create_future()
        self.stop()
        self._ring = lambda: over.done() or over.set_result(None)
        self.start()
        await asyncio.wait({task, over}, return_when=asyncio.FIRST_COMPLETED)

    def hold(self) -> None:
        """Stand still; of no effect in another event loop, which timers must not be touched from."""
        if asyncio.get_running_loop() is not self._loop:
            return
        self._holds += 1
        self.stop()
        if self._around is not None:
            self._around.hold()

    def release(self) -> None:
        """Go on, unless something else holds it."""
        if asyncio.get_running_loop() is not self._loop:
            return
        self._holds -= 1
        self.start()
        if self._around is not None:
            self._around.release()


@contextmanager
def watched(watch: Watch) -> Generator[None]:
    """Let waits in this block hold a watch."""
    token = _watch.set(watch)
    try:
        yield
    finally:
        _watch.reset(token)


@contextmanager
def held() -> Generator[None]:
    """Wait in this block: it counts against no deadline that is watched."""
    watch = _watch.get()
    if watch is not None:
        watch.hold()
    try:
        yield
    finally:
        if watch is not None:
            watch.release()
