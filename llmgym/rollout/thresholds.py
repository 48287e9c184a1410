"""When rewards count as reached, and as equal: sums of step rewards are not exact (ten times 0.1 is below 1)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

#: Rewards that differ by no more are equal.
TOLERANCE: Final = 1e-6


def reaches(reward: float, threshold: float) -> bool:
    """Whether a reward is at least so much."""
    return reward >= threshold - TOLERANCE


def spread(rewards: Collection[float]) -> float:
    """How far the greatest and the smallest reward are apart."""
    return max(rewards) - min(rewards)


def all_equal(rewards: Collection[float]) -> bool:
    """Whether rewards differ by no more than the tolerance."""
    return not rewards or spread(rewards) <= TOLERANCE
