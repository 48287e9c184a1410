"""Which episodes of a task are compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from llmgym.rollout.thresholds import TOLERANCE


def pairs_of(rewards: Sequence[float], difference: float) -> Iterator[tuple[int, int]]:
    """Pairs of the repeats of a task: the best against the worst, the second worst and so on, then the second best.

    Args:
        rewards: Of each repeat.
        difference: How far the two are apart at least. Equal ones are never a pair.

    Yields:
        Which is better, and which is worse.
    """
    order = sorted(range(len(rewards)), key=lambda place: -rewards[place])
    for at, better in enumerate(order):
        for worse in reversed(order[at + 1 :]):
            gap = rewards[better] - rewards[worse]
            if gap <= TOLERANCE or gap < difference - TOLERANCE:
                break  # the rest is nearer still
            yield better, worse
