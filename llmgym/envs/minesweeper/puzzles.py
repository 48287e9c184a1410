"""Tasks of Minesweeper: fields that are cleared without a guess."""

from __future__ import annotations

from dataclasses import dataclass
from math import comb
from typing import Any

import numpy as np

from llmgym.envs.games import draw, phrase
from llmgym.envs.minesweeper.field import Field, cells_of, deduced
from llmgym.errors import ConfigError
from llmgym.tasks import Task

_PHRASINGS = (
    "Open every cell that has no mine.",
    "Clear this minefield.",
    "Here is a minefield; the first cell has been opened for you. Find all safe cells.",
    "Play this game of Minesweeper to its end.",
)


@dataclass(frozen=True, slots=True)
class Fields:
    """Makes tasks.

    Attributes:
        rows: Rows of a field.
        columns: Columns of a field.
        mines: Mines in it.
        least: Least number of openings that a solution without a guess takes.
    """

    rows: int
    columns: int
    mines: int
    least: int

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not (3 <= self.rows <= 16 and 3 <= self.columns <= 16):
            raise ConfigError(f"a field has 3 to 16 rows and columns, not {self.rows} and {self.columns}")
        if not 1 <= self.mines <= self.rows * self.columns // 4:
            raise ConfigError(f"mines is {self.mines}; from 1 to a quarter of the cells")
        if not 1 <= self.least <= self.rows * self.columns // 3:
            raise ConfigError(f"least is {self.least}; from 1 to a third of the cells")

    def __call__(self, rng: np.random.Generator) -> Task:
        """A field that is cleared without a guess, and not by luck."""
        size = self.rows * self.columns
        while True:
            order = rng.permutation(size).tolist()
            field = Field(self.rows, self.columns, sum(1 << cell for cell in order[: self.mines]))
            first = order[self.mines]
            if field.number(first):
                continue
            openings = solve(field, first)
            if openings is not None and len(openings) >= self.least and not _lucky(field, first):
                return as_task(field, first)


def _lucky(field: Field, first: int) -> bool:
    """Whether too few arrangements of the mines are left to the first look for chance to fail."""
    field.opened = 0
    field.open(first)
    hidden = field.rows * field.columns - field.opened.bit_count()
    return comb(hidden, field.mines.bit_count()) < 100


def solve(field: Field, first: int) -> list[int] | None:
    """The cells to open after the first one, each known to be safe by then; None where a guess is needed."""
    field.opened = 0
    field.open(first)
    mines, openings = field.mines.bit_count(), list[int]()
    while field.opened != field.safe:
        if not (safe := deduced(field, mines)):
            return None
        for cell in cells_of(safe):
            if not field.opened >> cell & 1:
                field.open(cell)
                openings.append(cell)
    return openings


def as_task(field: Field, first: int, task_id: Any = "") -> Task:
    """The task of a field and the cell that is opened in advance."""
    mines = [[cell // field.columns + 1, cell % field.columns + 1] for cell in cells_of(field.mines)]
    field.opened = 0
    field.open(first)
    to_open = (field.safe & ~field.opened).bit_count()
    metadata = {
        "rows": field.rows,
        "columns": field.columns,
        "first": [first // field.columns + 1, first % field.columns + 1],
        "moves": to_open + 4,
    }
    text = phrase(_PHRASINGS, str((mines, metadata)))
    size = f"The field has {field.rows} rows, {field.columns} columns and {len(mines)} mine{'s' * (len(mines) > 1)}."
    prompt = f"{text} {size} You have {metadata['moves']} moves.\n\n{drawn(field)}"
    return Task(id=task_id, prompt=prompt, answer=mines, metadata=metadata)


def drawn(field: Field, *, mines: bool = False) -> str:
    """The field as the player sees it, or with the mines."""
    cells = [
        "*" if mines and field.mines >> cell & 1 else str(field.number(cell)) if field.opened >> cell & 1 else "."
        for cell in range(field.rows * field.columns)
    ]
    rows = [cells[i : i + field.columns] for i in range(0, len(cells), field.columns)]
    return draw(rows, numbered=True)


def read_field(row: dict[str, Any]) -> Task:
    """The task of a row with a `field`, in lines of `*` and `.`, and the `first` cell.

    Raises:
        ValueError: It is no such field, or takes a guess.
    """
    given, first = row["field"], row["first"]
    lines = given.strip("\n").split("\n") if isinstance(given, str) else given
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        raise ValueError(f"field {given!r:.100} is not a text or a list of lines")
    if not 1 <= len(lines) <= 16 or len(set(map(len, lines))) != 1 or not 1 <= len(lines[0]) <= 16:
        raise ValueError("a field has up to 16 lines of the same length, up to 16")
    text = "".join(lines)
    if set(text) - {"*", "."} or "*" not in text:
        raise ValueError("a field has a * for each mine and a . for each other cell, and at least one mine")
    field = Field(len(lines), len(lines[0]), sum(1 << i for i, cell in enumerate(text) if cell == "*"))
    match first:
        case [int(line), int(column)] if 1 <= line <= field.rows and 1 <= column <= field.columns:
            cell = (line - 1) * field.columns + column - 1
        case _:
            raise ValueError(f"first is {first!r:.100}; a row and a column of the field, from 1")
    if field.mines >> cell & 1:
        raise ValueError(f"there is a mine at the first cell, {first}")
    if not (openings := solve(field, cell)):
        raise ValueError("the field takes a guess" if openings is None else "the first cell clears the field")
    return as_task(field, cell, row.get("id", ""))
