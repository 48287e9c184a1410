"""Environments of the tests of servers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Generator, Sequence

import gymnasium

from llmgym import Task, TaskSet, ToolEnv, tool
from llmgym.env import Episode
from llmgym.messages import Message
from llmgym.rewards import Reward


class Slow(ToolEnv):
    """Takes its time to answer."""

    tasks = TaskSet.generated(lambda rng: Task(prompt=str(rng.integers(1 << 30))))

    def setup(self, task: Task, seconds: float = 0.2) -> None:
        """Note how long it takes."""
        self.seconds = seconds

    async def respond(self, message: object) -> None:
        """Wait, and end."""
        await asyncio.sleep(self.seconds)
        self.count("answers")

    def verify(self, episode: Episode) -> float:
        """Pay for anything."""
        return 1.0


class Broken(Slow):
    """Cannot score, and has a tool that loses what it needs."""

    @tool
    def lose(self) -> str:
        """Lose the disk."""
        raise OSError("the disk is gone")

    def verify(self, episode: Episode) -> float:
        """Fail."""
        raise RuntimeError("no verdict")


class Grouped(ToolEnv):
    """Pays for the longest answer of a group."""

    tasks = Slow.tasks

    def respond(self, message: object) -> None:
        """End."""

    def verify(self, episode: Episode) -> float:
        """Pay for anything."""
        return 1.0

    def group_verify(self, episodes: Sequence[Episode | None]) -> list[Reward | None]:
        """Compare lengths."""
        lengths = [0 if episode is None else len(episode.final_text) for episode in episodes]
        return [episode and Reward(longest=float(n == max(lengths)), metrics={"length": float(n)})
                for n, episode in zip(lengths, episodes, strict=True)]  # fmt: skip


class Shut(Slow):
    """Begins no episode, as long as the variable `SHUT` is set."""

    def setup(self, task: Task, seconds: float = 0.2) -> None:
        """Fail."""
        if os.environ.get("SHUT"):
            raise ConnectionRefusedError("the database is away")


class Unscored(Slow):
    """Leaves all unscored."""

    def verify(self, episode: Episode) -> None:
        """Say nothing."""


class Wordy(Slow):
    """Has a tool with much to say."""

    @tool
    async def write(self, length: int) -> str:
        """Write text with blanks of several kinds."""
        await asyncio.sleep(0)
        return ("a \u00a0\u2028" * length)[:length]


class Talk(Slow):
    """Answers until it is told goodbye."""

    async def respond(self, message: Message) -> str | None:
        """Repeat what is said."""
        return None if message["content"] == "bye" else f"You said {message['content']}."


class Holding(Slow):
    """Holds the event loop for ever once it is told to."""

    def respond(self, message: Message) -> str:
        """Go on, or never."""
        while message["content"] == "hold":
            time.sleep(1)
        return "Go on."


class Begun(Slow):
    """Begins once it may."""

    may = threading.Event()
    may.set()

    async def setup(self, task: Task, seconds: float = 0.0) -> None:
        """Wait."""
        await asyncio.to_thread(self.may.wait)
        self.seconds = seconds

    @classmethod
    @contextlib.contextmanager
    def later(cls) -> Generator[None]:
        """None begins in this block."""
        cls.may.clear()
        try:
            yield
        finally:
            cls.may.set()


class Prompted(Slow):
    """Asks in words that are hard to pass on."""

    PROMPTS = ("x" * 200_000, "a\0b", "half a pair \ud83d")
    tasks = TaskSet.generated(lambda rng: Task(prompt=Prompted.PROMPTS[rng.integers(3)]))


for made in (Slow, Broken, Unscored, Wordy, Talk, Grouped, Shut, Holding, Begun, Prompted):
    gymnasium.register(f"{made.__name__}-v0", entry_point=f"{__name__}:{made.__name__}")
