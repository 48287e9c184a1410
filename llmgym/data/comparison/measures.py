"""What two runs are compared by, and how sure the difference is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llmgym.data.comparison.results import TaskResult
from llmgym.rollout.intervals import interval_over_tasks
from llmgym.rollout.summary import pass_at_k
from llmgym.rollout.thresholds import TOLERANCE

Pair = tuple[TaskResult, TaskResult]

_DISTINCT = 4_096  # values that are drawn from; more are rounded to so many steps


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over tasks with its 95% interval; None where there is none."""

    mean: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Measure:
    """One number of two runs, over the tasks that both have scored.

    Attributes:
        name: "reward", "pass@1", "pass@K", "turns" or "tokens".
        first: Mean over tasks of the first run.
        second: The same of the second.
        difference: The second less the first, of each task.
    """

    name: str
    first: float
    second: float
    difference: Estimate


def estimate(values: Sequence[float] | NDArray[np.float64], *, share: bool = False) -> Estimate:
    """The mean of values that tasks have, and its interval by drawing tasks (BCa).

    Args:
        values: One of each task.
        share: Whether they are within [0, 1], so that there is an interval also where all are the same.
    """
    found = np.asarray(values, float)
    if not len(found):
        return Estimate(None)
    mean, low = float(found.mean()), float(found.min())
    width = float(np.ptp(found))
    if share:
        low, width = 0.0, 1.0
    elif width <= TOLERANCE:
        return Estimate(mean)
    laid = (found - low) / width  # a bootstrap takes no note of units
    if len(np.unique(laid)) > _DISTINCT:
        laid = np.round(laid * _DISTINCT) / _DISTINCT
    bounds = interval_over_tasks(Counter(laid.tolist()))
    if bounds is None:
        return Estimate(mean)
    return Estimate(mean, min(low + bounds[0] * width, mean), max(low + bounds[1] * width, mean))


def measures(pairs: Sequence[Pair], most: int) -> list[Measure]:
    """All numbers of two runs, by the tasks that both have scored.

    Args:
        pairs: The tasks.
        most: Scored episodes that each task has at least, which is the k of pass@k.
    """
    if not pairs:
        return []
    found = {
        "reward": [(one.reward, other.reward) for one, other in pairs],
        "pass@1": [(one.solved / one.scored, other.solved / other.scored) for one, other in pairs],
    }
    if most > 1:
        found[f"pass@{most}"] = [
            (pass_at_k(one.scored, one.solved, most), pass_at_k(other.scored, other.solved, most))
            for one, other in pairs
        ]
    found["turns"] = [(one.turns, other.turns) for one, other in pairs]
    if all(result.tokens for pair in pairs for result in pair):
        found["tokens"] = [(one.tokens, other.tokens) for one, other in pairs]
    return [_measure(name, np.array(values, float)) for name, values in found.items()]


def _measure(name: str, values: NDArray[np.float64]) -> Measure:
    first, second = values.mean(axis=0).tolist()
    return Measure(name, first, second, estimate(values[:, 1] - values[:, 0]))
