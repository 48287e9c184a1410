"""One episode: an environment and a policy talk until one of them, or a limit, ends it."""

from __future__ import annotations

import time
from collections.abc import Callable

from llmgym.concurrency import watched
from llmgym.errors import CodecError, EnvironmentFailure, PolicyError
from llmgym.messages import Message
from llmgym.rollout.config import Limits
from llmgym.rollout.driver import Driver
from llmgym.rollout.instances import Instances
from llmgym.rollout.speakers import PolicyInvalid, Speaker
from llmgym.rollout.stop import LimitReached, PolicyTimeout, Stop
from llmgym.tasks import Task
from llmgym.trajectory import Trajectory, Turn


async def run_episode(
    instances: Instances,
    task: Task,
    speaker: Speaker,
    trajectory: Trajectory,
    limits: Limits,
    on_turn: Callable[[Turn], None] | None = None,
    stop: Stop | None = None,
) -> None:
    """Run one episode and fill in its trajectory.

    A failure is a status and an error text, with `reward` left None; only cancellation is raised.

    Args:
        instances: Where it happens.
        task: The task.
        speaker: The policy's side.
        trajectory: Names the task and the seed; the rest is filled in.
        limits: What ends the episode.
        on_turn: Called after each turn.
        stop: Ends it from outside.
    """
    driver, stop = Driver(instances, task, trajectory), stop or Stop()
    deadline = stop.bound_episode(limits.episode_timeout)
    try:
        async with deadline:
            with watched(stop):
                await _converse(driver, speaker, limits, on_turn, stop)
    except TimeoutError:
        if not deadline.expired():
            raise
        await driver.fail(TimeoutError(f"the episode ran past {limits.episode_timeout} s"), "episode_timeout")
    finally:
        stop.close()
        await driver.close()
    take_tokens(trajectory, speaker, limits)


def take_tokens(trajectory: Trajectory, speaker: Speaker, limits: Limits) -> None:
    """Record what the policy's side of an ended episode has kept."""
    trajectory.segments, trajectory.compactions = speaker.finish(), speaker.context.compactions
    if speaker.usage.calls:
        trajectory.usage["agent"] = speaker.usage
    trajectory.metrics |= lengths(trajectory)
    if limits.context_management is not None:
        trajectory.metrics["num_compactions"] = len(trajectory.compactions)
        trajectory.timings["engine_s"] = sum(reply.engine_s for reply in trajectory.replies)


def lengths(trajectory: Trajectory) -> dict[str, float]:
    """How long an episode was, as metrics."""
    sampled = trajectory.sampled_tokens
    return {
        "num_turns": len(trajectory.turns),
        "num_sampled_tokens": sampled,
        "num_context_tokens": sum(len(segment.ids) for segment in trajectory.segments) - sampled,
    }


async def _converse(
    driver: Driver, speaker: Speaker, limits: Limits, on_turn: Callable[[Turn], None] | None, stop: Stop
) -> None:
    if not await driver.open():
        return
    trajectory = driver.trajectory
    try:
        speaker.begin(driver.instance)
        speaker.open(trajectory.messages, trajectory.tools)
        while not driver.done:
            asked = time.perf_counter()
            reply = await stop.bounded(lambda: speaker.reply(trajectory.messages), limits.generation_timeout)
            turn = Turn(0.0, reply.finish_reason, time.perf_counter() - asked, 0.0, **reply.origin)
            cut = reply.finish_reason == "length"
            new = await driver.step(reply.message, turn, cut=cut)
            if trajectory.failure is None:
                if cut:
                    trajectory.status = reply.bound
                if on_turn is not None:
                    on_turn(turn)
            if driver.done:
                return
            await _hear(driver, speaker, new, limits, stop)
    except LimitReached as limit:
        await driver.end(limit.status, verify=stop.verify or not stop.requested)
    except PolicyInvalid as error:
        await driver.fail(error, "policy_invalid")
    except PolicyTimeout as error:
        await driver.fail(error, "policy_timeout")
    except (PolicyError, CodecError, EnvironmentFailure) as error:
        await driver.fail(error)


async def _hear(driver: Driver, speaker: Speaker, new: list[Message], limits: Limits, stop: Stop) -> None:
    """Give the policy what is new, and room for its next reply."""
    messages = driver.trajectory.messages
    try:
        speaker.hear(new, messages)
        if speaker.crowded:
            await stop.bounded(lambda: speaker.make_room(messages), limits.generation_timeout)
    except CodecError as error:  # some templates refuse what a policy can bring a conversation to
        await driver.end("template_refused")
        driver.trajectory.error = driver.trajectory.error or str(error)
