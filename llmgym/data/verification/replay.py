"""One stored episode, played again on its environment, or scored again from its transcript."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import cast

from llmgym.concurrency import is_outside
from llmgym.data.verification.differences import DRIVEN, Difference, of_messages, of_scores
from llmgym.data.verification.recorded import recorded_calls
from llmgym.env import Episode, ToolEnv
from llmgym.env.boundary import failure
from llmgym.failures import Failure
from llmgym.messages import Message
from llmgym.rollout.driver import Driver
from llmgym.rollout.instances import Instances
from llmgym.tasks import Task
from llmgym.trajectory import Trajectory, Turn

_OWN_ENDS = frozenset({"completed", "max_turns"})  # which an environment comes to by itself


@dataclass(slots=True)
class Replay:
    """A stored episode, and what came of it now.

    Attributes:
        was: As it is stored.
        now: What it earns now, with the messages that were there when that was found; its turns have the rewards.
        differences: What is not as it was.
    """

    was: Trajectory
    now: Trajectory
    differences: list[Difference] = field(default_factory=list)

    @property
    def failure(self) -> Failure | None:
        """What the environment failed of, if it did; nothing is known of the reward then."""
        return self.now.failure

    def compare_scores(self) -> None:
        """Note how the scores differ."""
        if self.failure is None:
            self.differences += of_scores(self.was, self.now)

    def rescored(self) -> Trajectory:
        """The stored episode with what it earns now: its reward and those of its turns, parts and metrics."""
        was, now = self.was, self.now
        rewards = itertools.chain((turn.reward for turn in now.turns), itertools.repeat(0.0))
        if was.played is not None:  # the last turn has all that the program's calls have earned
            rewards = itertools.chain(itertools.repeat(0.0, len(was.turns) - 1), [now.reward])
        turns = [replace(turn, reward=reward) for turn, reward in zip(was.turns, rewards, strict=False)]
        metrics = {name: value for name, value in was.metrics.items() if name in DRIVEN or name in now.metrics}
        metrics |= {name: value for name, value in now.metrics.items() if name not in DRIVEN}
        return replace(was, reward=now.reward, reward_parts=now.reward_parts, metrics=metrics, turns=turns)


async def replay(instances: Instances, was: Trajectory, task: Task) -> Replay:
    """Play the recorded messages of an episode on its environment, with the seed that it had.

    What fails is in the trajectory; only cancellation is raised.
    """
    driver = Driver(instances, task, Trajectory(instances.id, was.task_id, was.repeat, was.seed))
    made = Replay(was, driver.trajectory)
    try:
        with recorded_calls(was.model_calls):
            if await driver.open():
                _compare_opening(made)
                await _play(driver, made)
    finally:
        await driver.close()
    if was.status not in _OWN_ENDS:  # what bounded the policy is not there now
        driver.trajectory.status = was.status if made.failure is None else driver.trajectory.status
    return made


async def score(instances: Instances, was: Trajectory, task: Task) -> Replay:
    """Score an episode by its transcript, for environments that declare that to be enough."""
    now = replace(was, turns=[replace(turn, reward=0.0) for turn in was.turns])
    made = Replay(was, now)
    episode = Episode(task, tuple(was.environment.messages), was.status != "completed", dict(was.metrics))
    env = None
    try:
        env = cast("ToolEnv", await instances.acquire())
        with recorded_calls(was.model_calls):
            reward = await env.averify(episode)
    except BaseException as error:  # whatever an environment raises
        if env is not None:
            await instances.discard(env)
        if is_outside(error):
            raise
        failed = failure(error, instances.id, "verify")
        now.reward, now.error = None, str(failed)
        now.failure = Failure(failed.kind, failed.stage or "verify", "none", type(error.__cause__ or error).__name__)
        return made
    await instances.release(env)
    now.reward, now.reward_parts, now.metrics = reward.value, reward.parts, {**was.metrics, **reward.metrics}
    if now.turns:
        now.turns[-1].reward = reward.value
    return made


def _compare_opening(made: Replay) -> None:
    was, now = made.was.environment, made.now
    if found := of_messages(was.messages[: was.opening], now.messages):
        made.differences.append(Difference(now.id, "opening", *found))
    if was.tools != now.tools:
        made.differences.append(Difference(now.id, "tools", was.tools, now.tools))


async def _play(driver: Driver, made: Replay) -> None:
    was = made.was
    said = list(exchanges(was))
    for turn, (message, before) in enumerate(said):
        if driver.done:
            ended = f"{driver.trajectory.status} after {turn} of {len(said)} turns"
            made.differences.append(Difference(was.id, "ending", was.status, ended, turn - 1))
            return
        if was.played is not None and (calls := message.get("tool_calls")):  # each was made by itself
            after = await driver.call(calls[0], same=False)
        else:
            ended = was.turns[turn].finish_reason if was.played is None and turn < len(was.turns) else "stop"
            after = await driver.step(message, Turn(0.0, ended, 0.0, 0.0), cut=ended == "length")
        if made.failure is None and (found := of_messages(before, after)):
            made.differences.append(Difference(was.id, "observation", *found, turn))
    if not driver.done:
        if was.status == "completed":
            made.differences.append(Difference(was.id, "ending", was.status, "it goes on", len(said) - 1))
        await driver.end(was.status)
    elif made.failure is None and was.status in _OWN_ENDS and driver.trajectory.status != was.status:
        made.differences.append(Difference(was.id, "ending", was.status, driver.trajectory.status, len(said) - 1))


def exchanges(was: Trajectory) -> Iterator[tuple[Message, list[Message]]]:
    """Each message that the environment took, with those that answered it."""
    seen = was.environment
    rest = seen.messages[seen.opening :]
    starts = [at for at, message in enumerate(rest) if message["role"] == "assistant"]
    for start, end in itertools.pairwise([*starts, len(rest)]):
        yield rest[start], rest[start + 1 : end]
