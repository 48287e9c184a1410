"""Episodes of several agents, in a process that is killed in the middle of their lines."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from itertools import groupby
from pathlib import Path
from typing import Any

import orjson
import pytest

from llmgym.rollout import open_records
from tests.command import environ
from tests.rollouts import ROOT
from tests.soak.games import ENV, agents, fails

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="names files by /proc")

Row = dict[str, Any]


@pytest.mark.parametrize(
    "kills",
    [
        pytest.param(8, marks=pytest.mark.integration),
        pytest.param(100, marks=[pytest.mark.soak, pytest.mark.timeout(1200)]),
    ],
)
def test_a_game_is_there_with_all_of_its_agents_or_not_at_all(kills: int, tmp_path: Path) -> None:
    rng = random.Random(kills)
    before = {"rollouts.jsonl": b"", "failures.jsonl": b""}
    killed = count = 0
    while killed < kills:
        count += 4
        name = rng.choice(["rollouts.jsonl", "rollouts.jsonl", "failures.jsonl"])
        killed += play(tmp_path, count, f"write {name} {rng.randrange(1, 4)} {rng.random()}") < 0
        before = check(tmp_path / "run", before)
        with (tmp_path / "run" / name).open("ab") as end:  # what a disk that lost its power may leave
            end.write(before[name][: rng.randrange(3000)].partition(b"\n")[0])
    while play(tmp_path, count) or open_records(tmp_path / "run").failed:
        pass
    episodes = read_episodes(check(tmp_path / "run", before)["rollouts.jsonl"])
    assert Counter(rows[0]["episode_id"] for rows in episodes) == {f"{ENV}/{number}/0": 1 for number in range(count)}


def read_episodes(journal: bytes) -> list[list[Row]]:
    """The rows of episodes, one after the other; the last may not have all of its agents."""
    rows = [orjson.loads(line) for line in journal.splitlines()]
    return [list(group) for _, group in groupby(rows, lambda row: (row["episode_id"], mark_of(row)))]


def mark_of(row: Row) -> str:
    return row["responses_create_params"]["input"][0]["content"]


def check(folder: Path, before: dict[str, bytes]) -> dict[str, bytes]:
    """See what a folder holds after a session; gives what must stay there."""
    now = {name: (folder / name).read_bytes() for name in before}
    assert all(now[name].startswith(before[name]) for name in before)
    now = {name: journal[: journal.rfind(b"\n") + 1] for name, journal in now.items()}
    finished, lost = read_episodes(now["rollouts.jsonl"]), read_episodes(now["failures.jsonl"])
    if finished and len(finished[-1]) < finished[-1][0]["agents"]:
        torn = finished.pop()
        lines = now["rollouts.jsonl"].splitlines(keepends=True)
        now["rollouts.jsonl"] = b"".join(lines[: -len(torn)])
    for rows in finished:
        names = agents(int(rows[0]["group_id"].rpartition("/")[2]))
        assert [(row["agent"], row["reward"]) for row in rows] == [(a, float(n)) for n, a in enumerate(names)]
        assert not fails(mark_of(rows[0]))
    for rows in lost:
        assert all(row["reward"] is None and fails(mark_of(row)) for row in rows)
    run = open_records(folder)
    assert list(run.records) == [row["id"] for rows in finished for row in rows]
    names = {rows[0]["episode_id"] for rows in lost} - {rows[0]["episode_id"] for rows in finished}
    assert sorted(failure.episode_id for failure in run.failed) == sorted(names), "a failure counts once"
    return now


def play(folder: Path, count: int, moment: str = "") -> int:
    """A session; gives its exit status."""
    command = [sys.executable, "-m", "tests.soak.games", str(count)]
    env = environ(SOAK=str(folder), SOAK_DIE=moment)
    done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode in (0, -9), done.stderr
    return done.returncode
