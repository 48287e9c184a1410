"""How games are won: ways that are searched for."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

_STEPS = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}
_HASTE = 3  # how much nearer counts more than shorter, in the search for the tiles


def frozen_lake(env: Any) -> list[str]:
    """A shortest way around the holes."""
    state = env.state.game_state
    start, goal, grid = state["player_pos"], state["goal_pos"], state["grid"]
    came: dict[Any, Any] = {start: None}
    waiting = deque([start])
    while waiting:
        at = waiting.popleft()
        if at == goal:
            return _way(came, at)
        for name, (down, right) in _STEPS.items():
            to = (at[0] + down, at[1] + right)
            if to not in came and min(to) >= 0 and max(to) < env.size and grid[to[0]][to[1]] != "H":
                came[to] = (name, at)
                waiting.append(to)
    raise ValueError("no way")


def sokoban(env: Any) -> list[str] | None:
    """Fewest moves that push all boxes onto goals; None where there are none."""
    fixed = env.room_fixed
    floor = {(r, c) for r in range(fixed.shape[0]) for c in range(fixed.shape[1]) if fixed[r, c] != 0}
    goals = frozenset(at for at in floor if fixed[at] == 2)
    boxes = frozenset(at for at in floor if env.room_state[at] in (3, 4))
    start = (tuple(map(int, env.player_position)), boxes)
    came: dict[Any, Any] = {start: None}
    waiting = deque([start])
    while waiting:
        state = waiting.popleft()
        at, boxes = state
        if boxes == goals:
            return _way(came, state)
        for name, (down, right) in _STEPS.items():
            to, beyond = (at[0] + down, at[1] + right), (at[0] + 2 * down, at[1] + 2 * right)
            if to not in floor or (to in boxes and (beyond not in floor or beyond in boxes)):
                continue
            after = (to, boxes - {to} | {beyond} if to in boxes else boxes)
            if after not in came:
                came[after] = (name, state)
                waiting.append(after)
    return None


def word_ladder(env: Any) -> list[str]:
    """A shortest row of words."""
    words = {word for word in env.universal_word_list if len(word) == len(env.target_word)}
    start, goal = env.start_word, env.target_word
    came: dict[Any, Any] = {start: None}
    waiting = deque([start])
    while waiting:
        word = waiting.popleft()
        if word == goal:
            return _way(came, word)
        for place in range(len(word)):
            for letter in "abcdefghijklmnopqrstuvwxyz":
                to = f"{word[:place]}{letter}{word[place + 1 :]}"
                if to in words and to not in came:
                    came[to] = (to, word)
                    waiting.append(to)
    raise ValueError("no row of words")


def fifteen(env: Any) -> list[str]:
    """Moves that bring the tiles into order, by A* that would rather be quick than short."""
    start = tuple(tile or 0 for row in env.board for tile in row)
    came: dict[Any, Any] = {start: None}
    made = {start: 0}
    waiting = [(_HASTE * _distance(start), 0, start)]
    goal = (*range(1, 16), 0)
    while waiting:
        _, steps, board = heapq.heappop(waiting)
        if board == goal:
            return _way(came, board)
        if steps > made[board]:
            continue
        gap = board.index(0)
        for name, (down, right) in _STEPS.items():
            row, column = gap // 4 - down, gap % 4 - right  # the tile moves, and the gap the other way
            if not (0 <= row < 4 and 0 <= column < 4):
                continue
            moved = list(board)
            other = row * 4 + column
            moved[gap], moved[other] = moved[other], 0
            after = tuple(moved)
            if steps + 1 < made.get(after, 10**9):
                made[after] = steps + 1
                came[after] = (name, board)
                heapq.heappush(waiting, (steps + 1 + _HASTE * _distance(after), steps + 1, after))
    raise ValueError("no way")


def _distance(board: tuple[int, ...]) -> int:
    """Steps of all tiles to where they belong, and two for each pair that is in one another's way in a row."""
    total = 0
    for place, tile in enumerate(board):
        if tile:
            total += abs(place // 4 - (tile - 1) // 4) + abs(place % 4 - (tile - 1) % 4)
    for row in range(4):
        home = [tile for tile in board[row * 4 : row * 4 + 4] if tile and (tile - 1) // 4 == row]
        total += 2 * sum(home[i] > home[j] for i in range(len(home)) for j in range(i + 1, len(home)))
    return total


def lights_out(env: Any) -> list[tuple[int, int]]:
    """Fewest presses: those of the first row are tried, and each row below puts out the one above it."""
    size, lit = env.size, env.state.game_state["grid"]
    best: list[tuple[int, int]] | None = None
    for first in range(2**size):
        grid = [list(row) for row in lit]
        presses = [(0, column) for column in range(size) if first >> column & 1]
        for press in presses:
            env._toggle_lights(grid, *press)
        for row in range(1, size):
            for column in range(size):
                if grid[row - 1][column]:
                    env._toggle_lights(grid, row, column)
                    presses.append((row, column))
        if not any(grid[-1]) and (best is None or len(presses) < len(best)):
            best = presses
    assert best is not None  # the grid was made by presses
    return best


def pegs(env: Any) -> list[tuple[int, int]]:
    """Jumps that leave one peg."""
    start = sum(1 << hole for hole, peg in enumerate(env.state.game_state["board"]) if peg)
    dead: set[int] = set()

    def go(board: int) -> list[tuple[int, int]] | None:
        if board.bit_count() == 1:
            return []
        for source, over, to in env.ALLOWED_MOVES:
            if board >> source & 1 and board >> over & 1 and not board >> to & 1:
                after = board & ~(1 << source) & ~(1 << over) | 1 << to
                if after not in dead and (rest := go(after)) is not None:
                    return [(source, to), *rest]
        dead.add(board)
        return None

    return go(start) or []


def hanoi(disks: int, source: str = "A", target: str = "C", spare: str = "B") -> Iterator[str]:
    """Moves of a tower."""
    if disks:
        yield from hanoi(disks - 1, source, spare, target)
        yield f"[{source} {target}]"
        yield from hanoi(disks - 1, spare, target, source)


def first_set(board: Sequence[Sequence[str]]) -> tuple[int, ...] | None:
    """The first three cards each of whose features are all the same or all different."""
    for cards in combinations(range(len(board)), 3):
        if all(len({board[card][feature] for card in cards}) != 2 for feature in range(4)):
            return cards
    return None


def _way(came: dict[Any, Any], state: Any) -> list[str]:
    moves: list[str] = []
    while (step := came[state]) is not None:
        move, state = step
        moves.append(move)
    return moves[::-1]
