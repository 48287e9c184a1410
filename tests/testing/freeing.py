"""Environments that open something, and free it well or badly."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

from llmgym.env import Episode
from llmgym.rewards import Reward
from llmgym.tasks import Task
from tests.environments import Adder


class Held(Adder):
    """Opens something in each episode, and something for all of them."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.opened: set[str] = set()

    def setup(self, task: Task) -> None:
        super().setup(task)
        self.opened.add("episode")

    def teardown(self) -> None:
        self.opened.discard("episode")

    async def aclose(self) -> None:
        self.opened.clear()


class Plain(Held):
    """The same, freed by plain code only, with no event loop."""

    def aclose(self) -> None:  # type: ignore[override]
        self.opened.clear()


class Eager(Held):
    """Tears down itself."""

    def verify(self, episode: Episode) -> Reward:
        self.teardown()
        return super().verify(episode)


class Trusting(Held):
    """Its teardown takes for granted that setup ran."""

    def teardown(self) -> None:
        self.opened.remove("episode")


class AsyncTrusting(Held):
    """The same, awaited."""

    async def teardown(self) -> None:  # type: ignore[override]
        self.opened.remove("episode")


class ClosesItself(Held):
    """Ends its instance with its first episode."""

    async def teardown(self) -> None:  # type: ignore[override]
        await self.aclose()


class BadEnd(Held):
    """Cannot be closed."""

    async def aclose(self) -> None:
        raise OSError("no such connection")


class Ticking(Adder):
    """Leaves a thread behind."""

    def setup(self, task: Task) -> None:
        super().setup(task)
        threading.Thread(target=time.sleep, args=(30,), name="ticker", daemon=True).start()


class Waiting(Adder):
    """Leaves a task behind."""

    async def setup(self, task: Task) -> None:  # type: ignore[override]
        super().setup(task)
        self.later = asyncio.get_running_loop().create_task(asyncio.sleep(30))

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "later"}


class Tidy(Adder):
    """Ends its thread and its task."""

    async def setup(self, task: Task) -> None:  # type: ignore[override]
        super().setup(task)
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.over.wait, name="tidy", daemon=True)
        self.thread.start()
        self.later = asyncio.get_running_loop().create_task(asyncio.sleep(30))

    async def teardown(self) -> None:  # type: ignore[override]
        if hasattr(self, "over"):
            self.over.set()
            self.later.cancel()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("over", "thread", "later")}
