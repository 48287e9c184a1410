"""Maximum matching: as many pairs as there can be, where each of one side fits some of the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence


def match(fits: Sequence[Sequence[int]]) -> list[int | None]:
    """Pair as many as possible, each once (Kuhn's way, breadth first).

    Taking the first that fits can fail where all could be paired: of calls that fit {1, 2} and {1}, the first may not
    take 1.

    Args:
        fits: For each on the left, which on the right it fits.

    Returns:
        For each on the left its partner on the right, or None.
    """
    partner: dict[int, int] = {}  # of each on the right, that on the left
    for left in range(len(fits)):
        came_from: dict[int, int] = {}  # of each on the right that was reached, from which on the left
        queue = deque([left])
        while queue:
            at = queue.popleft()
            reached = [right for right in fits[at] if right not in came_from]
            came_from |= dict.fromkeys(reached, at)
            if (free := next((right for right in reached if right not in partner), None)) is not None:
                _shift(partner, came_from, free)
                break
            queue.extend(partner[right] for right in reached)
    pairs = {left: right for right, left in partner.items()}
    return [pairs.get(left) for left in range(len(fits))]


def _shift(partner: dict[int, int], came_from: dict[int, int], right: int) -> None:
    """Give each on the left along the way the partner that was found for it, and so free the one it had."""
    taken = {left: old for old, left in partner.items()}
    free: int | None = right
    while free is not None:
        left = came_from[free]
        partner[free], free = left, taken.get(left)
