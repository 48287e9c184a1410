"""Environments that each break one promise, and sound ones that are near to it, registered as `test/...`."""

from __future__ import annotations

import asyncio
import json
import threading
import time
import uuid
import warnings
from collections.abc import Iterator
from typing import Any, ClassVar

import gymnasium
import numpy as np

from llmgym.env import Episode, ToolEnv
from llmgym.messages import Message, assistant, tool_call
from llmgym.rewards import Reward
from llmgym.tasks import Task, TaskSet
from llmgym.tools import tool
from tests.environments import Adder, make_sum
from tests.testing.freeing import (
    AsyncTrusting,
    BadEnd,
    ClosesItself,
    Eager,
    Held,
    Plain,
    Ticking,
    Tidy,
    Trusting,
    Waiting,
)


class WrongOracle(Adder):
    """Its oracle answers wrongly on some tasks."""

    def oracle(self, task: Task) -> Iterator[Message | str]:
        yield str(task.answer if task.answer % 2 else 0)


class EndlessOracle(Adder):
    """Its oracle stops before the episode does."""

    def oracle(self, task: Task) -> Iterator[Message | str]:
        yield assistant("", tool_call("add", a=1))


class NoOracle(Adder):
    """It has no oracle."""

    oracle = ToolEnv.oracle  # type: ignore[assignment]


class RewardsEveryone(Adder):
    """Its verifier does not look."""

    def verify(self, episode: Episode) -> float:  # type: ignore[override]
        return 1.0


class RewardsEcho(Adder):
    """Its verifier looks for words of the question."""

    def verify(self, episode: Episode) -> float:  # type: ignore[override]
        return float("What is" in episode.final_text or super().verify(episode).value == 1.0)


class RewardsClaims(Adder):
    """Its verifier believes what it reads."""

    def verify(self, episode: Episode) -> float:  # type: ignore[override]
        return float("reward: 1" in episode.final_text or super().verify(episode).value == 1.0)


class RewardsOneAnswer(Adder):
    """All its tasks have one answer."""

    tasks = TaskSet.generated(lambda rng: Task(prompt=f"{rng.integers(10**9)} times zero?", answer=0))

    def oracle(self, task: Task) -> Iterator[Message | str]:
        yield "0"


class RewardsCalls(Adder):
    """Pays for each tool call, whatever comes of it."""

    def verify(self, episode: Episode) -> float:  # type: ignore[override]
        return float(len(episode.tool_calls)) or float(super().verify(episode).value or 0)


class Unscored(Adder):
    """Leaves empty answers unscored."""

    def verify(self, episode: Episode) -> Reward | None:  # type: ignore[override]
        return super().verify(episode) if episode.final_text else None


class Clock(Adder):
    """Tells the time."""

    def verify(self, episode: Episode) -> Reward:
        return Reward(correct=super().verify(episode).value, metrics={"now": time.perf_counter()})


class RandomAnswers(Adder):
    """Its tool's answers come from elsewhere than the seed."""

    @tool
    def add(self, a: int, b: int = 0) -> str:  # type: ignore[override]
        """Add."""
        return uuid.uuid4().hex

    def oracle(self, task: Task) -> Iterator[Message | str]:
        yield str(task.answer)


class Leaky(Adder):
    """Keeps the state of an episode on the class."""

    calls: ClassVar[list[int]] = []

    def setup(self, task: Task) -> None:
        super().setup(task)
        self.calls.clear()

    @tool
    def add(self, a: int, b: int = 0) -> str:  # type: ignore[override]
        """Add."""
        self.calls.append(a + b)
        return f"{a + b}, call {len(self.calls)}"

    def oracle(self, task: Task) -> Iterator[Message | str]:
        yield str(task.answer)


class Unpicklable(Adder):
    """Holds a lock, and is sent to a process with it."""

    verify_in = "process"

    def setup(self, task: Task) -> None:
        super().setup(task)
        self.lock = threading.Lock()


class Locked(Adder):
    """Holds a lock, which nobody pickles."""

    def setup(self, task: Task) -> None:
        super().setup(task)
        self.lock = threading.Lock()


class Forgetful(Adder):
    """Leaves part of its state behind when it is pickled."""

    @tool
    def add(self, a: int, b: int = 0) -> int:
        """Add."""
        self.lookups += 1
        return self.lookups

    def oracle(self, task: Task) -> Iterator[Message | str]:
        yield str(task.answer)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"lookups": 0}


