"""A shuffle that says where one card lies without dealing the others: a permutation that is computed from a key.

A pass through a split of ten million rows is shuffled anew for every seed, and a resumed run asks for row 4,711 of it.
So the order is never written down: a Feistel network over a table of about as many fields as there are cards moves a
field to another, one to one, by a hash of the key; where it leaves the cards it is applied again (cycle walking).
"""

from __future__ import annotations

from functools import lru_cache
from math import isqrt

_MASK = (1 << 64) - 1
_STEP, _MIX, _MIX_AGAIN = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB  # of splitmix64
_ROUNDS = 4
_FEW = 16  # cards of which a network does not reach all orders alike


def shuffled(key: int, size: int, place: int) -> int:
    """The card at a place of a shuffled pack, in constant time and memory.

    Args:
        key: Names the order; 64 bits.
        size: How many cards there are, at least 1.
        place: From 0 to `size - 1`.

    Returns:
        A number from 0 to `size - 1`, another one for each place.
    """
    if size <= _FEW:
        return _dealt(key, size)[place]
    rows = isqrt(size - 1) + 1
    columns = -(-size // rows)
    while True:
        row, column = divmod(place, columns)
        salt = key
        for _ in range(_ROUNDS):  # `_mixed` is written out, which takes a third of the time off
            salt = salt + _STEP & _MASK
            mixed = (salt ^ column) * _MIX & _MASK
            row = (row + (((mixed ^ mixed >> 32) * _MIX_AGAIN & _MASK) >> 32)) % rows
            salt = salt + _STEP & _MASK
            mixed = (salt ^ row) * _MIX & _MASK
            column = (column + (((mixed ^ mixed >> 32) * _MIX_AGAIN & _MASK) >> 32)) % columns
        place = row * columns + column
        if place < size:
            return place


def _mixed(value: int) -> int:
    """A hash of 32 bits."""
    value = value * _MIX & _MASK
    return ((value ^ value >> 32) * _MIX_AGAIN & _MASK) >> 32


@lru_cache(maxsize=1024)
def _dealt(key: int, size: int) -> tuple[int, ...]:
    """The whole order of a few cards."""
    cards = list(range(size))
    for last in range(size - 1, 0, -1):
        key = key + _STEP & _MASK
        other = _mixed(key) % (last + 1)
        cards[last], cards[other] = cards[other], cards[last]
    return tuple(cards)
