"""2048: slide tiles until one is as high as asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from llmgym.envs.games import Direction, Game, read_directions
from llmgym.envs.tiles2048.board import begun, grown, slide, slides
from llmgym.envs.tiles2048.games import Games, drawn, read_game
from llmgym.errors import ToolError
from llmgym.tasks import Task, TaskSet, schema_of_row
from llmgym.tools import tool


class Tiles2048(Game):
    """Slide tiles until one is as high as asked, in few moves.

    ## Description

    The well-known game on a board of 4 by 4: a slide moves all tiles as far as they go, equal tiles that meet
    become one of twice the number, and a new tile (2, or 4 in one of ten cases) comes to an empty cell. What comes
    where is chance, but the same each time that a task is played in the same way. Games are kept where a player that
    looks one slide and one tile ahead reaches the target within the moves, and where the same slides over and over
    (round and round, or to one side with a swing) do not.

    ## Actions

    Calls of `slide` with a direction. A text with `<move>left</move>` does the same, and so does one that is nothing
    but directions; several are made one after another.

    ## Observations

    The rules, the board and the number of moves; then after each call the board and how many moves are left.

    ## Rewards

    1 where the target is reached, else 0.

    Metrics: `moves`, `illegal_moves`, `best_tile`, `progress` (the highest tile as a share of the target).

    ## Episode End

    Terminates at the target, when nothing can be moved any more, or when the moves are spent. A slide that moves
    nothing costs one and brings no tile, and a message without a move costs one too. Truncates after `max_turns`
    messages.

    ## Arguments

    - `target` (64): the tile to reach, a power of two from 16 to 512.
    - `moves` (36): slides that the player has, from half of the target to twice of it. Much fewer than 0.6 of the
      target are hardly ever enough, and then tasks take long to find.
    - `offer_tools` (True): the tool `slide`; otherwise moves are written.
    - `tasks`: a file of rows with `seed` (which tiles come), `target` and `moves`; one that the player above does not
      win is refused.

    ## Registered Variants

    - `llmgym/Tiles2048-v0`: 64 in 36 moves.
    - `llmgym/Tiles2048-easy-v0`: 32 in 18 moves.
    - `llmgym/Tiles2048-hard-v0`: 128 in 70 moves.

    ## Version History

    - v0: first version.
    """

    max_turns = 50

    rules = (
        "You play 2048 on a board of 4 by 4. A slide moves all tiles up, down, left or right as far as they go; two "
        "equal tiles that meet become one of twice the number, once in a slide. After each slide that moves "
        "something a new tile, 2 or sometimes 4, comes to an empty cell (shown as a dot). You win when the tile that "
        "you need is there."
    )
    by_tool = "Call slide with a direction."
    by_text = "Write the direction to slide in a tag, such as <move>left</move>."

    def __init__(
        self,
        *,
        target: int = 64,
        moves: int = 36,
        offer_tools: bool = True,
        tasks: TaskSet | str | Path | None = None,
        **options: Any,
    ) -> None:
        """Make the environment.

        Args:
            target: The tile to reach.
            moves: Slides that the player has.
            offer_tools: Offer the tool.
            tasks: Other games.
            **options: Passed to `ToolEnv`.

        Raises:
            ConfigError: An argument is out of range.
        """
        games = Games(target, moves)
        super().__init__(offer_tools=offer_tools, tasks=TaskSet.generated(games) if tasks is None else tasks, **options)

    read_row = staticmethod(read_game)

    @staticmethod
    def row_schema() -> dict[str, Any]:
        """The JSON Schema of a row with a `seed`, a `target` and `moves`."""
        return schema_of_row(
            "A game of 2048",
            {
                "seed": {"type": "integer", "minimum": 0, "description": "Says what tiles come where."},
                "target": {"type": "integer", "enum": [16, 32, 64, 128, 256, 512], "description": "The tile to reach."},
                "moves": {"type": "integer", "minimum": 8, "maximum": 1024, "description": "Slides that there are."},
            },
            required=["seed", "target", "moves"],
        )

    @tool
    def slide(self, direction: Direction) -> str:
        """Slide all tiles.

        Args:
            direction: Where to.
        """
        return self.make([direction])

    def begin(self, task: Task) -> int:
        metadata = task.metadata
        self.seed, self.target = metadata["seed"], metadata["target"].bit_length() - 1
        self.board, self.tiles = begun(self.seed), 2
        return metadata["moves"]

    def play(self, move: Direction) -> None:
        after = slide(self.board, move)
        if after == self.board:
            raise ToolError(f"nothing can slide {move}; take another direction.")
        self.board = grown(after, self.seed, self.tiles)
        self.tiles += 1
        self.won = self.target in after
        self.lost = not self.won and not slides(self.board)

    def show(self) -> str:
        return drawn(self.board)

    def read_moves(self, text: str) -> list[Direction]:
        return read_directions(text)

    def arguments(self, moves: Sequence[Direction]) -> dict[str, Any]:
        return {"direction": moves[0]}

    def spell(self, moves: Sequence[Direction]) -> str:
        return moves[0]

    def progress(self) -> dict[str, float]:
        best = 1 << max(self.board)
        return {"best_tile": float(best), "progress": min(best / (1 << self.target), 1.0)}

    def solution(self, task: Task) -> Iterator[Sequence[Direction]]:
        """The slides of the player with which the task was found."""
        for direction in read_directions(task.answer):
            yield [direction]
