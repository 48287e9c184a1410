"""A run over an environment at a server whose processes are killed and frozen, and started again, all the time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("aiohttp")

from llmgym.rollout import Collector, read_rollouts
from tests.exactness import Recording, prove
from tests.rollouts import WordPolicy, Words
from tests.serving import Process, process
from tests.soak.served import reply

__all__ = ["process"]
pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for processes in /proc")

SECONDS = float(os.environ.get("SOAK_SECONDS", "600"))
ENV = "tests.soak.served:test/Summing-v0"
TASKS, REPEATS = 40, 2  # tasks that a session of the run has more than the one before
MAY_FAIL = {"infrastructure", "timeout"}


class Trouble(threading.Thread):
    """Kills and freezes processes of a server until it is told to end."""

    def __init__(self, server: Process, seed: int) -> None:
        super().__init__(name="trouble")
        self.server, self.rng, self.over = server, random.Random(seed), threading.Event()
        self.done = Counter[str]()

    def run(self) -> None:
        while not self.over.wait(self.rng.uniform(0.5, 4.0)):
            workers = self.server.workers
            if not workers:
                continue
            worker, how = self.rng.choice(workers), self.rng.choice(["kill", "kill", "freeze", "freeze and kill"])
            with contextlib.suppress(ProcessLookupError):  # it has gone by itself
                if how != "kill":
                    os.kill(worker, signal.SIGSTOP)
                    self.over.wait(self.rng.uniform(0.2, 5.0))
                os.kill(worker, signal.SIGCONT if how == "freeze" else signal.SIGKILL)
            self.done[how] += 1

    def end(self) -> None:
        self.over.set()
        self.join()


@pytest.mark.parametrize(
    "seconds",
    [
        pytest.param(60.0, marks=[pytest.mark.integration, pytest.mark.timeout(600)], id="small"),
        pytest.param(SECONDS, marks=[pytest.mark.soak, pytest.mark.timeout(7200)], id="whole"),
    ],
)
def test_every_episode_is_there_once_with_what_it_earned_and_its_tokens(seconds: float, tmp_path: Path) -> None:
    server = Process(tmp_path, ENV, workers=2, idle_s=20)
    codec: Any = Words()
    policy = Recording(WordPolicy(codec, reply))
    trouble = Trouble(server, int(os.environ.get("SOAK_SEED", "0")))
    try:
        trouble.start()
        ends, num_tasks = time.monotonic() + seconds, 0
        while time.monotonic() < ends:
            num_tasks += TASKS
            collect(server, policy, codec, tmp_path / "run", num_tasks)
        trouble.end()
        assert server.ask("GET", "/health")[0] == 200
        collect(server, policy, codec, tmp_path / "run", num_tasks)  # what is still missing
        figures = audit(tmp_path / "run", policy, codec, num_tasks)
        assert set(trouble.done) == {"kill", "freeze", "freeze and kill"}
        assert figures["tried again"] + figures["failures"], "no process was hit"
        print(f"\n{figures | dict(trouble.done)}")
    finally:
        trouble.end()
        server.kill()


@pytest.mark.integration
def test_a_run_outlives_its_server(process: Callable[..., Process], tmp_path: Path) -> None:
    codec: Any = Words()
    policy = Recording(WordPolicy(codec, reply))
    first = server = process(ENV)

    def start_again() -> None:
        nonlocal server
        while not (tmp_path / "run" / "rollouts.jsonl").exists():
            time.sleep(0.05)
        for _ in range(2):
            time.sleep(1.0)
            server.kill()
            server = process(ENV, port=int(first.url.rpartition(":")[2]))

    trouble = threading.Thread(target=start_again)
    trouble.start()
    collect(first, policy, codec, tmp_path / "run", 150)
    trouble.join()
    figures = audit(tmp_path / "run", policy, codec, 150)
    assert figures["tried again"], "the run was over too soon"


def collect(server: Process, policy: Any, codec: Any, output: Path, num_tasks: int) -> None:
    """A session of the run."""
    remote: Any = {"id": "llmgym/Remote-v0", "kwargs": {"url": server.url, "timeout": 60}, "label": "summing"}
    run = Collector(
        [remote], policy, codec=codec, output=output, num_tasks=num_tasks, num_repeats=REPEATS, seed=7,
        num_samples_in_parallel=16, max_attempts=8,
    )  # fmt: skip
    asyncio.run(run.collect())


def audit(output: Path, policy: Recording, codec: Any, num_tasks: int) -> dict[str, int]:
    """See that nothing is lost, doubled, or scored by mistake, and that tokens are exact; gives figures."""
    again = 0
    episodes = Counter[str]()
    for trajectory in read_rollouts(output):
        assert (trajectory.status, trajectory.reward) == ("completed", 1.0), trajectory.id
        episodes[trajectory.episode_id] += 1
        again += trajectory.attempts > 1
        name = trajectory.id if trajectory.attempts == 1 else f"{trajectory.id}/{trajectory.attempts}"
        asked = policy.requests[name][
            -len(trajectory.turns) :
        ]  # an earlier session may have failed at the same attempt
        prove(replace(trajectory, attempts=1), asked, codec)
    assert len(episodes) == num_tasks * REPEATS
    assert set(episodes.values()) == {1}
    assert len({name.rpartition("/")[0] for name in episodes}) == num_tasks
    failures = [orjson.loads(line) for line in (output / "failures.jsonl").read_bytes().splitlines()]
    for row in failures:
        assert row["reward"] is None
        assert row["failure"]["kind"] in MAY_FAIL, row["failure"]
    return {"rows": len(episodes), "tried again": again, "failures": len(failures)}
