"""How long rows are, and what a trainer has to be told so that it cuts none of them."""

from __future__ import annotations

import math
from array import array
from typing import Any

import numpy as np

from llmgym.data.export.recipe import Recipe

_ROUND = 64


class Lengths:
    """Tokens of each row."""

    def __init__(self) -> None:
        """There is none."""
        self._tokens = array("q")
        self._guessed = 0

    def add(self, tokens: int, counted: bool) -> None:
        """Take in a row's; `counted` unless it is a guess."""
        self._tokens.append(tokens)
        self._guessed += not counted

    @property
    def longest(self) -> int:
        """Of all rows; 0 without any."""
        return max(self._tokens, default=0)

    def report(self) -> dict[str, Any]:
        """Quantiles, and how many rows have up to so many tokens, by powers of two."""
        if not self._tokens:
            return {"rows": 0, "guessed": 0, "histogram": []}
        tokens = np.array(self._tokens)
        edges = 2 ** np.arange(5, max(int(np.ceil(np.log2(max(self.longest, 2)))), 5) + 1)
        counts = np.diff(np.searchsorted(np.sort(tokens), edges, side="right"), prepend=0)
        histogram = [[int(edge), int(count)] for edge, count in zip(edges, counts, strict=True)]
        while histogram and not histogram[0][1]:
            del histogram[0]
        half, most = (int(value) for value in np.quantile(tokens, [0.5, 0.95], method="higher"))
        return {
            "rows": len(tokens), "guessed": self._guessed, "median": half, "p95": most, "max": self.longest,
            "histogram": histogram,
        }  # fmt: skip


def enough(recipe: Recipe, lengths: Lengths) -> int:
    """The length that a trainer is told, with a margin unless it is given the tokens themselves."""
    guessed = lengths.report()["guessed"]
    longest = lengths.longest * (1.5 if guessed else 1 if recipe.tokens else 1.125)  # its template may write more
    if recipe.trainer == "nemo-rl":
        longest += 1  # it trains nothing of a row that is as long as it may be
    return math.ceil(longest / _ROUND) * _ROUND
