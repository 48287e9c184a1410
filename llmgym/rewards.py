"""Rewards: a weighted sum of named parts, beside metrics that do not count.

`None` means *unscored* and is never turned into 0: a verifier that could not decide says nothing
about the policy, and a trainer has to be able to leave the episode out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Part:
    """One named share of a reward: `weight * value`, or unscored where `value` is None."""

    value: float | None
    weight: float = 1.0


class Reward:
    """What a verifier found: `Reward(correct=1.0, format=Part(0.5, weight=0.1), metrics={"lookups": 2})`.

    Attributes:
        parts: The named parts.
        metrics: Named numbers that are recorded and do not count.
    """

    __slots__ = ("metrics", "parts")

    def __init__(self, *, metrics: Mapping[str, float] | None = None, **parts: Part | float | None) -> None:
        """Name the parts; a plain number is a part of weight 1."""
        self.parts: dict[str, Part] = {
            name: part if isinstance(part, Part) else Part(_number(part)) for name, part in parts.items()
        }
        self.metrics = dict(metrics or {})

    @property
    def value(self) -> float | None:
        """Sum of `weight * value`, or None where any part is unscored (or not a number) or there is none."""
        shares = [None if part.value is None else float(part.weight * part.value) for part in self.parts.values()]
        if not shares or any(share is None or math.isnan(share) for share in shares):
            return None
        return math.fsum(share for share in shares if share is not None)

    def __repr__(self) -> str:
        """Show the parts and metrics."""
        return f"Reward(value={self.value}, parts={self.parts}, metrics={self.metrics})"

    @classmethod
    def of(cls, result: Reward | float | bool | None) -> Reward:
        """Read what a verifier returned; a plain number becomes the part `correct`."""
        return result if isinstance(result, Reward) else cls(correct=result)


def _number(value: Any) -> float | None:
    if isinstance(value, str | bytes):
        raise TypeError(f"a reward is a number, this is the text {value!r:.100}")
    return None if value is None else float(value)
