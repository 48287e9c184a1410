"""Minesweeper: open all cells without a mine, by what the numbers tell."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from llmgym.envs.games import Game
from llmgym.envs.minesweeper.field import Field
from llmgym.envs.minesweeper.puzzles import Fields, drawn, read_field, solve
from llmgym.errors import ToolError
from llmgym.tasks import Task, TaskSet, schema_of_row
from llmgym.tools import tool

Cell = tuple[int, int]
Number = Annotated[int, Meta(ge=1, le=16)]

_CELL = re.compile(r"\W*(?:row|r)?\W*(\d{1,3})(?:\W*(?:column|col|c)\W*|\W+)(\d{1,3})\W*", re.IGNORECASE)


class Minesweeper(Game):
    """Open all cells without a mine, by what the numbers tell.

    ## Description

    A field in which mines are hidden. An open cell shows how many of the up to eight cells around it have a mine; where
    that is none, those around it are opened too. The first cell is opened in advance, and has no mine around it.
    Fields are kept where a solver clears them without a guess: from each number, from pairs of numbers, from the
    number of all mines, and at last from all arrangements that are left.

    ## Actions

    Calls of `reveal`, each with a row and a column from 1. A text with `<move>3 4</move>` does the same, and so does
    one that is nothing but two numbers. There are no flags.

    ## Observations

    The rules, the number of mines and the field with its rows and columns numbered (`.` hidden, `0` to `8` open); then
    after each call the field and how many moves are left.

    ## Rewards

    1 where all cells without a mine are open, else 0.

    Metrics: `moves`, `illegal_moves`, `opened` (the share of the safe cells, without those that were open at first).

    ## Episode End

    Terminates when the field is cleared, when a mine is opened, or when the moves are spent: as many as there are safe
    cells, and four. Opening a cell that is open costs one, and so does a message without a move. Truncates after
    `max_turns` messages.

    ## Arguments

    - `rows` (6), `columns` (6): size of the field, 3 to 16 each.
    - `mines` (6): mines in it, up to a quarter of the cells.
    - `least` (5): least number of openings that clear the field as the solver does it.
    - `offer_tools` (True): the tool `reveal`; otherwise moves are written.
    - `tasks`: a file of rows with `field` (lines of `*` for mines and `.`) and `first`, the row and column of the
      cell that is opened in advance. A field that takes a guess is refused.

    ## Registered Variants

    - `llmgym/Minesweeper-v0`: 6 by 6 cells, 6 mines.
    - `llmgym/Minesweeper-easy-v0`: 5 by 5 cells, 4 mines.
    - `llmgym/Minesweeper-hard-v0`: 9 by 9 cells, 14 mines.

    ## Version History

    - v0: first version.
    """

    max_turns = 50

    rules = (
        "You play Minesweeper. A hidden cell is shown as a dot. An open cell shows how many of the up to eight cells "
        "around it (sideways, up and down, and diagonally) have a mine. You win when every cell without a mine is "
        "open, and lose when you open a mine. No guess is needed: the numbers always tell of a safe cell. Rows and "
        "columns are numbered from 1, from the top left."
    )
    by_tool = "Call reveal with the row and the column of a cell to open it."
    by_text = "Write the row and the column of the cell to open in a tag, such as <move>3 4</move>."

    def __init__(
        self,
        *,
        rows: int = 6,
        columns: int = 6,
        mines: int = 6,
        least: int = 5,
        offer_tools: bool = True,
        tasks: TaskSet | str | Path | None = None,
        **options: Any,
    ) -> None:
        """Make the environment.

        Args:
            rows: Rows of the field.
            columns: Columns of the field.
            mines: Mines in it.
            least: Least number of openings that clear it.
            offer_tools: Offer the tool.
            tasks: Other fields.
            **options: Passed to `ToolEnv`.

        Raises:
            ConfigError: An argument is out of range.
        """
        fields = Fields(rows, columns, mines, least)
        given = TaskSet.generated(fields) if tasks is None else tasks
        super().__init__(offer_tools=offer_tools, tasks=given, **options)

    read_row = staticmethod(read_field)

    @staticmethod
    def row_schema() -> dict[str, Any]:
        """The JSON Schema of a row with a `field`."""
        whole = {"type": "integer", "minimum": 1, "maximum": 16}
        return schema_of_row(
            "A field of Minesweeper",
            {
                "field": {
                    "type": ["string", "array"],
                    "items": {"type": "string"},
                    "description": "The field in lines: * for a mine, . for another cell.",
                },
                "first": {
                    "type": "array",
                    "items": whole,
                    "minItems": 2,
                    "maxItems": 2,
                    "description": "Row and column, from 1, of the cell that is opened in advance.",
                },
            },
            required=["field", "first"],
        )

    @tool
    def reveal(self, row: Number, column: Number) -> str:
        """Open a cell.

        Args:
            row: Its row, from 1 at the top.
            column: Its column, from 1 at the left.
        """
        return self.make([(row, column)])

    def begin(self, task: Task) -> int:
        metadata = task.metadata
        self.field, self.first = _field(task)
        self.field.open(self.first)
        self.given = self.field.opened.bit_count()
        return metadata["moves"]

    def play(self, move: Cell) -> None:
        row, column = move
        field = self.field
        if not (1 <= row <= field.rows and 1 <= column <= field.columns):
            size = f"{field.rows} rows and {field.columns} columns"
            raise ToolError(f"there is no cell in row {row}, column {column}; the field has {size}.")
        cell = (row - 1) * field.columns + column - 1
        if field.opened >> cell & 1:
            raise ToolError(f"the cell in row {row}, column {column} is open already; open a hidden one.")
        if field.mines >> cell & 1:
            self.lost = True
        else:
            field.open(cell)
            self.won = field.opened == field.safe

    def show(self) -> str:
        return drawn(self.field, mines=self.lost)

    def read_moves(self, text: str) -> list[Cell]:
        if not (found := _CELL.fullmatch(text)):
            raise ToolError("A cell is a row and a column, such as 3 4.")
        return [(int(found[1]), int(found[2]))]

    def arguments(self, moves: Sequence[Cell]) -> dict[str, Any]:
        ((row, column),) = moves
        return {"row": row, "column": column}

    def spell(self, moves: Sequence[Cell]) -> str:
        ((row, column),) = moves
        return f"{row} {column}"

    def progress(self) -> dict[str, float]:
        to_open = self.field.safe.bit_count() - self.given
        return {"opened": (self.field.opened.bit_count() - self.given) / to_open}

    def solution(self, task: Task) -> Iterator[Sequence[Cell]]:
        """The cells that the solver opens."""
        field, first = _field(task)
        for cell in solve(field, first) or ():
            yield [(cell // field.columns + 1, cell % field.columns + 1)]


def _field(task: Task) -> tuple[Field, int]:
    """The field of a task, and its first cell."""
    rows, columns = task.metadata["rows"], task.metadata["columns"]
    (row, column), mines = task.metadata["first"], sum(1 << (r - 1) * columns + c - 1 for r, c in task.answer)
    return Field(rows, columns, mines), (row - 1) * columns + column - 1
