"""Thousands of episodes in which everything goes wrong, in a process that is killed again and again and resumes."""

from __future__ import annotations

import os
import random
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.soak.audit import audit
from tests.soak.sessions import KILLS, REPEATS, Run

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for processes in /proc")

SCALE = float(os.environ.get("SOAK_SCALE", "1"))


@dataclass(frozen=True)
class Size:
    """How long a soak is."""

    episodes: int
    kills: int
    signals: int
    seed: int = 0


SMALL = Size(60, 5, 1)
WHOLE = Size(int(2000 * SCALE), int(100 * SCALE), int(10 * SCALE), seed=int(os.environ.get("SOAK_SEED", "0")))


@pytest.mark.parametrize(
    "size",
    [
        pytest.param(SMALL, marks=[pytest.mark.integration, pytest.mark.timeout(600)], id="small"),
        pytest.param(WHOLE, marks=[pytest.mark.soak, pytest.mark.timeout(7200)], id="whole"),
    ],
)
def test_no_episode_is_lost_doubled_contaminated_or_scored_for_a_failure(size: Size, tmp_path: Path) -> None:
    began = time.monotonic()
    rng = random.Random(size.seed)
    run = Run(tmp_path, rng)
    num_tasks = size.episodes // (2 * REPEATS)
    for done, how in enumerate(ends(size, rng)):
        # The run grows with the kills, so that they fall on all of it.
        grown = min(num_tasks, 2 + num_tasks * (done + 2) // (size.kills + 2 * size.signals))
        while run.session(grown, how).complete:  # the moment did not come
            how = "kill at the start"
    while run.session(num_tasks, "its own end").status != 0:
        pass
    figures = audit(run, num_tasks)
    assert figures["rows"] == num_tasks * 2 * REPEATS
    assert figures["kills"] >= size.kills
    print(f"\n{figures | {'seconds': round(time.monotonic() - began)}}")


def ends(size: Size, rng: random.Random) -> list[str]:
    """How the sessions are ended, each way at least once."""
    ways = [*KILLS, *rng.choices(list(KILLS), list(KILLS.values()), k=max(0, size.kills - len(KILLS)))]
    ways += ["SIGTERM", "SIGINT"] * size.signals
    rng.shuffle(ways)
    return ways
