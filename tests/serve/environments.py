"""Environments of the tests of servers."""

from __future__ import annotations

import asyncio

import gymnasium

from llmgym import Task, TaskSet, ToolEnv
from llmgym.env import Episode


class Slow(ToolEnv):
    """Takes its time to answer."""

    tasks = TaskSet.generated(lambda rng: Task(prompt=str(rng.integers(1 << 30))))

    async def respond(self, message: object) -> None:
        """Wait, and end."""
        await asyncio.sleep(0.2)
        self.count("answers")

    def verify(self, episode: Episode) -> float:
        """Pay for anything."""
        return 1.0


class Broken(Slow):
    """Cannot score."""

    def verify(self, episode: Episode) -> float:
        """Fail."""
        raise RuntimeError("no verdict")


gymnasium.register("Slow-v0", entry_point=f"{__name__}:Slow")
gymnasium.register("Broken-v0", entry_point=f"{__name__}:Broken")
