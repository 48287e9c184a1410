"""Sokoban: push boxes onto goals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from llmgym.envs.games import Direction, Game, draw, read_directions, strides
from llmgym.envs.sokoban.levels import Level, read_level, shift
from llmgym.envs.sokoban.puzzles import Puzzles, solved_level
from llmgym.errors import ToolError
from llmgym.tasks import Task, TaskSet, schema_of_row
from llmgym.tools import tool


class Sokoban(Game):
    """Push boxes onto goals.

    ## Description

    A room with walls, boxes and as many goals. The player walks up, down, left and right, and pushes a box by walking
    into it, where the cell behind the box is free; boxes cannot be pulled, so that a wrong push may lose the game.
    Levels are found by a search backwards from the solved room, which proves the fewest pushes that solve each.

    ## Actions

    Calls of `move`, with 1 to 100 directions, which are walked in their order up to the first that is not possible.
    A text with `<move>up, left</move>` does the same, and so does one that is nothing but directions.

    ## Observations

    The rules, the level as a grid (`#` wall, `_` floor, `P` player, `B` box, `G` goal, `*` box on a goal, `+` player
    on a goal) and the number of moves; then after each call the grid and how many moves are left, and why a
    move was not possible.

    ## Rewards

    1 where all boxes stand on goals, else 0.

    Metrics: `moves`, `illegal_moves`, `boxes_on_goals` (their share at the end).

    ## Episode End

    Terminates when the level is solved or its moves are spent: two for each step of the solution, and four. A step into
    a wall costs one, and so does a message without a move. Truncates after `max_turns` messages.

    ## Arguments

    - `size` (5): cells of a side of the room, 3 to 8.
    - `boxes` (2): boxes, 1 to 4.
    - `walls` (0.15): share of the cells that are walls, 0 to 0.4.
    - `pushes` ([4, 8]): least and most pushes of a shortest solution, 1 to 10.
    - `offer_tools` (True): the tool `move`; otherwise moves are written.
    - `tasks`: a file of rows with `level`, a text or a list of lines, in the characters above or in those of XSB files
      (`@ $ . * +`). NeMo Gym's rows hold a seed of another generator, not a level, and cannot be read.

    ## Registered Variants

    - `llmgym/Sokoban-v0`: two boxes, four to eight pushes.
    - `llmgym/Sokoban-easy-v0`: one box, two or three pushes.
    - `llmgym/Sokoban-hard-v0`: three boxes in a larger room, seven to ten pushes.

    ## Version History

    - v0: first version.
    """

    max_turns = 100  # one step in a message has to be enough

    rules = (
        "You play Sokoban. You are P. Walk up, down, left or right over floor (_) and goals (G). Walk into a box (B) "
        "to push it one cell on; the cell behind it must be free, with no wall (#) and no other box. You cannot "
        "pull. A box on a goal is shown as *, you on a goal as +. You win when every box is on a goal."
    )
    by_tool = "Call move with the directions to walk, one or several at a time."
    by_text = "Write the directions to walk in a tag, such as <move>up, left</move>; one or several at a time."

    def __init__(
        self,
        *,
        size: int = 5,
        boxes: int = 2,
        walls: float = 0.15,
        pushes: Sequence[int] = (4, 8),
        offer_tools: bool = True,
        tasks: TaskSet | str | Path | None = None,
        **options: Any,
    ) -> None:
        """Make the environment.

        Args:
            size: Cells of a side of the room, without the walls around.
            boxes: Boxes.
            walls: Share of the cells that are walls.
            pushes: Least and most pushes of a shortest solution.
            offer_tools: Offer the tool.
            tasks: Other levels.
            **options: Passed to `ToolEnv`.

        Raises:
            ConfigError: An argument is out of range.
        """
        least, most = pushes
        puzzles = Puzzles(size, boxes, walls, (least, most))
        given = TaskSet.generated(puzzles) if tasks is None else tasks
        super().__init__(offer_tools=offer_tools, tasks=given, **options)

    @staticmethod
    def read_row(row: dict[str, Any]) -> Task:
        """Make the task of a row with a `level`."""
        if row.get("level") is None and row.get("responses_create_params") is not None:
            raise ValueError("a row of NeMo Gym holds a seed of its own generator; write the level out as `level`")
        level = row["level"]
        return solved_level(level.strip("\n").split("\n") if isinstance(level, str) else level, row.get("id", ""))

    @staticmethod
    def row_schema() -> dict[str, Any]:
        """The JSON Schema of a row with a `level`."""
        level = {
            "type": ["string", "array"],
            "items": {"type": "string"},
            "description": "The level, in lines: # wall, _ floor, P player, B box, G goal; on a goal * and +.",
        }
        return schema_of_row("A level of Sokoban", {"level": level}, required=["level"])

    @tool
    def move(self, directions: Annotated[list[Direction], Meta(min_length=1, max_length=100)]) -> str:
        """Walk, and push a box where one is in the way.

        Args:
            directions: Where to step, one after another.
        """
        return self.make(directions)

    def begin(self, task: Task) -> int:
        self.level: Level = read_level(list(task.metadata["level"]))
        return task.metadata["moves"]

    def play(self, move: Direction) -> None:
        level, step = self.level, self.level.offset(move)
        to, boxes = shift(level.player, step), level.boxes
        if not to & level.floor:
            raise ToolError(f"you cannot go {move}: there is a wall.")
        if to & boxes:
            beyond = shift(to, step)
            if not beyond & level.floor & ~boxes:
                behind = "another box" if beyond & boxes else "a wall"
                raise ToolError(f"you cannot push the box {move}: behind it is {behind}.")
            boxes ^= to | beyond
        self.level = Level(level.width, level.floor, level.goals, boxes, to)
        self.won = boxes == level.goals

    def show(self) -> str:
        return draw(self.level.rows())

    def read_moves(self, text: str) -> list[Direction]:
        return read_directions(text)

    def arguments(self, moves: Sequence[Direction]) -> dict[str, Any]:
        return {"directions": list(moves)}

    def spell(self, moves: Sequence[Direction]) -> str:
        return ", ".join(moves)

    def progress(self) -> dict[str, float]:
        level = self.level
        return {"boxes_on_goals": (level.boxes & level.goals).bit_count() / level.boxes.bit_count()}

    def solution(self, task: Task) -> Iterator[Sequence[Direction]]:
        """Up to five steps in a message."""
        return strides(task.answer)
