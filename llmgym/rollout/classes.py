"""What the repeats of a task are to each other: only those that are mixed teach a policy that compares them."""

from __future__ import annotations

from typing import Final, Literal, get_args

from llmgym.rollout.thresholds import TOLERANCE, reaches

GroupClass = Literal["solved", "failed", "mixed", "constant between", "single", "unscored"]

CLASSES: Final[tuple[GroupClass, ...]] = get_args(GroupClass)


def class_of(scored: int, least: float | None, greatest: float | None, threshold: float) -> GroupClass:
    """The class of a group.

    Args:
        scored: How many of its episodes have a reward.
        least: The smallest of the rewards; None where there are none.
        greatest: The greatest of them.
        threshold: Reward from which an episode is solved.
    """
    if least is None or greatest is None:
        return "unscored"
    if scored == 1:
        return "single"
    if greatest - least > TOLERANCE:
        return "mixed"
    if reaches(least, threshold):
        return "solved"
    return "failed" if greatest <= TOLERANCE else "constant between"