class Fragile(Adder):
    """Reads the arguments itself."""

    def verify(self, episode: Episode) -> Reward:
        for call in episode.tool_calls:
            json.loads(call["function"]["arguments"])
        return super().verify(episode)


class Warns(Adder):
    """Warns at each step."""

    @tool
    def add(self, a: int, b: int = 0) -> int:
        """Add."""
        warnings.warn("do not add", stacklevel=1)
        self.lookups += 1
        return a + b


class Undescribed(Adder):
    """Its tool has no docstring."""

    @tool
    def add(self, a: int, b: int = 0) -> int:
        return a + b


class Repeating(type(Adder.tasks)):  # type: ignore[misc]
    """Its slots are one sequence, each from another place."""

    def draw(self, split: str, seed: int, episode: int, *, scope: str = "") -> Task:
        return super().draw(split, 0, seed + episode, scope=scope)


class InStep(Adder):
    """Its slots meet the same tasks."""

    tasks = Repeating(make_sum)


def make_one_of_few(rng: np.random.Generator) -> Task:
    """One of 22 sums."""
    return make_sum(np.random.Generator(np.random.PCG64(int(rng.integers(22)))))


class FewTasks(Adder):
    """Its generator has few outcomes, and that is what there is."""

    tasks = TaskSet.generated(make_one_of_few)


class DeclaresFew(Adder):
    """Says how few they are."""

    tasks = TaskSet.generated(make_one_of_few, outcomes=22)


class DeclaresTooFew(Adder):
    """Has more tasks than it says."""

    tasks = TaskSet.generated(make_one_of_few, outcomes=10)


class DeclaresTooMany(Adder):
    """Has fewer tasks than it says."""

    tasks = TaskSet.generated(make_one_of_few, outcomes=1000)


class Luck(Adder):
    """Pays a part of what its oracle could hope for, which depends on the task."""

    oracle_kind = "reference"

    def verify(self, episode: Episode) -> float:  # type: ignore[override]
        return (super().verify(episode).value or 0.0) * (episode.task.answer % 7 - 1)


class BadLuck(Luck):
    """Its oracle plays no better than others."""

    def verify(self, episode: Episode) -> float:  # type: ignore[override]
        return float(episode.task.answer % 7)


class AsyncOracle(Adder):
    """Its oracle is asynchronous."""

    async def oracle(self, task: Task) -> list[Message | str]:  # type: ignore[override]
        return [str(task.answer)]


class Overlapping(TaskSet):
    """A set of tasks whose splits are the same."""

    splits = ("train", "test")

    def size(self, split: str) -> int:
        return 100

    def draw(self, split: str, seed: int, episode: int, *, scope: str = "") -> Task:
        return self.plan(split, seed, seed + episode)

    def plan(self, split: str, seed: int, index: int, *, scope: str = "") -> Task:
        return self.get(str(index % 100))

    def get(self, task_id: str) -> Task:
        a = int(task_id)
        return Task(id=task_id, prompt=f"What is {a} + 1?", answer=a + 1, metadata={"numbers": [a, 1]})


class Overlap(Adder):
    """Tests on what it trains on."""

    tasks = Overlapping()


class Differs(Adder):
    """Behaves differently in another process."""

    home: ClassVar[int] = 0

    def opening(self, task: Task) -> list[Message]:
        import os

        Differs.home = Differs.home or os.getpid()
        return [{"role": "system", "content": "away" if os.getpid() != self.home else "home"}, *task.messages]


class Unverified(Adder):
    """Registered with a limit that it does not know of."""


class HasObject(Adder):
    """Takes an object that no JSON holds."""

    def __init__(self, thing: object = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)


class Hides(Adder):
    """Puts an attribute where ToolEnv's own is."""

    def setup(self, task: Task) -> None:
        super().setup(task)
        vars(self)["report"] = "fine"


class HidesLater(Adder):
    """Has a method of ToolEnv's replaced after its class was defined."""


HidesLater.report = lambda self: None  # type: ignore[assignment,method-assign]


