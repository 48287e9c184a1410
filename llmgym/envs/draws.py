"""Draws of a NumPy generator as Python's own values: what generators of tasks pick with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")

_BLOCK = 64  # numbers that are drawn at once, since one alone takes ten times as long


class Draws:
    """Picks of a generator: the same for equal seeds, on every machine and Python."""

    def __init__(self, rng: np.random.Generator) -> None:
        """Draw from a generator."""
        self.rng = rng
        self._ahead: list[float] = []

    def share(self) -> float:
        """A number from 0 to below 1."""
        if not self._ahead:
            self._ahead = self.rng.random(_BLOCK).tolist()
        return self._ahead.pop()

    def whole(self, low: int, high: int) -> int:
        """A whole number from `low` to `high`, both included."""
        return low + int(self.share() * (high - low + 1))

    def signed(self, low: int, high: int) -> int:
        """A whole number of that size, of either sign."""
        return self.whole(low, high) * self.pick((1, -1))

    def chance(self, share: float) -> bool:
        """True in a share of draws."""
        return self.share() < share

    def pick(self, choices: Sequence[T]) -> T:
        """One of some."""
        return choices[int(self.share() * len(choices))]

    def some(self, choices: Sequence[T], count: int) -> list[T]:
        """So many different ones of some, or all where there are fewer, in an order of chance."""
        left = list(choices)
        count = min(count, len(left))
        for at in range(count):
            other = self.whole(at, len(left) - 1)
            left[at], left[other] = left[other], left[at]
        return left[:count]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """All, in an order of chance."""
        return self.some(items, len(items))

    def wholes(self, low: int, high: int, count: int) -> list[int]:
        """So many different whole numbers, in an order of chance."""
        return self.some(range(low, high + 1), count)
