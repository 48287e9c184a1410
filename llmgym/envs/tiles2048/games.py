"""Tasks of 2048: games that a player who does not know what comes wins, and walking in circles does not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from llmgym.envs.games import Direction, draw, in_letters, phrase
from llmgym.envs.tiles2048.board import Board, begun, grown, slide
from llmgym.envs.tiles2048.player import played
from llmgym.errors import ConfigError
from llmgym.tasks import Task

_PHRASINGS = (
    "Make a tile of {target} in at most {moves} moves.",
    "You have {moves} moves to make a tile of {target}.",
    "Reach {target} within {moves} moves.",
    "Your goal is the tile {target}; {moves} moves are all you have.",
)
_ROUND: tuple[Direction, ...] = ("up", "left", "down", "right")
#: Slides over and over that do well by themselves: round and round, and to one side with a swing.
LOOPS: tuple[tuple[Direction, ...], ...] = (
    *(_ROUND[i:] + _ROUND[:i] for i in range(4)),
    *(_ROUND[::-1][i:] + _ROUND[::-1][:i] for i in range(4)),
    *((_ROUND[i], _ROUND[i - side], _ROUND[i], _ROUND[i - 4 + side]) for i in range(4) for side in (1, 3)),
)


@dataclass(frozen=True, slots=True)
class Games:
    """Makes tasks.

    Attributes:
        target: The tile to reach.
        moves: Slides that the player has.
    """

    target: int
    moves: int

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.target not in {1 << power for power in range(4, 10)}:
            raise ConfigError(f"target is {self.target}; a power of two from 16 to 512")
        if not self.target // 2 <= self.moves <= 2 * self.target:
            raise ConfigError(f"moves is {self.moves}; from half of the target to twice of it")

    def __call__(self, rng: np.random.Generator) -> Task:
        """A game that is won by looking, and not without."""
        power = self.target.bit_length() - 1
        while True:
            seed = int(rng.integers(1 << 32))
            slides = played(seed, power, self.moves)
            if slides is not None and not any(loop_wins(seed, power, self.moves, loop) for loop in LOOPS):
                return as_task(seed, self.target, self.moves, slides)


def loop_wins(seed: int, target: int, moves: int, loop: tuple[Direction, ...]) -> bool:
    """Whether the same slides over and over reach a tile."""
    board, tiles = begun(seed), 2
    for number in range(moves):
        after = slide(board, loop[number % len(loop)])
        if after == board:
            continue
        if target in after:
            return True
        board = grown(after, seed, tiles)
        tiles += 1
    return False


def as_task(seed: int, target: int, moves: int, slides: list[Direction], task_id: Any = "") -> Task:
    """The task of a game and the slides that win it."""
    text = phrase(_PHRASINGS, str(seed)).format(target=target, moves=moves)
    metadata = {"seed": seed, "target": target, "moves": moves}
    return Task(id=task_id, prompt=f"{text}\n\n{drawn(begun(seed))}", answer=in_letters(slides), metadata=metadata)


def drawn(board: Board) -> str:
    """A board as text, with the tiles as they are shown."""
    tiles = [1 << tile if tile else "." for tile in board]
    return draw(tiles[row : row + 4] for row in range(0, 16, 4))


def read_game(row: dict[str, Any]) -> Task:
    """The task of a row with a `seed`, a `target` and a number of `moves`.

    Raises:
        ValueError: One of them is out of range, or our player does not win.
    """
    seed, target, moves = row["seed"], row["target"], row["moves"]
    if not all(type(number) is int for number in (seed, target, moves)) or not 0 <= seed < 1 << 63:
        raise ValueError("seed, target and moves are whole numbers, and the seed is from 0 to 2^63 - 1")
    Games(target, moves)
    if (slides := played(seed, target.bit_length() - 1, moves)) is None:
        raise ValueError(f"our player does not reach {target} in {moves} moves; take another seed, or more moves")
    return as_task(seed, target, moves, slides, row.get("id", ""))