class Hoarder(Adder):
    """Makes the state of an episode once for all of them."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.total = 0

    @tool
    def add(self, a: int, b: int = 0) -> str:  # type: ignore[override]
        """Add."""
        self.total += 1
        return f"{a + b}, call {self.total}"

    def oracle(self, task: Task) -> Iterator[Message | str]:
        yield str(task.answer)


class Transcribed(Adder):
    """Scores what was said, which is all that it needs."""

    verify_from = "transcript"

    def verify(self, episode: Episode) -> Reward:
        correct = episode.final_text.strip() == str(episode.task.answer)
        return Reward(correct=float(correct), metrics={"calls": len(episode.tool_calls)})


class Counts(Adder):
    """Says that what was said is enough, and looks at its own state."""

    verify_from = "transcript"


class PaysAtOnce(Transcribed):
    """Says that what was said is enough, and pays for a message when it comes."""

    def respond(self, message: Message) -> None:
        self.reward(0.25)


class Remembers(Adder):
    """Keeps the data of a task, and not a copy."""

    known: ClassVar[dict[str, list[int]]] = {}

    def setup(self, task: Task) -> None:
        super().setup(task)
        self.numbers = self.known.setdefault(task.id, task.metadata["numbers"])

    def opening(self, task: Task) -> list[Message]:
        return [{"role": "user", "content": f"Add {self.numbers}."}]


class Copies(Adder):
    """Changes its task, which is the episode's own."""

    def setup(self, task: Task) -> None:
        super().setup(task)
        task.metadata["numbers"].append(0)

    def oracle(self, task: Task) -> Iterator[Message | str]:
        yield str(task.answer)


class Rows(Adder):
    """Has as many tasks as there are rows in a file."""

    def __init__(self, *, rows: str, **kwargs: Any) -> None:
        super().__init__(tasks=rows, **kwargs)


class Slow(Adder):
    """Waits at each call."""

    @tool
    async def add(self, a: int, b: int = 0) -> int:
        """Add."""
        await asyncio.sleep(0.02)
        self.lookups += 1
        return a + b


def make_slowly(rng: np.random.Generator) -> Task:
    """A sum that takes long to find."""
    time.sleep(0.005)
    return make_sum(rng)


class SlowTasks(Adder):
    """Its tasks take long to make."""

    tasks = TaskSet.generated(make_slowly)


class Endless(Adder):
    """Refuses a limit below its own."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.max_turns = max(self.max_turns, 6)

    def respond(self, message: Message) -> str | None:
        return None if message["content"] == str(self.task.answer) else "no"  # type: ignore[union-attr]


BROKEN: list[tuple[type[ToolEnv], set[str]]] = [
    (WrongOracle, {"oracle"}),
    (EndlessOracle, {"oracle"}),
    (NoOracle, {"oracle"}),
    (RewardsEveryone, {"silent", "echo", "constant", "random", "malformed", "injection"}),
    (RewardsEcho, {"echo"}),
    (RewardsClaims, {"injection"}),
    (RewardsOneAnswer, {"constant"}),
    (RewardsCalls, {"random", "malformed"}),
    (Unscored, {"silent"}),
    (Clock, {"determinism"}),
    (RandomAnswers, {"gymnasium", "determinism"}),
    (Leaky, {"isolation"}),
    (Unpicklable, {"pickling"}),
    (Forgetful, {"pickling"}),
    (Fragile, {"malformed"}),
    (Warns, {"gymnasium"}),
    (Undescribed, {"tools"}),
    (InStep, {"variety"}),
    (DeclaresTooFew, {"variety"}),
    (DeclaresTooMany, {"variety"}),
    (BadLuck, {"silent", "echo", "constant", "random", "malformed", "injection"}),
    (Overlap, {"tasks"}),
    (Differs, {"vectors"}),
    (Unverified, {"limit"}),
    (HasObject, {"spec"}),
    (Endless, {"limit"}),
    (Counts, {"transcripts"}),
    (PaysAtOnce, {"transcripts"}),
    (Hides, {"names"}),
    (HidesLater, {"names"}),
    (Hoarder, {"reuse"}),
    (Remembers, {"mutation"}),
    (Eager, {"lifecycle"}),
    (Trusting, {"lifecycle"}),
    (AsyncTrusting, {"lifecycle"}),
    (ClosesItself, {"lifecycle"}),
    (BadEnd, {"lifecycle"}),
    (Ticking, {"threads"}),
    (Waiting, {"threads"}),
]
SOUND = [AsyncOracle, Copies, DeclaresFew, Held, Luck, Plain, Tidy, Transcribed]
for _cls in (*(cls for cls, _ in BROKEN), *SOUND, Locked, FewTasks, Rows, Slow, SlowTasks):
    gymnasium.register(
        f"test/{_cls.__name__}-v0",
        entry_point=f"{_cls.__module__}:{_cls.__name__}",
        max_episode_steps=6 if _cls is Unverified else None,
        kwargs={"max_turns": 6} | ({"thing": object} if _cls is HasObject else {}),
    )
