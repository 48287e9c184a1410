"""A run on a Ray cluster whose workers, engines, nodes and driver are killed and frozen all the time."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import orjson
import psutil
import pytest

from llmgym.rollout import read_rollouts
from tests.command import ROOT, environ
from tests.distributed.machines import Machines
from tests.distributed.recorded import check_exact

pytest.importorskip("ray")

SECONDS = float(os.environ.get("SOAK_SECONDS", "600"))
LETTERS, REPEATS = 26, 12  # tasks, and repeats that a session of the run has more than the one before
PATIENCE, FINISH_S = 3.0, 120.0
WORKER, ENGINE = "ray::Worker", "tests.distributed.engine"
MAY_FAIL = {"infrastructure", "timeout"}


class Driver:
    """The command of a run, again and again: it goes on where it was, whatever ended it.

    Attributes:
        sessions: How often it was started.
    """

    def __init__(self, machines: Machines, folder: Path) -> None:
        self.run, self.record, self.log = folder / "run", folder / "record", folder / "log"
        self.repeats, self.sessions = REPEATS, 0
        self._machines = machines
        self.begin()

    def begin(self) -> None:
        """Start it."""
        given = [self._machines.address, self.run, self.record, "--repeats", self.repeats, "--patience", PATIENCE]
        command = [sys.executable, "-m", "tests.distributed.driver", *map(str, given), "--engines", "2"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, env=environ(), stdout=log, stderr=log)
        self.sessions += 1

    def tend(self) -> None:
        """Start it again where it has ended, with more to do where it had done all."""
        if (status := self.process.poll()) is not None:
            self.repeats += REPEATS * (status == 0)
            self.begin()

    def come_to_work(self) -> None:
        """Wait until its episodes get replies: what stands still while it starts has half an hour to go on."""
        self.tend()
        ends = time.monotonic() + FINISH_S
        while not self.record.exists() or time.time() - self.record.stat().st_mtime > 1.0:
            assert time.monotonic() < ends, self.log.read_text()[-3000:]
            time.sleep(0.1)
            self.tend()

    def finish(self) -> None:
        """Let it do all that is left."""
        while self.process.wait(FINISH_S):
            self.begin()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class Trouble:
    """Kills and freezes something of a cluster, or the driver of its run.

    Attributes:
        done: How often it did what.
    """

    def __init__(self, machines: Machines, driver: Driver, seed: int) -> None:
        self.machines, self.driver, self.rng = machines, driver, random.Random(seed)
        self.done = Counter[str]()
        self._ways: dict[str, tuple[int, Callable[[], None]]] = {
            "kill a worker": (4, partial(self._signal, signal.SIGKILL, WORKER)),
            "stop a worker": (2, partial(self._signal, signal.SIGSTOP, WORKER)),
            "kill an engine": (3, partial(self._signal, signal.SIGKILL, ENGINE)),
            "stop an engine": (1, partial(self._signal, signal.SIGSTOP, ENGINE)),
            "kill a node": (2, self._kill_node),
            "stop a node": (1, self._stop_node),
            "kill all nodes": (1, machines.renew),
            "kill the driver": (1, driver.kill),
        }

    def strike(self) -> None:
        """Do one of them: each once, then as they come."""
        ways = [how for how in self._ways if how not in self.done] or list(self._ways)
        (how,) = self.rng.choices(ways, [self._ways[how][0] for how in ways])
        with contextlib.suppress(IndexError, psutil.NoSuchProcess):  # there is none, or it has gone by itself
            self._ways[how][1]()
            self.done[how] += 1

    def _signal(self, number: int, kind: str) -> None:
        self.rng.choice(self.machines.find(kind)).send_signal(number)

    def _kill_node(self) -> None:
        self.machines.kill(self.rng.choice(self.machines.nodes))
        self.machines.add()

    def _stop_node(self) -> None:
        node = self.rng.choice(self.machines.nodes)
        self.machines.stop(node)
        time.sleep(self.rng.uniform(0.5, 1.5) * PATIENCE)
        self.machines.go_on(node)


@pytest.mark.parametrize(
    "seconds",
    [
        pytest.param(25.0, marks=[pytest.mark.integration, pytest.mark.timeout(300)], id="small"),
        pytest.param(SECONDS, marks=[pytest.mark.soak, pytest.mark.timeout(7200)], id="whole"),
    ],
)
def test_every_episode_is_there_once_with_its_reward_and_tokens(seconds: float, tmp_path: Path) -> None:
    rng = random.Random(seed := int(os.environ.get("SOAK_SEED", "0")))
    with contextlib.ExitStack() as stack:
        machines = Machines(nodes=2, num_cpus=2)
        stack.callback(machines.close)
        driver = Driver(machines, tmp_path)
        stack.callback(driver.kill)
        trouble = Trouble(machines, driver, seed)
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            driver.come_to_work()
            time.sleep(rng.uniform(0.0, min(10.0, seconds / 20)))
            trouble.strike()
        driver.finish()
        figures = audit(driver)
        assert trouble.done
    print(f"\n{figures | dict(trouble.done)}")


def audit(driver: Driver) -> dict[str, int]:
    """See that nothing is lost, doubled, or scored by mistake, and that tokens are exact; gives figures."""
    rows = [trajectory.id for trajectory in read_rollouts(driver.run)]
    assert len(set(rows)) == len(rows) == LETTERS * driver.repeats
    assert {(one.status, one.reward) for one in read_rollouts(driver.run)} == {("completed", 1.25)}
    tokens = check_exact(driver.run, driver.record)
    failures = [orjson.loads(line) for line in (driver.run / "failures.jsonl").read_bytes().splitlines()]
    for row in failures:
        assert row["reward"] is None
        assert row["failure"]["kind"] in MAY_FAIL, row["failure"]
    return {"rows": len(rows), "tokens": tokens, "failures": len(failures), "sessions": driver.sessions}
