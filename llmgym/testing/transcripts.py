"""A check of `verify_from`: where it is "transcript", what was said earns later what it earned."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from llmgym.concurrency import drive_in_background
from llmgym.env import Episode, ToolEnv
from llmgym.messages import assistant
from llmgym.records import dump_row, load_row
from llmgym.rewards import Reward
from llmgym.rollout.instances import Instances
from llmgym.testing.playing import Messages, follow, solver
from llmgym.testing.report import Fault, Skip
from llmgym.testing.subject import Subject
from llmgym.trajectory import Trajectory

_FIX = "read nothing but the episode, pay nothing in tools and `respond`, or leave `verify_from` out"


def transcripts(subject: Subject) -> None:
    """A stored episode that an instance scores which did not play it."""
    if subject.core.verify_from != "transcript":
        raise Skip("stored episodes are played again to score them: `verify_from` is 'replay'")
    subject.expect_repeatable()
    players, verifiers = subject.instances(), subject.instances()
    box, tasks = subject.box(), subject.sample(subject.home)
    for done, task in enumerate(tasks):
        if box.over and done >= 2:
            subject.cut(f"{done} of {len(tasks)} tasks played")
            break
        for who, messages in _policies(subject):
            place = f"task {task.id}, {who}"
            was = follow(players, task, messages, subject.seed + done, stop=True)
            if was.failure is not None:
                raise Fault(f"{place}: the episode failed: {was.error}")
            stored = load_row(dump_row(was))
            try:
                now = drive_in_background(_score(verifiers, stored))
            except Exception as error:
                raise Fault(f"{place}: its transcript cannot be scored: {error}; {_FIX}") from error
            _expect_equal(place, was, now)


def _policies(subject: Subject) -> Iterator[tuple[str, Messages]]:
    """An episode that is solved, one in which nothing is said, and one that ends before anything could be."""
    if not subject.no_oracle:
        yield "the oracle", solver
    yield "silence", lambda core: [assistant("")]
    yield "an episode cut off at once", lambda core: []


async def _score(instances: Instances, stored: Trajectory) -> Reward:
    env: Any = await instances.acquire()
    assert stored.task is not None
    episode = Episode(stored.task, tuple(stored.messages), stored.status != "completed", dict(stored.metrics))
    try:
        return await cast("ToolEnv", env).averify(episode)
    finally:
        await instances.discard(env)


def _expect_equal(place: str, was: Trajectory, now: Reward) -> None:
    if now.value != was.reward:
        raise Fault(f"{place}: it earned {was.reward}, and its transcript earns {now.value}; {_FIX}")
    if dict(now.parts) != was.reward_parts:
        raise Fault(f"{place}: the parts of its reward were {was.reward_parts}, and are {dict(now.parts)}; {_FIX}")
    for name, value in now.metrics.items():
        if was.metrics.get(name) != value:
            raise Fault(f"{place}: metric {name!r} was {was.metrics.get(name)}, and is {value}; {_FIX}")
