"""Draws of a NumPy generator as Python's own values: what generators of tasks pick with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


class Draws:
    """Picks of a generator: the same for equal seeds, on every machine and Python."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def whole(self, low: int, high: int) -> int:
        """A whole number from `low` to `high`, both included."""
        return int(self.rng.integers(low, high + 1))

    def signed(self, low: int, high: int) -> int:
        """A whole number of that size, of either sign."""
        return self.whole(low, high) * self.pick((1, -1))

    def chance(self, share: float) -> bool:
        """True in a share of draws."""
        return float(self.rng.random()) < share

    def pick(self, choices: Sequence[T]) -> T:
        """One of some."""
        return choices[int(self.rng.integers(len(choices)))]

    def some(self, choices: Sequence[T], count: int) -> list[T]:
        """So many different ones of some, in an order of chance."""
        return [choices[int(at)] for at in self.rng.permutation(len(choices))[:count]]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """All, in an order of chance."""
        return self.some(items, len(items))

    def wholes(self, low: int, high: int, count: int) -> list[int]:
        """So many different whole numbers, in an order of chance."""
        return [low + at for at in self.some(range(high - low + 1), count)]
