"""Checks of where tasks come from."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise

from llmgym.tasks import TaskSet
from llmgym.testing.report import Fault, Skip
from llmgym.testing.subject import Subject, TimeBox

_SLOTS = 32  # seeds, and episodes of each, in the check of how varied tasks are
_FEWEST = 6  # of these, however long tasks take to make
_SHARE = 0.25  # of the tasks that a set declares, those that draws must meet where equal chances would have met all


def tasks(subject: Subject) -> None:
    """Ids name tasks, and splits share none."""
    found, homes = subject.tasks, dict[str, str]()
    for split in found.splits:
        size = found.size(split)
        task = found.plan(split, subject.seed, 0)
        if found.get(task.id) != task:
            raise Fault(f"get({task.id!r}) gives another task than the plan did; make tasks from their id alone")
        if size is None:  # it takes its time to make tasks, so that those are looked at that `variety` needs
            contents = chain.from_iterable(_slots(subject, found, split))
        else:
            contents = _first(subject, split, size)
        for content in contents:
            if (home := homes.setdefault(content, split)) != split:
                raise Fault(f"the splits {home!r} and {split!r} share a task; split by content")


def _first(subject: Subject, split: str, size: int) -> Iterator[str]:
    """Contents of a split that a run goes through, all of them where they are few."""
    box, count = subject.box(1 / len(subject.tasks.splits)), min(size, _SLOTS**2)
    for index in range(count):
        if box.over and index >= _FEWEST:
            subject.cut(f"{index} of {count} tasks of split {split!r} compared with other splits")
            return
        yield subject.tasks.plan(split, subject.seed, index).content_hash


@dataclass(frozen=True, slots=True)
class Met:
    """The tasks that slots of a split meet.

    Attributes:
        split: The split.
        drawn: How many episodes.
        contents: How many different tasks.
    """

    split: str
    drawn: int
    contents: int


def variety(subject: Subject) -> None:
    """Slots go through a split each in an order of its own, whatever its size, and meet what is declared."""
    splits, declared = subject.tasks.splits, subject.tasks.outcomes
    met = [expect_varied(subject, subject.tasks, split) for split in splits]
    if declared is not None:
        expect_declared(met, declared)
    elif all(found.contents < 0.1 * found.drawn for found in met):
        few = ", ".join(
            f"split {found.split!r} has about {found.contents} tasks in {found.drawn} draws" for found in met
        )
        raise Skip(
            f"{few}: episodes repeat them, and what they earn is not independent; where that is all there is, say so "
            "by TaskSet.generated(make, outcomes=...)"
        )


def expect_declared(met: Sequence[Met], declared: int) -> None:
    """See that a set gives about as many tasks as it says, and not more.

    Raises:
        Fault: It does not.
    """
    contents, drawn = sum(found.contents for found in met), sum(found.drawn for found in met)
    if contents > declared:
        raise Fault(f"{contents} tasks in {drawn} draws, where the set declares {declared} in all; mend `outcomes`")
    equal = declared * -math.expm1(-max(found.drawn for found in met) / declared)  # met where all had equal chances
    if contents < _SHARE * equal:
        raise Fault(
            f"{contents} tasks in {drawn} draws, of {declared} that the set declares; vary what it draws, or mend "
            "`outcomes`"
        )


def expect_varied(subject: Subject, found: TaskSet, split: str) -> Met:
    """See that slots meet tasks each in an order of its own.

    Slots that repeat one another meet few different pairs of tasks, one after the other, for the tasks that they meet.

    Raises:
        Fault: They repeat one another.
    """
    slots = _slots(subject, found, split)
    contents, pairs = (
        {content for slot in slots for content in slot},
        {pair for slot in slots for pair in pairwise(slot)},
    )
    drawn = len(slots) ** 2
    if len(contents) > 1 and len(pairs) < min(1.5 * len(contents), 0.9 * (drawn - len(slots))):
        raise Fault(
            f"slots of split {split!r} repeat one another: in {drawn} episodes they meet {len(contents)} tasks, always "
            "in the same order; draw by a hash of seed and episode, as TaskSet.generated does"
        )
    return Met(split, drawn, len(contents))


def _slots(subject: Subject, found: TaskSet, split: str) -> list[list[str]]:
    """Contents that slots draw, a list for each, with as many episodes as there are slots."""
    if split not in subject.slots:
        subject.slots[split] = _drawn(found, split, subject.box(1 / len(found.splits)))
    slots = subject.slots[split]
    if len(slots) < _SLOTS:
        subject.cut(f"{len(slots)} of {_SLOTS} slots of split {split!r}, {len(slots)} episodes of each")
    return slots


def _drawn(found: TaskSet, split: str, box: TimeBox) -> list[list[str]]:
    slots = list[list[str]]()
    while len(slots) < _SLOTS and not (box.over and len(slots) >= _FEWEST):
        side = len(slots)
        slots.append([found.draw(split, side, episode).content_hash for episode in range(side)])
        for seed, contents in enumerate(slots):
            contents.append(found.draw(split, seed, side).content_hash)
    return slots
