"""Rewards that the repeats of a task give each other, once the last of them has ended."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from llmgym.chat import ModelCall
from llmgym.concurrency import is_outside
from llmgym.env import Episode
from llmgym.env.boundary import failure
from llmgym.errors import EnvironmentFailure
from llmgym.failures import Failure
from llmgym.rewards import Reward
from llmgym.rollout.instances import Instances
from llmgym.trajectory import Trajectory


async def verify_group(
    instances: Instances, group: Sequence[Trajectory], settled: Collection[int], attempts: int
) -> list[Trajectory]:
    """Give the episodes of a group what they earn beside each other.

    Args:
        instances: Their environment.
        group: The episodes by repeat.
        settled: Repeats whose rewards stay as they are.
        attempts: How often to try.

    Returns:
        The others that finished; as failures where the environment failed, and as they were where fewer than two
        episodes are scored.
    """
    due = [trajectory for trajectory in group if trajectory.finished and trajectory.repeat not in settled]
    episodes = [_episode(trajectory) for trajectory in group]
    if not due or sum(episode is not None for episode in episodes) < 2:
        return due
    try:
        rewards, calls = await rewards_of(instances, episodes, attempts)
    except EnvironmentFailure as error:
        return [_failed(trajectory, error) for trajectory in due]
    for trajectory, reward in zip(group, rewards, strict=True):
        if reward is not None and trajectory.reward is not None and trajectory.repeat not in settled:
            _add(trajectory, reward)
    _note(due[0], calls)
    return due


async def rewards_of(
    instances: Instances, episodes: Sequence[Episode | None], attempts: int = 1
) -> tuple[list[Reward | None], list[ModelCall]]:
    """What the repeats of a task earn beside each other, and the calls of models that it took.

    Raises:
        EnvironmentFailure: The environment failed in each of the attempts.
    """
    env = await instances.acquire()
    try:
        found = await env.averify_group(episodes)
    except BaseException as error:
        await instances.discard(env)
        if is_outside(error):
            raise
        if attempts > 1:
            return await rewards_of(instances, episodes, attempts - 1)
        raise failure(error, instances.id, "verify") from error
    await instances.release(env)
    return found


def _episode(trajectory: Trajectory) -> Episode | None:
    """What `group_verify` sees of an episode; None where it has no reward."""
    if not trajectory.finished or trajectory.reward is None or trajectory.task is None:
        return None
    truncated = trajectory.status != "completed"
    return Episode(
        trajectory.task, tuple(trajectory.environment.messages), truncated, trajectory.metrics, _own(trajectory)
    )


def _own(trajectory: Trajectory) -> Reward:
    reward = Reward(metrics=trajectory.metrics)
    reward.parts = dict(trajectory.reward_parts)
    return reward


def _add(trajectory: Trajectory, reward: Reward) -> None:
    """Add parts to those of an episode, in the place of those of their names; its last turn earns the difference."""
    own = _own(trajectory)
    before = own.value or 0.0
    own.parts |= reward.parts
    after = own.value
    trajectory.reward_parts = own.parts
    trajectory.metrics = {**trajectory.metrics, **reward.metrics}
    last = trajectory.turns[-1] if trajectory.turns else None
    change = None if after is None else after - before
    trajectory.reward = _sum(trajectory.reward, change)
    if last is not None:
        last.reward = _sum(last.reward, change)


def _sum(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one + other


def _note(trajectory: Trajectory, calls: Sequence[ModelCall]) -> None:
    """Record the calls that a group took with one of its episodes."""
    trajectory.model_calls = [*trajectory.model_calls, *calls]
    for call in calls:
        known = trajectory.usage.get(call.role)
        trajectory.usage[call.role] = call.usage if known is None else known + call.usage


def _failed(trajectory: Trajectory, error: EnvironmentFailure) -> Trajectory:
    """The episode as one whose group could not be scored."""
    name = type(error.__cause__ or error).__name__
    why = Failure(error.kind, error.stage or "verify", "done", name)
    return replace(trajectory, status="env_error", reward=None, error=str(error), failure=why)
