"""Mazes: corridors between walls, with one way between any two cells or a few more."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np

from llmgym.envs.games import DIRECTIONS, Direction, draw, in_letters, phrase
from llmgym.errors import ConfigError
from llmgym.tasks import Task

WALL, FLOOR, PLAYER, EXIT, UNSEEN = "#", ".", "P", "E", "?"
Cell = tuple[int, int]

_PHRASINGS = (
    "Find the way to the exit.",
    "Walk from P to the exit of this maze.",
    "You stand in a maze. Leave it by its exit.",
    "Reach the exit of the maze.",
)


@dataclass(frozen=True, slots=True)
class Mazes:
    """Makes tasks.

    Attributes:
        size: Cells of a side that are not walls in any case; the drawing has twice as many and one.
        loops: Share of the inner walls that are taken out.
        sight: Cells that the player sees each way; 0 shows the whole maze.
    """

    size: int
    loops: float
    sight: int

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not (3 <= self.size <= 12 and 0 <= self.loops <= 0.5 and 0 <= self.sight <= 5):
            raise ConfigError(
                f"size is {self.size}, loops is {self.loops} and sight is {self.sight}; 3 to 12, 0 to 0.5 and 0 to 5"
            )

    def __call__(self, rng: np.random.Generator) -> Task:
        """A maze whose way has at least two steps for each cell of a side, and turns."""
        while True:
            rows = carved(self.size, self.loops, rng)
            cells = rng.permutation(self.size**2)[:2].tolist()
            start, end = ((2 * (cell // self.size) + 1, 2 * (cell % self.size) + 1) for cell in cells)
            way = shortest(rows, start, end)
            turns = sum(a != b for a, b in zip(way or (), (way or ())[1:], strict=False))
            if way and len(way) >= 2 * self.size and turns >= 3:
                return as_task(rows, start, end, way, self.sight)


def carved(size: int, loops: float, rng: np.random.Generator) -> list[str]:
    """Rows of a maze, carved by a walk that turns back where it cannot go on."""
    side = 2 * size + 1
    grid = [[WALL] * side for _ in range(side)]
    chances = iter(rng.random(2 * size * size + 4 * size).tolist())
    grid[1][1] = FLOOR
    path: list[Cell] = [(1, 1)]
    while path:
        row, column = path[-1]
        ways = [
            (row + 2 * r, column + 2 * c, row + r, column + c)
            for r, c in DIRECTIONS.values()
            if 0 < row + 2 * r < side and 0 < column + 2 * c < side and grid[row + 2 * r][column + 2 * c] == WALL
        ]
        if not ways:
            path.pop()
            continue
        r, c, between_r, between_c = ways[int(next(chances) * len(ways))]
        grid[r][c] = grid[between_r][between_c] = FLOOR
        path.append((r, c))
    if loops:
        inner = [(r, c) for r in range(1, side - 1) for c in range(1, side - 1) if (r + c) % 2 and grid[r][c] == WALL]
        for place in rng.permutation(len(inner))[: int(loops * len(inner))].tolist():
            grid[inner[place][0]][inner[place][1]] = FLOOR
    return ["".join(row) for row in grid]


def shortest(rows: list[str], start: Cell, end: Cell) -> list[Direction] | None:
    """A shortest way, or None where there is none."""
    came: dict[Cell, tuple[Cell, Direction] | None] = {start: None}
    queue = deque([start])
    while queue and end not in came:
        row, column = queue.popleft()
        for name, (r, c) in DIRECTIONS.items():
            to = (row + r, column + c)
            if rows[to[0]][to[1]] != WALL and to not in came:
                came[to] = ((row, column), name)
                queue.append(to)
    if end not in came:
        return None
    way: list[Direction] = []
    at = end
    while (step := came[at]) is not None:
        at, name = step
        way.append(name)
    return way[::-1]


def as_task(rows: list[str], start: Cell, end: Cell, way: list[Direction], sight: int, task_id: Any = "") -> Task:
    """The task of a maze and a shortest way through it."""
    floor = sum(row.count(FLOOR) for row in rows)
    moves = 2 * floor if sight else len(way) + len(way) // 2 + 2
    metadata = {"maze": rows, "start": list(start), "exit": list(end), "sight": sight, "moves": moves}
    text = phrase(_PHRASINGS, str((rows, start, end)))
    prompt = f"{text} You have {moves} moves.\n\n{view(rows, start, end, sight)}"
    return Task(id=task_id, prompt=prompt, answer=in_letters(way), metadata=metadata)


def view(rows: list[str], player: Cell, end: Cell, sight: int) -> str:
    """What the player sees: the maze, or the cells nearby and where the player and the exit are."""

    def cell(row: int, column: int) -> str:
        if not (0 <= row < len(rows) and 0 <= column < len(rows[0])):
            return UNSEEN
        return PLAYER if (row, column) == player else EXIT if (row, column) == end else rows[row][column]

    if not sight:
        return draw([cell(row, column) for column in range(len(rows[0]))] for row in range(len(rows)))
    near = range(-sight, sight + 1)
    seen = draw([cell(player[0] + r, player[1] + c) for c in near] for r in near)
    where = f"You are in row {player[0]}, column {player[1]}; the exit is in row {end[0]}, column {end[1]}."
    return f"{seen}\n{where}"


def read_maze(row: dict[str, Any]) -> Task:
    """The task of a row with a `maze`, in lines of `#`, `.`, one `P` and one `E`, and maybe a `sight`.

    Raises:
        ValueError: It is no maze, or has no way to the exit.
    """
    given, sight = row["maze"], row.get("sight") or 0
    rows = given.strip("\n").split("\n") if isinstance(given, str) else list(given)
    if not 3 <= len(rows) <= 40 or len(set(map(len, rows))) != 1 or not 3 <= len(rows[0]) <= 40:
        raise ValueError("a maze has 3 to 40 lines of the same length, 3 to 40")
    text = "".join(rows)
    if set(text) - set("#.PE") or text.count(PLAYER) != 1 or text.count(EXIT) != 1:
        raise ValueError("a maze has # for walls, . for floor, one P and one E")
    if set(rows[0] + rows[-1] + "".join(line[0] + line[-1] for line in rows)) != {WALL}:
        raise ValueError("a maze has walls all around")
    if type(sight) is not int or not 0 <= sight <= 5:
        raise ValueError(f"sight is {sight!r:.100}; 0 to 5")
    start, end = (divmod(text.index(mark), len(rows[0])) for mark in (PLAYER, EXIT))
    rows = [line.replace(PLAYER, FLOOR).replace(EXIT, FLOOR) for line in rows]
    if (way := shortest(rows, start, end)) is None:
        raise ValueError("there is no way to the exit")
    return as_task(rows, start, end, way, sight, row.get("id", ""))
