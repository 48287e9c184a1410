"""The board of 2048 as 16 numbers, row by row: 0 for an empty cell, else the power of two of its tile."""

from __future__ import annotations

from functools import lru_cache

from llmgym.envs.games import DIRECTIONS, Direction

Board = tuple[int, ...]

_WHOLE = (1 << 64) - 1
EMPTY: Board = (0,) * 16


@lru_cache(maxsize=1 << 16)
def slid(line: Board) -> Board:
    """A line whose tiles have moved to its front; two that are equal and meet become one, once."""
    out: list[int] = []
    merged = False
    for tile in filter(None, line):
        if out and out[-1] == tile and not merged:
            out[-1] += 1
            merged = True
        else:
            out.append(tile)
            merged = False
    return (*out, *(0,) * (4 - len(out)))


@lru_cache(maxsize=1 << 16)
def _slid_back(line: Board) -> Board:
    return slid(line[::-1])[::-1]


def slide(board: Board, direction: Direction) -> Board:
    """The board after a slide, before a tile is added; the same where nothing can move."""
    move = slid if direction in ("up", "left") else _slid_back
    if direction in ("left", "right"):
        return move(board[:4]) + move(board[4:8]) + move(board[8:12]) + move(board[12:])
    return turned(move(board[::4]) + move(board[1::4]) + move(board[2::4]) + move(board[3::4]))


def turned(board: Board) -> Board:
    """The board with its rows as columns."""
    return board[::4] + board[1::4] + board[2::4] + board[3::4]


def grown(board: Board, seed: int, number: int) -> Board:
    """The board with a new tile: where, and whether a 4 in one of ten cases, follows from the seed and its number."""
    chance = _mixed(seed + number * 0x9E3779B97F4A7C15)
    empty = [cell for cell, tile in enumerate(board) if not tile]
    cell = empty[(chance >> 32) % len(empty)]
    return (*board[:cell], 2 if chance % 10 == 0 else 1, *board[cell + 1 :])


def _mixed(value: int) -> int:
    """SplitMix64, whose numbers are the same everywhere."""
    value &= _WHOLE
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & _WHOLE
    value = (value ^ value >> 27) * 0x94D049BB133111EB & _WHOLE
    return value ^ value >> 31


def begun(seed: int) -> Board:
    """The board of a new game, with two tiles."""
    return grown(grown(EMPTY, seed, 0), seed, 1)


def slides(board: Board) -> dict[Direction, Board]:
    """The slides that move something, and what comes of them."""
    return {name: after for name in DIRECTIONS if (after := slide(board, name)) != board}
