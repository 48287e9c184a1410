"""Maze: walk to an exit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from llmgym.envs.games import DIRECTIONS, Direction, Game, read_directions, strides
from llmgym.envs.maze.mazes import WALL, Mazes, read_maze, view
from llmgym.errors import ToolError
from llmgym.tasks import Task, TaskSet, schema_of_row
from llmgym.tools import tool


class Maze(Game):
    """Walk to the exit of a maze.

    ## Description

    A maze of corridors between walls. The player sees the whole of it, or with `sight` only the cells nearby and
    where the exit is. A search gives a shortest way, and the number of moves allows for half as many steps again;
    with `sight` for two visits of each cell, so that following a wall in a maze without loops is always enough.

    ## Actions

    Calls of `move`, with 1 to 100 directions, which are walked in their order up to the first that runs into a wall.
    A text with `<move>up, left</move>` does the same, and so does one that is nothing but directions.

    ## Observations

    The rules, the maze (`#` wall, `.` floor, `P` player, `E` exit, `?` outside) and the number of moves; then after
    each call what the player sees and how many moves are left.

    ## Rewards

    1 where the player stands on the exit, else 0.

    Metrics: `moves`, `illegal_moves`, `shortest` (1 where the exit was reached without a step too many).

    ## Episode End

    Terminates at the exit or when the moves are spent. A step into a wall costs one, and so does a message without a
    move. Truncates after `max_turns` messages.

    ## Arguments

    - `size` (7): cells of a side, 3 to 12; the drawing, with walls between them, has `2 * size + 1`.
    - `loops` (0): share of the inner walls that are taken out, 0 to 0.5.
    - `sight` (0): cells that the player sees each way, up to 5; 0 shows the whole maze.
    - `offer_tools` (True): the tool `move`; otherwise moves are written.
    - `tasks`: a file of rows with `maze`, a text or a list of lines in the characters above, and where wanted `sight`.

    ## Registered Variants

    - `llmgym/Maze-v0`: 7 by 7 cells, seen as a whole.
    - `llmgym/Maze-easy-v0`: 4 by 4 cells, seen as a whole.
    - `llmgym/Maze-hard-v0`: 8 by 8 cells, a tenth of the walls taken out, of which the player sees two cells each way.

    ## Version History

    - v0: first version.
    """

    max_turns = 130  # one step in a message has to be enough

    by_tool = "Call move with the directions to walk, one or several at a time."
    by_text = "Write the directions to walk in a tag, such as <move>up, left</move>; one or several at a time."
    rules = (
        "You walk through a maze, up, down, left or right, a cell with each step. # is a wall, . is floor, P is you "
        "and E is the exit. You win when you reach the exit."
    )

    def __init__(
        self,
        *,
        size: int = 7,
        loops: float = 0.0,
        sight: int = 0,
        offer_tools: bool = True,
        tasks: TaskSet | str | Path | None = None,
        **options: Any,
    ) -> None:
        """Make the environment.

        Args:
            size: Cells of a side.
            loops: Share of the inner walls that are taken out.
            sight: Cells that the player sees each way; 0 shows the whole maze.
            offer_tools: Offer the tool.
            tasks: Other mazes.
            **options: Passed to `ToolEnv`.

        Raises:
            ConfigError: An argument is out of range.
        """
        mazes = Mazes(size, loops, sight)
        if sight:
            self.rules = (
                f"{self.rules} You see {sight} cell{'s' * (sight > 1)} each way; ? is outside of the maze. Rows are "
                "numbered from 0 at the top, columns from 0 at the left."
            )
        given = TaskSet.generated(mazes) if tasks is None else tasks
        super().__init__(offer_tools=offer_tools, tasks=given, **options)

    read_row = staticmethod(read_maze)

    @staticmethod
    def row_schema() -> dict[str, Any]:
        """The JSON Schema of a row with a `maze`."""
        maze = {
            "type": ["string", "array"],
            "items": {"type": "string"},
            "description": "The maze in lines: # wall, . floor, one P (player) and one E (exit); walls all around.",
        }
        sight = {
            "type": ["integer", "null"],
            "minimum": 0,
            "maximum": 5,
            "default": 0,
            "description": "Cells that the player sees each way; 0 shows the whole maze.",
        }
        return schema_of_row("A maze", {"maze": maze, "sight": sight}, required=["maze"])

    @tool
    def move(self, directions: Annotated[list[Direction], Meta(min_length=1, max_length=100)]) -> str:
        """Walk.

        Args:
            directions: Where to step, one after another.
        """
        return self.make(directions)

    def begin(self, task: Task) -> int:
        metadata = task.metadata
        self.rows, self.sight = list(metadata["maze"]), metadata["sight"]
        self.at, self.exit = tuple(metadata["start"]), tuple(metadata["exit"])
        return metadata["moves"]

    def play(self, move: Direction) -> None:
        rows, columns = DIRECTIONS[move]
        to = (self.at[0] + rows, self.at[1] + columns)
        if self.rows[to[0]][to[1]] == WALL:
            raise ToolError(f"you cannot go {move}: there is a wall.")
        self.at = to
        self.won = to == self.exit

    def show(self) -> str:
        return view(self.rows, self.at, self.exit, self.sight)

    def read_moves(self, text: str) -> list[Direction]:
        return read_directions(text)

    def arguments(self, moves: Sequence[Direction]) -> dict[str, Any]:
        return {"directions": list(moves)}

    def spell(self, moves: Sequence[Direction]) -> str:
        return ", ".join(moves)

    def progress(self) -> dict[str, float]:
        assert self.task is not None
        return {"shortest": float(self.won and self.metrics["moves"] == len(self.task.answer))}

    def solution(self, task: Task) -> Iterator[Sequence[Direction]]:
        """A shortest way, up to five steps in a message."""
        return strides(task.answer)
