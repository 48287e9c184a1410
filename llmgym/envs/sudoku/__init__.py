"""Sudoku: fill a grid, cell by cell or in one answer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from llmgym.env import Episode
from llmgym.envs.games import Game
from llmgym.envs.sudoku.answers import read_grid
from llmgym.envs.sudoku.grids import conflict
from llmgym.envs.sudoku.puzzles import Puzzles, drawn, read_puzzle
from llmgym.errors import ToolError
from llmgym.messages import Message
from llmgym.rewards import Reward
from llmgym.tasks import Task, TaskSet, schema_of_row
from llmgym.tools import tool

Place = Annotated[int, Meta(ge=1, le=9)]
Digit = Annotated[int, Meta(ge=0, le=9)]

_MOVE = re.compile(
    r"\W*(?:row|r)?\W*(\d)(?:\W*(?:column|col|c)\W*|\W+)(\d)(?:\W*(?:digit|value|is)\W*|\W+)(\d)\W*", re.IGNORECASE
)
_ANSWER = (
    "Reply with the whole grid, a line for each row. Give one grid only, or put the last into <answer>...</answer>."
)


class Sudoku(Game):
    """Fill a grid, cell by cell or in one answer.

    ## Description

    A Sudoku of 4 by 4, 6 by 6 or 9 by 9 cells: each row, column and block has every digit once. A solver proves that
    each puzzle has one solution. Digits are taken out of 64 full grids for each size and number of empty cells, one
    by one; the puzzles are these, with digits renamed and rows and columns exchanged, which leaves no two alike and
    one solution to each. Of puzzles of 4 by 4 the one of eight is kept that leaves most digits open: putting digits
    where the rules allow them, by chance, solves a tenth of the easy ones and 2 % of those of 6 by 6.

    ## Actions

    Calls of `place` with a row, a column and a digit (0 empties the cell again). A text with `<move>3 4 6</move>`
    does the same. With `single_answer` there are no tools: the reply gives the whole grid.

    ## Observations

    The rules and the grid, a dot for an empty cell; then after each call the grid with its rows and columns
    numbered and how many moves are left, and why a digit cannot be there.

    ## Rewards

    1 where the grid is solved, else 0.

    A single answer is read from lines of digits, with or without blanks, bars, commas or brackets between them, or
    from all digits in one line. Where a reply has several full grids that differ, it answers nothing, unless the
    right one alone is in `<answer>`. Text in `<think>` never counts.

    Metrics: `filled` (the share of the empty cells that have their digit), `moves`, `illegal_moves`; with
    `single_answer` only `filled` and `answered`.

    ## Episode End

    Terminates when the grid is solved or the moves are spent, two for each empty cell. A digit that is in the row,
    column or block already is refused and costs one, and so does a message without a move. A single answer ends the
    episode. Truncates after `max_turns` messages.

    ## Arguments

    - `size` (6): rows, columns and digits: 4, 6 or 9.
    - `empty` (22): empty cells, up to three quarters of all; fewer where one solution allows no more.
    - `single_answer` (False): one reply with the whole grid, in place of moves.
    - `offer_tools` (True): the tool `place`; otherwise moves are written.
    - `tasks`: a file of rows with `puzzle`: a text of 16, 36 or 81 digits and dots, or a list of lists with 0 for an
      empty cell. One that has not exactly one solution is refused.

    ## Registered Variants

    - `llmgym/Sudoku-v0`: 6 by 6, 22 empty cells, cell by cell.
    - `llmgym/Sudoku-easy-v0`: 4 by 4, 12 empty cells, cell by cell.
    - `llmgym/Sudoku-hard-v0`: 9 by 9, up to 50 empty cells, cell by cell.
    - `llmgym/Sudoku-answer-v0`: 6 by 6, 22 empty cells, in one answer.
    - `llmgym/Sudoku-answer4-v0`: 4 by 4, 12 empty cells, in one answer.

    ## Version History

    - v0: first version.
    """

    max_turns = 60

    rules = (
        "You solve a Sudoku. Given digits cannot be changed. Rows and columns are numbered from 1, from the top left."
    )
    by_tool = "Call place with the row, the column and the digit of a cell; a digit of 0 empties it again."
    by_text = (
        "Write the row, the column and the digit of a cell in a tag, such as <move>3 4 6</move>; a digit of 0 empties "
        "it again."
    )

    def __init__(
        self,
        *,
        size: int = 6,
        empty: int = 22,
        single_answer: bool = False,
        offer_tools: bool = True,
        tasks: TaskSet | str | Path | None = None,
        **options: Any,
    ) -> None:
        """Make the environment.

        Args:
            size: Rows, columns and digits.
            empty: Empty cells.
            single_answer: Ask for the whole grid in one reply.
            offer_tools: Offer the tool.
            tasks: Other puzzles.
            **options: Passed to `ToolEnv`.

        Raises:
            ConfigError: An argument is out of range.
        """
        self.single_answer = single_answer
        if single_answer:
            self.rules, self.by_text = "You solve a Sudoku.", _ANSWER
        given = TaskSet.generated(Puzzles(size, empty)) if tasks is None else tasks
        super().__init__(offer_tools=offer_tools and not single_answer, tasks=given, **options)

    read_row = staticmethod(read_puzzle)

    @staticmethod
    def row_schema() -> dict[str, Any]:
        """The JSON Schema of a row with a `puzzle`."""
        puzzle = {
            "type": ["string", "array"],
            "items": {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 9}},
            "description": "16, 36 or 81 digits, row by row; dots or zeros are empty cells.",
        }
        return schema_of_row("A Sudoku", {"puzzle": puzzle}, required=["puzzle"])

    @tool
    def place(self, row: Place, column: Place, digit: Digit) -> str:
        """Put a digit into an empty cell, or another one into a cell that you have filled.

        Args:
            row: Row of the cell, from 1 at the top.
            column: Column of the cell, from 1 at the left.
            digit: The digit, or 0 to empty the cell.
        """
        return self.make([(row, column, digit)])

    def begin(self, task: Task) -> int:
        self.given = task.metadata["puzzle"]
        self.grid = [list(row) for row in self.given]
        return 2 * sum(row.count(0) for row in self.grid)

    def play(self, move: tuple[int, int, int]) -> None:
        row, column, digit = move
        size = len(self.grid)
        if not (1 <= row <= size and 1 <= column <= size and 0 <= digit <= size):
            raise ToolError(f"rows, columns and digits go from 1 to {size}; this is {row}, {column} and {digit}.")
        if self.given[row - 1][column - 1]:
            raise ToolError(f"the digit in row {row}, column {column} is given and cannot be changed.")
        if digit and (where := conflict(self.grid, row - 1, column - 1, digit)):
            raise ToolError(f"{digit} cannot be in row {row}, column {column}: it is in {where} already.")
        self.grid[row - 1][column - 1] = digit
        assert self.task is not None
        self.won = self.grid == self.task.answer

    def show(self) -> str:
        return drawn(self.grid, numbered=True)

    def read_moves(self, text: str) -> list[tuple[int, int, int]]:
        if not (found := _MOVE.fullmatch(text)):
            raise ToolError("A move is a row, a column and a digit, such as 3 4 6.")
        return [(int(found[1]), int(found[2]), int(found[3]))]

    def arguments(self, moves: Sequence[tuple[int, int, int]]) -> dict[str, Any]:
        return dict(zip(("row", "column", "digit"), moves[0], strict=True))

    def spell(self, moves: Sequence[tuple[int, int, int]]) -> str:
        return " ".join(map(str, moves[0]))

    def respond(self, message: Message) -> str | None:
        """Make the move that a text states; a single answer ends the episode."""
        return None if self.single_answer else super().respond(message)

    def verify(self, episode: Episode) -> Reward:
        """1 for a solved grid."""
        if not self.single_answer:
            return super().verify(episode)
        answer = episode.task.answer
        stated = read_grid(episode.final_text, len(answer))
        metrics = {"answered": float(stated is not None), "filled": self._filled(stated or self.given, answer)}
        return Reward(correct=float(stated is not None and stated == answer), metrics=metrics)

    def progress(self) -> dict[str, float]:
        assert self.task is not None
        return {"filled": self._filled(self.grid, self.task.answer)}

    def _filled(self, grid: Sequence[Sequence[int]], answer: Sequence[Sequence[int]]) -> float:
        right = [
            digit == wanted
            for line, wanted_line, given_line in zip(grid, answer, self.given, strict=True)
            for digit, wanted, given in zip(line, wanted_line, given_line, strict=True)
            if not given
        ]
        return sum(right) / len(right)

    def solution(self, task: Task) -> Iterator[Sequence[tuple[int, int, int]]]:
        """One empty cell after another."""
        for row, line in enumerate(task.metadata["puzzle"]):
            for column, digit in enumerate(line):
                if not digit:
                    yield [(row + 1, column + 1, task.answer[row][column])]

    def oracle(self, task: Task) -> Iterator[Message | str]:
        """Fill the cells, or state the whole grid."""
        if self.single_answer:
            yield drawn(task.answer)
        else:
            yield from super().oracle(task)
