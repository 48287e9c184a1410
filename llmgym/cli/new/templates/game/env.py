"""A robot that has to find its way to a flag."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from llmgym import Episode, Message, Reward, Task, TaskSet, ToolEnv, assistant, tool, tool_call

Direction = Literal["up", "down", "left", "right"]
Cell = tuple[int, int]

_STEPS: dict[Direction, Cell] = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}
_FREE, _PIT, _ROBOT, _FLAG = ".#RF"
_RULES = f"""Drive the robot {_ROBOT} to the flag {_FLAG}, a cell at a time. It breaks in a pit, which is {_PIT}; \
{_FREE} is floor. The floor is:

"""


@dataclass(frozen=True)
class Floors:
    """Makes tasks: what it gives depends on the generator that it is given, and on nothing else.

    Attributes:
        size: Rows and columns of a floor.
    """

    size: int

    def __call__(self, rng: np.random.Generator) -> Task:
        """Make a task: a floor whose shortest way has at least as many steps as it has rows, and is not straight."""
        while True:
            pits = rng.random((self.size, self.size)) < 0.3
            cells = [(int(row), int(column)) for row, column in rng.permutation(np.argwhere(~pits))]
            if len(cells) < 2:
                continue
            robot, flag = cells[:2]
            way = shortest_way(pits.tolist(), robot, flag)
            if way is not None and len(way) >= self.size and len(set(way)) > 1:
                break
        rows = [[_PIT if pit else _FREE for pit in row] for row in pits.tolist()]
        rows[robot[0]][robot[1]], rows[flag[0]][flag[1]] = _ROBOT, _FLAG
        floor = ["".join(row) for row in rows]
        return Task(prompt=_RULES + "\n".join(floor), metadata={"floor": floor})


def shortest_way(pits: list[list[bool]], start: Cell, end: Cell) -> list[Direction] | None:
    """The steps of a shortest way around the pits; None where there is no way."""
    ways: dict[Cell, list[Direction]] = {start: []}
    edge = [start]
    while edge and end not in ways:
        cell = edge.pop(0)
        for direction, (down, right) in _STEPS.items():
            there = (cell[0] + down, cell[1] + right)
            on_floor = 0 <= there[0] < len(pits) and 0 <= there[1] < len(pits)
            if on_floor and there not in ways and not pits[there[0]][there[1]]:
                ways[there] = [*ways[cell], direction]
                edge.append(there)
    return ways.get(end)


class Scaffolded(ToolEnv):
    """Drive a robot to a flag.

    ## Description

    A floor of square cells, some of them pits, a robot and a flag. There is always a way.

    ## Actions

    Calls of `move`, a cell each.

    ## Observations

    The floor; then what each step did.

    ## Rewards

    1 where the robot reaches the flag, else 0.

    ## Episode End

    At the flag, in a pit, or with a reply without a call; truncates after `max_turns` messages.

    ## Arguments

    - `size` (6): rows and columns of a floor, at least 3.
    """

    max_turns = 30

    def __init__(self, *, size: int = 6, tasks: TaskSet | str | None = None, **options: Any) -> None:
        """Make the environment.

        Args:
            size: Rows and columns of a floor.
            tasks: Other floors: rows with `prompt` and `floor`, a list of lines.
            **options: Passed to `ToolEnv`.
        """
        super().__init__(tasks=TaskSet.generated(Floors(size)) if tasks is None else tasks, **options)

    def setup(self, task: Task) -> None:
        """Put the robot down: the state of an episode is made here, anew for each."""
        self.floor = list(task.metadata["floor"])
        self.robot, self.flag = self._find(_ROBOT), self._find(_FLAG)

    def _find(self, mark: str) -> Cell:
        return next((row, line.index(mark)) for row, line in enumerate(self.floor) if mark in line)

    @tool(serial=True)
    def move(self, direction: Direction) -> str:
        """Move the robot by a cell.

        Args:
            direction: Where to.
        """
        down, right = _STEPS[direction]
        row, column = self.robot[0] + down, self.robot[1] + right
        if not (0 <= row < len(self.floor) and 0 <= column < len(self.floor[row])):
            return "There is a wall. The robot stays where it is."
        self.robot = row, column
        if self.robot == self.flag:
            self.finish()
            return "The robot is at the flag."
        if self.floor[row][column] == _PIT:
            self.finish()
            return "The robot has fallen into a pit."
        return f"The robot is in row {row + 1}, column {column + 1}."

    def verify(self, episode: Episode) -> Reward:
        """Pay for the flag."""
        return Reward(arrived=float(self.robot == self.flag))

    def oracle(self, task: Task) -> Iterator[Message]:
        """Go the shortest way."""
        pits = [[mark == _PIT for mark in line] for line in self.floor]
        for direction in shortest_way(pits, self.robot, self.flag) or ():
            yield assistant("", tool_call("move", direction=direction))
