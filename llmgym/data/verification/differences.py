"""What is not as it was when an episode ran."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from llmgym.messages import Message
from llmgym.rewards import Part
from llmgym.rollout.thresholds import TOLERANCE
from llmgym.trajectory import Trajectory

#: An episode that is "scored" has a reward which it had not, and "unscored" is the other way round.
DifferenceKind = Literal["reward", "scored", "unscored", "part", "metric", "opening", "tools", "observation", "ending"]

#: Of these, what changes what an episode is worth.
OF_REWARD: frozenset[DifferenceKind] = frozenset({"reward", "scored", "unscored"})

#: Metrics of whoever drives an episode, and not of its environment.
DRIVEN = frozenset({"num_turns", "num_sampled_tokens", "num_context_tokens", "num_compactions"})


class Difference(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that is not as it was.

    Attributes:
        id: The episode.
        kind: What is different.
        was: What is recorded; None where that is nothing.
        now: What it is; None where that is nothing.
        turn: The assistant message that was answered so, counted from 0; None where it is of the whole episode.
        name: Which part or metric.
    """

    id: str
    kind: DifferenceKind
    was: Any
    now: Any
    turn: int | None = None
    name: str = ""


def of_messages(was: list[Message], now: list[Message]) -> tuple[Message | None, Message | None] | None:
    """The first message that is another one, as it was and as it is; None where all are the same."""
    for at in range(max(len(was), len(now))):
        before, after = (messages[at] if at < len(messages) else None for messages in (was, now))
        if before != after:
            return before, after
    return None


def of_scores(was: Trajectory, now: Trajectory) -> Iterator[Difference]:
    """How the reward, its parts and the metrics of an episode differ."""
    if not _same(was.reward, now.reward):
        kind = "scored" if was.reward is None else "unscored" if now.reward is None else "reward"
        yield Difference(was.id, kind, was.reward, now.reward)
    for name in {**was.reward_parts, **now.reward_parts}:
        before, after = was.reward_parts.get(name), now.reward_parts.get(name)
        if not _same_part(before, after):
            yield Difference(was.id, "part", before, after, name=name)
    for name in {**was.metrics, **now.metrics}:
        value, other = was.metrics.get(name), now.metrics.get(name)
        if name not in DRIVEN and not _same(value, other):
            yield Difference(was.id, "metric", value, other, name=name)


def _same_part(one: Part | None, other: Part | None) -> bool:
    if one is None or other is None:
        return one is other
    return _same(one.value, other.value) and _same(one.weight, other.weight)


def _same(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return one == other or (math.isnan(one) and math.isnan(other)) or abs(one - other) <= TOLERANCE
