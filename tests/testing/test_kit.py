"""The conformance kit fails each broken environment by the check that it breaks, and passes sound ones."""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
import sys
import threading
import time
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import gymnasium
import numpy as np
import pytest

from llmgym.env import Episode, ToolEnv
from llmgym.errors import ConformanceError
from llmgym.messages import Message, assistant, tool_call
from llmgym.rewards import Reward
from llmgym.tasks import Task, TaskSet
from llmgym.testing import CHECKS, CheckResult, check_text_env, run_checks
from llmgym.tools import tool
from tests.environments import Adder, make_sum


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
    (Overlap, {"tasks"}),
    (Differs, {"vectors"}),
    (Unverified, {"limit"}),
    (HasObject, {"spec"}),
    (Endless, {"limit"}),
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
SOUND = [Copies, Held, Plain, Tidy]
for _cls in (*(cls for cls, _ in BROKEN), *SOUND, Locked, FewTasks, Rows, Slow):
    gymnasium.register(
        f"test/{_cls.__name__}-v0",
        entry_point=f"{__name__}:{_cls.__name__}",
        max_episode_steps=6 if _cls is Unverified else None,
        kwargs={"max_turns": 6} | ({"thing": object} if _cls is HasObject else {}),
    )


def outcomes(env_id: str, **kwargs: Any) -> dict[str, CheckResult]:
    return {result.name: result for result in run_checks(env_id, **kwargs)}


@pytest.mark.parametrize("name", ["Adder", "SuspendingAdder", "BlockingAdder", "ProcessAdder", "Chat"])
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_good_environment_passes(name: str) -> None:
    report = check_text_env(f"test/{name}-v0", tasks=10)
    assert [result.name for result in report.results] == [check.name for check in CHECKS]
    assert {result.name for result in report.results if result.status != "passed"} == {"lifecycle"}  # nothing to free
    assert "0 of" in str(report)


@pytest.mark.parametrize("cls", SOUND, ids=lambda cls: cls.__name__)
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_an_environment_that_frees_what_it_opens_passes(cls: type[ToolEnv]) -> None:
    report = check_text_env(f"test/{cls.__name__}-v0", tasks=5)
    skipped = {result.name for result in report.results if result.status != "passed"}
    assert skipped == (set() if cls.teardown is not ToolEnv.teardown else {"lifecycle"})


@pytest.mark.parametrize(("cls", "checks"), BROKEN, ids=[cls.__name__ for cls, _ in BROKEN])
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning", "ignore:do not add")
def test_a_broken_environment_fails_the_check_that_it_breaks(cls: type[ToolEnv], checks: set[str]) -> None:
    results = list(run_checks(f"test/{cls.__name__}-v0", tasks=12))
    failed = {result.name: result.detail for result in results if result.status == "failed"}
    assert checks <= failed.keys()
    assert all(failed.values())


def test_each_check_fails_for_some_environment() -> None:
    assert set(itertools.chain.from_iterable(checks for _, checks in BROKEN)) == {check.name for check in CHECKS}


def test_the_error_lists_every_failure_and_what_to_do() -> None:
    with pytest.raises(ConformanceError) as caught:
        check_text_env("test/RewardsEveryone-v0", tasks=5)
    text = str(caught.value)
    assert text.startswith("test/RewardsEveryone-v0 fails 6 of")
    assert "silent: it earned 1 on average, as much as the oracle; make the verifier look" in text


def test_a_nondeterministic_environment_may_skip() -> None:
    gymnasium.register(
        "test/Judged-v0",
        entry_point=f"{__name__}:Clock",
        nondeterministic=True,
        kwargs={"max_turns": 6},
    )
    report = check_text_env("test/Judged-v0", tasks=5)
    skipped = {result.name for result in report.results if result.status == "skipped"}
    assert skipped == {"determinism", "isolation", "reuse", "mutation", "vectors", "pickling", "lifecycle"}


def test_arguments_reach_the_environment() -> None:
    with pytest.raises(ConformanceError, match=r"cannot be made.*no_such_argument"):
        check_text_env("test/Adder-v0", no_such_argument=1)
    with pytest.raises(ConformanceError, match="unknown split 'dev'"):
        check_text_env("test/Adder-v0", split="dev", tasks=5)


def test_what_is_no_text_environment_is_refused() -> None:
    with pytest.raises(ConformanceError, match="cannot be made"):
        check_text_env("test/NoSuchThing-v0")
    with pytest.raises(ConformanceError, match="CartPoleEnv"):
        check_text_env("CartPole-v1")


def test_an_id_may_name_the_module_that_registers_it_and_needs_no_test_framework() -> None:
    script = (
        "import sys\n"
        "from llmgym.testing import check_text_env\n"
        "print(check_text_env('tests.environments:test/Adder-v0', tasks=5))\n"
        "assert 'pytest' not in sys.modules\n"
    )
    root = Path(__file__).parents[2]
    result = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert f"0 of {len(CHECKS)} checks failed" in result.stdout


def test_what_cannot_be_pickled_is_named_and_matters_where_something_pickles_it() -> None:
    held, sent = (outcomes(f"test/{name}-v0", tasks=2)["pickling"] for name in ("Locked", "Unpicklable"))
    assert (held.status, sent.status) == ("skipped", "failed")
    assert "self.lock (lock)" in held.detail
    assert "self.lock (lock)" in sent.detail
    assert "__getstate__" in sent.detail


def test_a_set_that_is_small_is_no_fault(tmp_path: Path) -> None:
    few = outcomes("test/FewTasks-v0", tasks=5)
    assert {name for name, result in few.items() if result.status != "passed"} == {"variety", "lifecycle"}
    assert few["variety"].status == "skipped"
    assert "about" in few["variety"].detail
    rows = tmp_path / "rows.jsonl"
    for count in (1, 2, 3, 4, 5, 6, 7, 10, 12, 30, 200, 1000):
        lines = ({"prompt": f"What is {n} + 1?", "answer": n + 1, "numbers": [n, 1]} for n in range(count))
        rows.write_text("".join(json.dumps(line) + "\n" for line in lines))
        results = outcomes("test/Rows-v0", tasks=5, rows=str(rows))
        assert {name for name, result in results.items() if not result.passed} == set()
        assert (results["constant"].status == "skipped") == (count == 1)


def test_a_slow_environment_is_checked_in_less_depth_and_says_so() -> None:
    results = outcomes("test/Slow-v0", tasks=50, seconds=0.1)
    assert {name for name, result in results.items() if not result.passed} == set()
    for name in ("determinism", "isolation", "reuse", "vectors", "oracle", "random"):
        assert "cut at 0.1 s" in results[name].detail
