"""Small environments for tests, registered as `test/...`; the module can be imported by worker processes."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np

from llmgym.env import Episode, ToolEnv
from llmgym.errors import EnvironmentFailure
from llmgym.messages import Message, assistant, tool_call
from llmgym.rewards import Part, Reward
from llmgym.tasks import Task, TaskSet
from llmgym.tools import tool


def make_sum(rng: np.random.Generator) -> Task:
    """A sum of two numbers."""
    a, b = (int(n) for n in rng.integers(1000, 10_000, size=2))
    return Task(prompt=f"What is {a} + {b}?", answer=a + b, metadata={"numbers": [a, b]})


class Adder(ToolEnv):
    """Add two numbers with a tool; nothing in it suspends."""

    tasks = TaskSet.generated(make_sum)
    system_prompt = "Use the tool."

    def setup(self, task: Task) -> None:
        """Count lookups."""
        self.lookups = 0

    @tool
    def add(self, a: int, b: int = 0) -> int:
        """Add two numbers.

        Args:
            a: The first.
            b: The second.
        """
        self.lookups += 1
        return a + b

    def verify(self, episode: Episode) -> Reward:
        """Whether the last message is the sum."""
        correct = episode.final_text.strip() == str(episode.task.answer)
        return Reward(correct=Part(float(correct)), metrics={"lookups": self.lookups})

    def oracle(self, task: Task) -> Iterator[Message | str]:
        """Call the tool and say what it answered."""
        a, b = task.metadata["numbers"]
        yield assistant("", tool_call("add", a=a, b=b))
        yield self.transcript[-1]["content"]


class SuspendingAdder(Adder):
    """The same with a tool that awaits."""

    @tool
    async def add(self, a: int, b: int = 0) -> int:
        """Add two numbers."""
        await asyncio.sleep(0)
        self.lookups += 1
        return a + b


class BlockingAdder(Adder):
    """The same with a tool that runs in a thread."""

    @tool(blocking=True)
    def add(self, a: int, b: int = 0) -> int:
        """Add two numbers."""
        self.lookups += 1
        return a + b


class ProcessAdder(Adder):
    """The same, verified in a process."""

    verify_in = "process"


def burn(seconds: float) -> None:
    """Compute for some time of this thread."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


class ThreadVerified(Adder):
    """A verifier that blocks for 80 ms, in a thread."""

    verify_in = "thread"

    def verify(self, episode: Episode) -> float:
        """Block, and say whether it is correct."""
        time.sleep(0.08)
        return float(episode.final_text == str(episode.task.answer))


class ProcessVerified(Adder):
    """A verifier that computes for 50 ms, hangs or dies, in a process."""

    verify_in = "process"

    def verify(self, episode: Episode) -> float:
        """Do as the policy's last message says."""
        match episode.final_text:
            case "hang":
                time.sleep(3600)
            case "die":
                os._exit(3)
            case "raise":
                raise FileNotFoundError("no such proof")
            case "verdict":
                raise EnvironmentFailure("no grade", kind="verdict")
            case "text":
                return "0.5"  # type: ignore[return-value]
        burn(0.05)
        return float(episode.final_text == str(episode.task.answer))


class Chat(Adder):
    """A user who answers twice and leaves."""

    def setup(self, task: Task) -> None:
        """Nobody has spoken."""
        self.lookups = self.said = 0

    def respond(self, message: Message) -> Any:
        """Answer in each form that is allowed, with a reward."""
        self.said += 1
        self.reward(0.25)
        match self.said:
            case 1:
                return "go on"
            case 2:
                return [{"role": "user", "content": "and"}, {"role": "user", "content": "on"}]
        return None

    def oracle(self, task: Task) -> Iterator[Message | str]:
        """Talk until the user leaves."""
        yield from ("hello", "still here", str(task.answer))


class Workshop(ToolEnv):
    """A tool for every fault."""

    tasks = TaskSet.generated(make_sum)
    tool_timeout = 0.2

    @tool
    async def fail(self, how: str) -> Any:
        """Fail in some way."""
        match how:
            case "raise":
                raise ValueError("no luck")
            case "exit":
                raise SystemExit(3)
            case "cancelled":
                raise asyncio.CancelledError("something inside")
            case "hang":
                await asyncio.sleep(3600)
            case "big":
                return "0123456789" * 5_000_000
            case "not json":
                return object()
            case "circular":
                loop: list[Any] = []
                loop.append(loop)
                return loop
            case "surrogate":
                return "a\ud800b"
            case "surrogate inside":
                return {"text": "a\ud800b"}
            case "large integer":
                return {"power": 2**100}
        return None

    @tool(blocking=True, timeout=0.2)
    def hang(self) -> None:
        """Hang in a thread."""
        time.sleep(60)

    @tool(blocking=True)
    def leave(self) -> None:
        """Raise SystemExit in a thread."""
        raise SystemExit(3)

    @tool
    async def patient(self) -> str:
        """Have a deadline of its own."""
        task = asyncio.current_task()
        try:
            async with asyncio.timeout(0.01):
                await asyncio.sleep(3600)
        except TimeoutError:
            return "gave up" if asyncio.current_task() is task else "was moved to another task"
        return "slept"

    @tool
    def stop(self) -> str:
        """End the episode."""
        self.reward(0.5)
        self.finish()
        return "over"

    def verify(self, episode: Episode) -> float:
        """All is well."""
        return 1.0


class Kitchen(ToolEnv):
    """Tools that record when they start and end."""

    tasks = TaskSet.generated(make_sum)

    def setup(self, task: Task) -> None:
        """Nothing has happened."""
        self.log: list[str] = []

    @tool
    async def slow(self, name: str) -> None:
        """Take a few turns of the event loop."""
        self.log.append(f"+{name}")
        for _ in range(3):
            await asyncio.sleep(0)
        self.log.append(f"-{name}")

    @tool(serial=True)
    async def alone(self, name: str) -> None:
        """The same, and never beside another."""
        await Kitchen.slow(self, name)

    def verify(self, episode: Episode) -> None:
        """Leave it unscored."""


class Faulty(ToolEnv):
    """Hooks that fail as they are told."""

    tasks = TaskSet.generated(make_sum)
    hook_timeout = 0.2

    def __init__(self, *, where: str, how: str, **kwargs: Any) -> None:
        """Say which hook fails, and how."""
        super().__init__(**kwargs)
        self.where, self.how = where, how

    async def _fail(self, where: str, otherwise: Any) -> Any:
        if where != self.where:
            return otherwise
        match self.how:
            case "raise":
                raise KeyError("lost")
            case "hang":
                await asyncio.sleep(3600)
            case "exit":
                raise SystemExit(3)
            case "cancelled":
                raise asyncio.CancelledError
        return object()

    async def setup(self, task: Task) -> None:
        """Perhaps fail."""
        await self._fail("setup", None)

    async def respond(self, message: Message) -> Any:
        """Perhaps fail."""
        return await self._fail("respond", None)

    async def verify(self, episode: Episode) -> Any:
        """Perhaps fail."""
        return await self._fail("verify", 1.0)


for _cls in (Adder, SuspendingAdder, BlockingAdder, ProcessAdder, ThreadVerified, ProcessVerified, Chat, Workshop):
    gymnasium.register(
        f"test/{_cls.__name__}-v0",
        entry_point=f"tests.environments:{_cls.__name__}",
        vector_entry_point=f"llmgym.vector:test/{_cls.__name__}-v0",
        kwargs={"max_turns": 6},
    )
