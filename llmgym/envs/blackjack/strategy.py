"""Basic strategy, computed exactly: the best action in each situation, by the expected winnings of all that may follow.

Cards are drawn from a shoe that never changes: each of the thirteen ranks with the same chance. The dealer draws up
to 16 and stands on every 17. A natural is a 21 like any other. A hand is its total and whether an ace in it counts 11.
"""

from __future__ import annotations

from functools import cache
from typing import Literal

Action = Literal["hit", "stand", "double"]

RANKS = "A23456789TJQK"
VALUES = {rank: 1 if rank == "A" else min(number, 10) for number, rank in enumerate(RANKS, 1)}
_CHANCES = {value: (4 if value == 10 else 1) / 13 for value in range(1, 11)}
_NEAR = 1e-9  # actions whose winnings differ by less are equally good

#: Total, and whether an ace counts 11.
Hand = tuple[int, bool]


def hand(cards: str) -> Hand:
    """The hand of some cards."""
    total = sum(VALUES[card] for card in cards)
    soft = "A" in cards and total <= 11
    return total + 10 * soft, soft


def drawn(held: Hand, value: int) -> Hand:
    """A hand with one card more."""
    total, soft = held
    total += value
    if value == 1 and total <= 11:
        return total + 10, True
    if total > 21 and soft:
        return total - 10, False
    return total, soft


@cache
def dealer(held: Hand) -> dict[int, float]:
    """The chances of the dealer's final totals; 22 stands for all that are too many."""
    total, _ = held
    if total > 21:
        return {22: 1.0}
    if total >= 17:
        return {total: 1.0}
    chances: dict[int, float] = {}
    for value, chance in _CHANCES.items():
        for final, share in dealer(drawn(held, value)).items():
            chances[final] = chances.get(final, 0.0) + chance * share
    return chances


@cache
def stands(total: int, up: int) -> float:
    """Expected winnings of standing, for a stake of 1."""
    if total > 21:
        return -1.0
    worth = 0.0
    for final, chance in dealer(drawn((0, False), up)).items():
        worth += chance * (1 if final == 22 or final < total else 0 if final == total else -1)
    return worth


@cache
def hits(held: Hand, up: int) -> float:
    """Expected winnings of one more card, and the best play after it."""
    worth = 0.0
    for value, chance in _CHANCES.items():
        after = drawn(held, value)
        worth += chance * (-1.0 if after[0] > 21 else max(stands(after[0], up), hits(after, up)))
    return worth


@cache
def doubles(held: Hand, up: int) -> float:
    """Expected winnings of exactly one more card for twice the stake."""
    return 2 * sum(chance * stands(drawn(held, value)[0], up) for value, chance in _CHANCES.items())


@cache
def best(held: Hand, up: int, may_double: bool) -> tuple[Action, ...]:
    """The best action, or those that are equally good."""
    worth: dict[Action, float] = {"stand": stands(held[0], up), "hit": hits(held, up)}
    if may_double:
        worth["double"] = doubles(held, up)
    most = max(worth.values())
    return tuple(action for action, value in worth.items() if value > most - _NEAR)
