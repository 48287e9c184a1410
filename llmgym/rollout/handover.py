"""Groups on their way from those who run them to the one who reads them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from typing import Any

from llmgym.rollout.config import RolloutConfig
from llmgym.rollout.groups import Group
from llmgym.rollout.order import TaskOrder


class Handover:
    """Holds whole groups until they are read, and no more than a number of them."""

    def __init__(self, unread: int) -> None:
        """Begin with none.

        Args:
            unread: Groups that may wait for the reader before those who run others wait, too.
        """
        # The semaphore bounds them, and not the queue, so that there is always room for the None that ends it.
        self._ready: asyncio.Queue[Group | None] = asyncio.Queue()
        self._room = asyncio.Semaphore(max(1, unread))

    async def give(self, group: Group, order: TaskOrder, config: RolloutConfig) -> None:
        """Pass a group on, once there is room for it; the order of its run sees it first."""
        await self._room.acquire()
        if group.trainable:
            order.observe(group, config)
        self._ready.put_nowait(group)

    def end(self) -> None:
        """Say that no more groups come."""
        self._ready.put_nowait(None)

    async def groups(self, work: Coroutine[Any, Any, None]) -> AsyncGenerator[Group]:
        """Give the groups of some work, which `end`s them; it is over when this is."""
        task = asyncio.create_task(work)
        try:
            while (group := await self._ready.get()) is not None:
                self._room.release()
                yield group
            await task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
