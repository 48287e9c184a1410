"""What the answers to one task say of each other: who wins most, what most say, who differs, who is shortest.

Each function takes the repeats of a task in order, None for one that failed, and gives one value for each, None where
there is none. The values are comparable within their group alone: keep a part that does not depend on it beside them.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable, Sequence
from itertools import combinations
from statistics import fmean
from typing import TypeVar

from llmgym.verifiers.base import Verdict

T = TypeVar("T")
Values = list[float | None]

_ALL_PAIRS = 4  # answers, at most, of which each meets each


async def tournament(
    answers: Sequence[T | None], compare: Callable[[T, T], Awaitable[Verdict]], *, seed: int = 0
) -> Values:
    """Mean of what an answer earns against others, such as by `judge.pairwise`.

    Up to four answers meet each other; more stand in a ring that the seed shuffles, and each meets as many of those
    that follow as makes about n log n pairs.

    Args:
        answers: The answers.
        compare: Says what the first earns against the second, 0 to 1; pairs that it leaves unscored do not count.
        seed: Shuffles the ring.
    """
    there = {index: answer for index, answer in enumerate(answers) if answer is not None}
    pairs = _pairs(list(there), seed)
    verdicts = await asyncio.gather(*(compare(there[one], there[other]) for one, other in pairs))
    earned: dict[int, list[float]] = {index: [] for index in there}
    for (one, other), verdict in zip(pairs, verdicts, strict=True):
        if verdict.score is not None:
            earned[one].append(verdict.score)
            earned[other].append(1 - verdict.score)
    return [fmean(earned[index]) if earned.get(index) else None for index in range(len(answers))]


def _pairs(there: list[int], seed: int) -> list[tuple[int, int]]:
    number = len(there)
    if number <= _ALL_PAIRS:
        return list(combinations(there, 2))
    random.Random(seed).shuffle(there)
    steps = min(number.bit_length() - 1, (number - 1) // 2)  # beyond half of the ring, pairs would come again
    return [(there[i], there[(i + step) % number]) for step in range(1, steps + 1) for i in range(number)]


def majority(answers: Sequence[Hashable | None]) -> Values:
    """1 for what most say, or a share of 1 for each of several answers that equally many give; 0 for the rest.

    Args:
        answers: Answers in a form in which equal ones are equal.
    """
    counts = Counter(answer for answer in answers if answer is not None)
    most = max(counts.values(), default=0)
    tied = sum(count == most for count in counts.values())
    return [None if answer is None else 1 / tied if counts[answer] == most else 0.0 for answer in answers]


def diversity(answers: Sequence[str | None], similarity: Callable[[str, str], float] | None = None) -> Values:
    """1 less the mean similarity to the others; None for one that is alone.

    Args:
        answers: The answers.
        similarity: Of two texts, 0 to 1, the same both ways; by default the share of words that they have in common.
    """
    alike: dict[int, list[float]] = {index: [] for index, answer in enumerate(answers) if answer is not None}
    words = {index: frozenset((answers[index] or "").casefold().split()) for index in alike}
    for one, other in combinations(alike, 2):
        if similarity is None:
            union = len(words[one] | words[other])
            value = len(words[one] & words[other]) / union if union else 1.0
        else:
            value = similarity(answers[one] or "", answers[other] or "")
        alike[one].append(value)
        alike[other].append(value)
    return [1 - fmean(alike[index]) if alike.get(index) else None for index in range(len(answers))]


def shortest_correct(scores: Sequence[float | None], lengths: Sequence[int]) -> Values:
    """1 for the shortest of those whose score is 1, down to 0 for the longest of them and for what is not right.

    Args:
        scores: Of the answers.
        lengths: How long they are, in characters, tokens or turns.
    """
    right = [length for score, length in zip(scores, lengths, strict=True) if score == 1]
    span = max(right, default=0) - min(right, default=0)

    def bonus(score: float, length: int) -> float:
        if score != 1:
            return 0.0
        return (max(right) - length) / span if span else 1.0

    return [None if score is None else bonus(score, length) for score, length in zip(scores, lengths, strict=True)]
