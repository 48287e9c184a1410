"""Tasks of Sudoku."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from llmgym.envs.games import draw, phrase
from llmgym.envs.sudoku.grids import BLOCKS, Grid, conflict, reduced, shuffled, solutions
from llmgym.errors import ConfigError
from llmgym.tasks import Task

_BASES = 64  # puzzles of a kind whose digits are taken out one by one; all others are these with their parts exchanged
_SMALL, _OF = 4, 8  # of small puzzles, where digits by chance may be right, the least obvious one of these
_PHRASINGS = (
    "Solve this Sudoku.",
    "Fill in the empty cells of this Sudoku.",
    "Here is a Sudoku with one solution. Find it.",
    "Complete the grid.",
)


@dataclass(frozen=True, slots=True)
class Puzzles:
    """Makes tasks.

    Attributes:
        size: Rows, columns and digits.
        empty: Cells to fill, where so many can be.
    """

    size: int
    empty: int

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.size not in BLOCKS:
            raise ConfigError(f"size is {self.size}; there is {', '.join(map(str, BLOCKS))}")
        if not 1 <= self.empty <= self.size**2 * 3 // 4:
            raise ConfigError(f"empty is {self.empty}; from 1 to three quarters of the cells")

    def __call__(self, rng: np.random.Generator) -> Task:
        """A puzzle with one solution."""
        return as_task(*shuffled(list(_base(self.size, self.empty, int(rng.integers(_BASES)))), rng))


@lru_cache(maxsize=4 * _BASES)
def _base(size: int, empty: int, seed: int) -> tuple[Grid, Grid]:
    """A puzzle and its only solution."""
    rng = np.random.Generator(np.random.PCG64([size, empty, seed]))
    puzzle = max((reduced(size, empty, rng) for _ in range(_OF if size == _SMALL else 1)), key=_openness)
    (solution,) = solutions(puzzle)
    return puzzle, solution


def _openness(puzzle: Grid) -> int:
    """How many digits may stand in the empty cells by the rules, all in all."""
    digits = range(len(puzzle))
    empty = [(row, column) for row in digits for column in digits if not puzzle[row][column]]
    return sum(not conflict(puzzle, row, column, digit + 1) for row, column in empty for digit in digits)


def as_task(puzzle: Grid, solution: Grid, task_id: Any = "") -> Task:
    """The task of a puzzle."""
    height, width = BLOCKS[len(puzzle)]
    text = phrase(_PHRASINGS, str(puzzle))
    rule = (
        f"Each row, each column and each block of {height} rows and {width} columns has every digit from 1 to "
        f"{len(puzzle)} once. A dot is an empty cell."
    )
    return Task(id=task_id, prompt=f"{text} {rule}\n\n{drawn(puzzle)}", answer=solution, metadata={"puzzle": puzzle})


def drawn(grid: Grid, *, numbered: bool = False) -> str:
    """A grid as text."""
    return draw(([digit or "." for digit in row] for row in grid), numbered=numbered)


def read_puzzle(row: dict[str, Any]) -> Task:
    """The task of a row with a `puzzle`: a text of digits, with dots or zeros for empty cells, or a list of lists.

    Raises:
        ValueError: It is no such puzzle, or has not one solution.
    """
    given = row["puzzle"]
    if isinstance(given, str):
        cells = [0 if cell == "." else int(cell) for cell in given if cell == "." or "0" <= cell <= "9"]
        size = next((size for size in BLOCKS if size**2 == len(cells)), 0)
        grid = [cells[i : i + size] for i in range(0, len(cells), size)] if size else []
    else:
        grid = [list(line) for line in given]
    size = len(grid)
    if size not in BLOCKS or any(len(line) != size for line in grid):
        raise ValueError(f"puzzle {given!r:.100} is no grid of {', '.join(f'{n} by {n}' for n in BLOCKS)} cells")
    if not all(type(digit) is int and 0 <= digit <= size for line in grid for digit in line):
        raise ValueError(f"a cell holds a digit from 1 to {size}, or 0 where it is empty")
    found = solutions(grid)
    if len(found) != 1 or found[0] == grid:
        wrong = "is full" if found and found[0] == grid else f"has {'no' if not found else 'more than one'} solution"
        raise ValueError(f"the puzzle {wrong}")
    return as_task(grid, found[0], row.get("id", ""))
