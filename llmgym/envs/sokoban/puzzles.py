"""Tasks of Sokoban."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from llmgym.envs.games import Direction, draw, in_letters, phrase
from llmgym.envs.sokoban.levels import Level, Search, bits, reach, read_level
from llmgym.errors import ConfigError
from llmgym.tasks import Task

_SEARCHED = 1500  # states of a room, after which its deeper ones are left out
_SOLVED = 300_000  # states that are searched for the solution of a level of the user's
_PHRASINGS = (
    "Push every box onto a goal.",
    "Solve this Sokoban level.",
    "Here is a warehouse. Bring all of the boxes to the goals.",
    "This is the room. It is solved when each box stands on a goal.",
)


@dataclass(frozen=True, slots=True)
class Puzzles:
    """Makes tasks.

    Attributes:
        size: Cells of a side, without the walls around.
        boxes: Boxes.
        walls: Share of the cells that are walls.
        pushes: Least and most pushes of a shortest solution.
    """

    size: int
    boxes: int
    walls: float
    pushes: tuple[int, int]

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not (3 <= self.size <= 8 and 1 <= self.boxes <= 4 and 0 <= self.walls <= 0.4):
            raise ConfigError(
                f"size is {self.size}, boxes is {self.boxes} and walls is {self.walls}; 3 to 8, 1 to 4 and 0 to 0.4"
            )
        if not 1 <= self.pushes[0] <= self.pushes[1] <= 10:
            raise ConfigError(f"pushes is {self.pushes}; least and most, of 1 to 10")

    def __call__(self, rng: np.random.Generator) -> Task:
        """A level."""
        while True:
            room = self._room(rng)
            if room is None:
                continue
            search = Search(room, _SEARCHED)
            layers = search.layers[self.pushes[0] : self.pushes[1] + 1]
            states = [state for layer in layers for state in layer if not state[0] & room.goals]
            if not states:
                continue
            boxes, region = states[rng.integers(len(states))]
            cells = list(bits(region))
            level = Level(room.width, room.floor, room.goals, boxes, cells[rng.integers(len(cells))])
            steps = search.solution(level.player, level.state)
            if len(set(steps)) > 1:  # nothing to be had by going one way
                return as_task(level, steps)

    def _room(self, rng: np.random.Generator) -> Level | None:
        """A solved room, or None where it came out too small."""
        width = self.size + 2
        inside = [row * width + column for row in range(1, width - 1) for column in range(1, width - 1)]
        chances = rng.random(len(inside)).tolist()
        order = rng.permutation(len(inside)).tolist()
        floor = sum(1 << cell for cell, chance in zip(inside, chances, strict=True) if chance >= self.walls)
        if not (start := floor & 1 << inside[order[0]]):
            return None
        floor = reach(start, floor, width)
        if floor.bit_count() < max(self.boxes * 3 + 3, self.size**2 // 2):
            return None
        goals = [1 << inside[i] for i in order if floor & 1 << inside[i]][: self.boxes]
        return Level(width, floor, sum(goals), sum(goals), 0)


def as_task(level: Level, steps: Sequence[Direction], task_id: Any = "") -> Task:
    """The task of a level and the steps that solve it."""
    rows = level.rows()
    metadata = {"level": rows, "moves": 2 * len(steps) + 4}
    prompt = f"{phrase(_PHRASINGS, ''.join(rows))}\n\n{draw(rows)}\n\nYou have {metadata['moves']} moves."
    return Task(id=task_id, prompt=prompt, answer=in_letters(steps), metadata=metadata)


def solved_level(rows: list[str], task_id: Any = "") -> Task:
    """The task of a level of the user's.

    Raises:
        ValueError: It is no level, or no solution was found.
    """
    level = read_level(rows)
    state = level.state
    search = Search(level, _SOLVED, state)
    if state not in search.pushes:
        cut = "in the states that were searched" if search.layers[-1] else "at all"
        raise ValueError(f"the level has no solution {cut}")
    if search.pushes[state] is None:
        raise ValueError("the level is solved already")
    return as_task(level, search.solution(level.player, state), task_id)
