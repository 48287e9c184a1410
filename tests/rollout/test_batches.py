"""Batches of groups."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator

import pytest

from llmgym.policies import VersionSpan
from llmgym.rollout.batches import GroupFilter, batches
from llmgym.rollout.groups import Group
from llmgym.trajectory import Trajectory, Turn, segment_of


def group(name: str, *rewards: float | None, version: int = 1) -> Group:
    made = []
    for repeat, reward in enumerate(rewards):
        trajectory = Trajectory("env", name, repeat, 0, reward=reward)
        trajectory.segments = [segment_of([1, 2, 3], [(1, 3)], [-1.0, -1.0])]
        trajectory.turns = [Turn(reward, "stop", 0.0, 0.0, 0, 1, 3, versions=(VersionSpan(version, 0, 2),))]
        made.append(trajectory)
    return Group(f"env/{name}", made)


async def stream(*groups: Group) -> AsyncIterator[Group]:
    for one in groups:
        yield one


async def sizes(*groups: Group, size: int, keep: GroupFilter | None = None) -> list[int]:
    return [len(batch) async for batch in batches(stream(*groups), size, keep=keep)]


async def test_a_batch_has_as_many_groups_as_asked_for_and_the_last_the_rest() -> None:
    groups = [group(str(i), 0.0, 1.0) for i in range(5)]
    assert await sizes(*groups, size=2) == [4, 4, 2]


async def test_groups_that_teach_nothing_are_left_out_and_counted() -> None:
    keep = GroupFilter(drop_equal=True, max_staleness=1)
    groups = [
        group("a", 0.0, 1.0, version=3),
        group("b", 1.0, 1.0, version=3),
        group("c", None, None, version=3),
        group("d", 0.0, 1.0, version=1),
        group("e", 0.0, 1.0, version=2),
        group("f", None, 1.0, 0.0, version=3),
    ]
    assert await sizes(*groups, size=2, keep=keep) == [4, 2]
    assert (keep.equal, keep.stale, keep.unscored) == (1, 1, 1)


async def test_equal_groups_stay_where_they_are_wanted() -> None:
    assert await sizes(group("a", 1.0, 1.0), group("b", 0.0, 0.0), size=1) == [2, 2]


async def test_a_person_is_told_when_nothing_is_left_to_train_on(caplog: pytest.LogCaptureFixture) -> None:
    keep = GroupFilter(drop_equal=True)
    equal, uneven = group("a", 1.0, 1.0), group("b", 0.0, 1.0)
    with caplog.at_level(logging.WARNING, "llmgym.rollout"):
        assert await sizes(*[equal] * 63, uneven, *[equal] * 63, size=1, keep=keep) == [2]
        assert not caplog.messages
        assert await sizes(*[equal] * 2, size=1, keep=keep) == []
    [said] = caplog.messages
    assert said.startswith("the last 64 groups were all left out; so far 127 had equal rewards")
