"""Episodes in one process, which have no more open after hundreds of them than before."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import gymnasium
import orjson
import pytest

from llmgym.concurrency import in_process
from llmgym.concurrency.processes import PROCESSES
from llmgym.concurrency.threads import THREADS
from llmgym.env import Episode, ToolEnv
from llmgym.messages import Message, assistant, tool_call
from llmgym.policies.scripted import ScriptedPolicy
from llmgym.rollout import Collector
from llmgym.tasks import RowTasks
from llmgym.tools import tool
from tests.soak.audit import check_failure, check_row
from tests.soak.chaos import IDS, Chaos, Numbers, policy
from tests.soak.driver import census
from tests.soak.sessions import ATTEMPTS, PARALLEL

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts by /proc")


async def settled(most_threads: int) -> tuple[int, int, int]:
    """The census, once the threads that end have ended and all workers are there that may be."""
    deadline = time.monotonic() + 20
    while threading.active_count() - 1 > most_threads and time.monotonic() < deadline:  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    await asyncio.gather(*[in_process(time.sleep, 0.5, seconds=60) for _ in range(PROCESSES.limit)])
    await asyncio.sleep(0.2)
    return census()


# Python says so of a coroutine that nothing can end.
@pytest.mark.filterwarnings("ignore:.*coroutine object Chaos.hang:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    "count",
    [
        pytest.param(30, marks=pytest.mark.integration),
        pytest.param(400, marks=[pytest.mark.soak, pytest.mark.timeout(1200)]),
    ],
)
def test_episodes_leave_nothing_open(count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOAK", str(tmp_path))
    monkeypatch.setattr(Chaos, "hung_for_ever", 99)  # threads that end, so that all have to be gone
    (tmp_path / "boxes").mkdir()

    def collect(name: str, episodes: int) -> None:
        collector = Collector(
            list(IDS.values()), ScriptedPolicy(policy), output=tmp_path / name, num_tasks=episodes // 2,
            num_samples_in_parallel=PARALLEL, generation_timeout=2, episode_timeout=30, max_attempts=ATTEMPTS,
        )  # fmt: skip
        asyncio.run(collector.collect())

    threads = threading.active_count() - 1
    collect("before", 10)
    before = asyncio.run(settled(threads))
    collect("run", count)
    after = asyncio.run(settled(threads))
    assert all(now <= then for now, then in zip(after, before, strict=True)), (before, after)
    assert not list((tmp_path / "boxes").iterdir())
    rows = [orjson.loads(line) for line in (tmp_path / "run" / "rollouts.jsonl").read_bytes().splitlines()]
    failures = [orjson.loads(line) for line in (tmp_path / "run" / "failures.jsonl").read_bytes().splitlines()]
    assert len({check_row(row) for row in rows}) + len(failures) == count
    for row in failures:
        check_failure(row)


class Hung(ToolEnv):
    """A tool that hangs until all episodes are over."""

    tasks = RowTasks(Numbers())
    release = threading.Event()
    most = 0

    @tool(blocking=True, timeout=0.2)
    def hang(self) -> str:
        """Hang."""
        Hung.most = max(Hung.most, threading.active_count())
        self.release.wait()
        self.reward(1000.0)
        return "late"

    def verify(self, episode: Episode) -> float:
        """Whatever it did."""
        return 0.5


gymnasium.register("test/Hung-v0", entry_point="tests.soak.test_bounds:Hung")


@pytest.mark.integration
def test_five_hundred_hung_calls_leave_no_more_threads_than_the_bound() -> None:
    def script(messages: list[Message], tools: Any) -> Message:
        return assistant("done") if messages[-1]["role"] == "tool" else assistant("", tool_call("hang"))

    before = threading.active_count()
    collector = Collector(
        ["test/Hung-v0"], ScriptedPolicy(script), num_tasks=500, num_samples_in_parallel=500, max_attempts=1
    )

    async def collect() -> list[Any]:
        return [t async for group in collector.stream() for t in group.trajectories]

    try:
        found = asyncio.run(collect())
        assert threading.active_count() - before <= THREADS.limit
        assert Hung.most - before <= THREADS.limit
    finally:
        Hung.release.set()
    assert Counter((t.status, t.reward, t.failure and t.failure.kind) for t in found) == {
        ("completed", 0.5, None): THREADS.limit,
        ("env_error", None, "abandoned"): 500 - THREADS.limit,
    }
    deadline = time.monotonic() + 20
    while threading.active_count() > before:
        assert time.monotonic() < deadline
        time.sleep(0.01)
