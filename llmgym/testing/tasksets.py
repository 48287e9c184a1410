"""Checks of where tasks come from."""

from __future__ import annotations

from itertools import pairwise

from llmgym.tasks import TaskSet
from llmgym.testing.report import Fault, Skip
from llmgym.testing.subject import Subject

_SLOTS = 64  # seeds, and episodes of each, in the check of how varied tasks are
_FEWEST = 4  # slots that are looked at however long tasks take to make


def tasks(subject: Subject) -> None:
    """Ids name tasks, and splits share none."""
    found, homes = subject.tasks, dict[str, str]()
    for split in found.splits:
        size = found.size(split)
        task = found.plan(split, subject.seed, 0)
        if found.get(task.id) != task:
            raise Fault(f"get({task.id!r}) gives another task than the plan did; make tasks from their id alone")
        box = subject.box(1 / len(found.splits))
        count = _SLOTS**2 if size is None else min(size, _SLOTS**2)
        for index in range(count):
            content = found.plan(split, subject.seed, index).content_hash
            if (home := homes.setdefault(content, split)) != split:
                raise Fault(f"the splits {home!r} and {split!r} share a task; split by content")
            if box.over and index >= _SLOTS:
                subject.cut(f"{index + 1} of {count} tasks of split {split!r} compared with other splits")
                break


def variety(subject: Subject) -> None:
    """Slots go through a split each in an order of its own, whatever its size."""
    few = [said for split in subject.tasks.splits if (said := expect_varied(subject, subject.tasks, split))]
    if len(few) == len(subject.tasks.splits):
        raise Skip(f"{', '.join(few)}: episodes repeat them, and what they earn is not independent")


def expect_varied(subject: Subject, found: TaskSet, split: str) -> str | None:
    """What is to be said of a split that is small, which is no fault.

    Slots that repeat one another meet few different pairs of tasks, one after the other, for the tasks that they meet.
    """
    contents, pairs, drawn = set[str](), set[tuple[str, str]](), 0
    box = subject.box(1 / len(found.splits))
    for seed in range(_SLOTS):
        if box.over and seed >= _FEWEST:
            subject.cut(f"{seed} of {_SLOTS} slots of split {split!r}")
            break
        slot = [found.draw(split, seed, episode).content_hash for episode in range(_SLOTS)]
        contents.update(slot)
        pairs.update(pairwise(slot))
        drawn += len(slot)
    ways = drawn - drawn // _SLOTS
    if len(contents) > 1 and len(pairs) < min(1.5 * len(contents), 0.9 * ways):
        raise Fault(
            f"slots of split {split!r} repeat one another: in {drawn} episodes they meet {len(contents)} tasks, always "
            "in the same order; draw by a hash of seed and episode, as TaskSet.generated does"
        )
    if len(contents) < 0.1 * drawn:
        return f"split {split!r} has about {len(contents)} tasks in {drawn} draws"
    return None
