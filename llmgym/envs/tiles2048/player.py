"""A player of 2048 that does not know what tiles will come: expectimax, one slide and one tile ahead."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise

from llmgym.envs.games import Direction
from llmgym.envs.tiles2048.board import Board, begun, grown, slides

_CROWDED = 4  # empty cells up to which it looks beyond the next tile


def played(seed: int, target: int, moves: int) -> list[Direction] | None:
    """The slides that the player makes until a tile is there, or None where it does not get there in so many."""
    board, made = begun(seed), list[Direction]()
    while len(made) < moves:
        ways = slides(board)
        if not ways:
            return None
        best = max(ways, key=lambda name: _expected(ways[name]))
        made.append(best)
        if target in ways[best]:
            return made
        board = grown(ways[best], seed, len(made) + 1)
    return None


def _expected(board: Board) -> float:
    """What a board is worth before a tile is added."""
    empty = [cell for cell, tile in enumerate(board) if not tile]
    if len(empty) > _CROWDED:
        return _worth(board)
    total = 0.0
    for cell in empty:
        ways = slides((*board[:cell], 1, *board[cell + 1 :]))
        total += max(map(_worth, ways.values()), default=-1e6)
    return total / len(empty)


def _worth(board: Board) -> float:
    rows = _line_worth(board[:4]) + _line_worth(board[4:8]) + _line_worth(board[8:12]) + _line_worth(board[12:])
    columns = _line_worth(board[::4]) + _line_worth(board[1::4]) + _line_worth(board[2::4]) + _line_worth(board[3::4])
    return rows + columns


@lru_cache(maxsize=1 << 16)
def _line_worth(line: Board) -> float:
    """Empty cells, tiles that can merge, and high tiles in order towards one end."""
    rising = sum(max(a - b, 0) ** 2 for a, b in pairwise(line))
    falling = sum(max(b - a, 0) ** 2 for a, b in pairwise(line))
    merges = sum(a == b != 0 for a, b in pairwise(line))
    return 3 * line.count(0) + 2.5 * merges - 1.0 * min(rising, falling) + sum(tile * tile for tile in line) * 0.15
