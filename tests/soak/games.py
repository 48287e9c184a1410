"""Writes episodes of several agents into a run folder, for as long as it lives: `python -m tests.soak.games COUNT`."""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path
from typing import Any

from llmgym.failures import Failure
from llmgym.messages import assistant, user
from llmgym.rollout import RunStore
from llmgym.tasks import Task
from llmgym.trajectory import Trajectory
from tests.soak.chaos import ledger
from tests.soak.driver import arm

ENV = "test/Game-v0"
IDENTITY: dict[str, Any] = {"environments": [{"id": ENV, "kwargs": {}}]}
LOST = Failure("infrastructure", "tool", "possible", "OSError")


def agents(number: int) -> list[str]:
    """Who plays a game."""
    return ["north", "east", "south", "west"][: random.Random(number).randrange(1, 5)]


def fails(mark: str) -> bool:
    """Whether a start of a game fails."""
    return random.Random(mark).random() < 0.4


def game(number: int, mark: str) -> list[Trajectory]:
    """A game, of as many trajectories as it has agents; where it fails, one of them says why."""
    names, failed = agents(number), fails(mark)
    played: list[Trajectory] = []
    for place, agent in enumerate(names):
        t = Trajectory(ENV, str(number), 0, 1, reward=None if failed else float(place), agent=agent, agents=len(names))
        t.task = Task(id=str(number), prompt=f"game {number}")
        t.messages, t.opening = [user(mark), *(assistant(f"{agent} of {mark}") for _ in range(200))], 1
        if failed:
            t.status, t.failure, t.error = "env_error", LOST if place == len(names) - 1 else None, mark
        played.append(t)
    return played


def main() -> None:
    arm(os.environ.get("SOAK_DIE", ""))
    folder = Path(os.environ["SOAK"])
    store = RunStore(folder / "run", IDENTITY, {}, 0.05)
    done = {record.episode_id for record in store.records.values()}
    for number in range(int(sys.argv[1])):
        if f"{ENV}/{number}/0" not in done:
            store.append(*game(number, ledger().begin(f"G{number}")))
    store.close()


if __name__ == "__main__":
    main()
