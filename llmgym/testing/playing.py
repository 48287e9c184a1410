"""Episodes for checks: scored ones by the loop that all drivers share, and raw results of sampled actions."""

from __future__ import annotations

import contextlib
import inspect
import math
import pickle
from collections.abc import AsyncGenerator, Callable, Iterator
from itertools import islice
from typing import Any

from gymnasium.utils.env_checker import data_equivalence

from llmgym.concurrency import drive_in_background
from llmgym.env import ToolEnv
from llmgym.messages import Message
from llmgym.rollout.driver import Driver
from llmgym.rollout.instances import Instances
from llmgym.tasks import Task
from llmgym.testing.report import Fault
from llmgym.testing.subject import Env, Outcome, Subject, TimeBox
from llmgym.trajectory import Trajectory

#: What a policy says in an episode of an environment: messages, all at once or as they are asked for.
Messages = Callable[[ToolEnv], Any]
Result = tuple[Any, ...]

STEPS = 24  # sampled actions in a check that compares runs
_FEWEST = 4  # results that are compared however slow they are


def solver(core: ToolEnv) -> Any:
    """The oracle's messages for the running episode."""
    assert core.task is not None
    return core.oracle(core.task)


def play(instances: Instances, task: Task, messages: Messages, seed: int) -> Outcome:
    """Play an episode with the messages that something says of it, which are asked for one by one.

    Raises:
        Fault: The episode failed, or goes on where it should not.
    """
    trajectory = follow(instances, task, messages, seed)
    if trajectory.failure is not None:
        raise Fault(f"task {task.id}: the episode failed: {trajectory.error}")
    said = next((message for message in reversed(trajectory.messages) if message["role"] == "assistant"), None)
    reward = math.nan if trajectory.reward is None else trajectory.reward
    return Outcome(task.id, reward, said["content"] if said else "")


def follow(instances: Instances, task: Task, messages: Messages, seed: int, *, stop: bool = False) -> Trajectory:
    """Play an episode as `play` does, and give all that it leaves, however it ends.

    Args:
        instances: Where it happens.
        task: Its task.
        messages: What is said, of the running environment.
        seed: Of the episode.
        stop: Whether an episode that outlasts the messages ends there and is scored as it is.

    Raises:
        Fault: The episode goes on where it should not.
    """
    return drive_in_background(_follow(instances, task, messages, seed, stop))


async def _follow(instances: Instances, task: Task, messages: Messages, seed: int, stop: bool) -> Trajectory:
    core = instances.sample.unwrapped  # the one that the driver will take
    assert isinstance(core, ToolEnv)
    trajectory = Trajectory(instances.id, task.id, 0, seed)
    driver = Driver(instances, task, trajectory)
    try:
        if await driver.open():
            async with contextlib.aclosing(_each(messages(core))) as said:
                async for message in said:
                    await driver.step(message)
                    if driver.done:
                        break
                    if len(trajectory.turns) > core.max_turns:
                        raise Fault(f"task {task.id}: the episode goes on past its limit of {core.max_turns} turns")
            if stop:
                await driver.end("max_turns")
            elif not driver.done:
                raise Fault(f"task {task.id}: the messages end before the episode does; add the one that ends it")
    finally:
        await driver.close()
    return trajectory


async def _each(messages: Any) -> AsyncGenerator[Message | str]:
    """Messages one by one, whether they come at once, from a generator, or from a coroutine."""
    if inspect.isawaitable(messages):
        messages = await messages
    if hasattr(messages, "__aiter__"):
        async for message in messages:
            yield message
    else:
        for message in messages:
            yield message


def record(env: Env, seed: int, spoil: bool = False, options: dict[str, Any] | None = None) -> Iterator[Result]:
    """Each result of Gymnasium's surface under sampled actions, episode after episode.

    Args:
        env: An instance.
        seed: Seed of the tasks and of the actions.
        spoil: Whether to change all that was handed over.
        options: Of each reset.
    """
    env.action_space.seed(seed)
    result: Result = env.reset(seed=seed, options=options)
    for _ in range(STEPS):
        yield pickle.loads(pickle.dumps(result))
        if spoil:
            ruin(result)
        if len(result) == 5 and (result[2] or result[3]):
            result = env.reset(options=options)
            continue
        action = env.action_space.sample()
        result = env.step(action)
        if spoil:
            ruin(action)


def within(results: Iterator[Result], box: TimeBox) -> list[Result]:
    """The results that come in time, and a few in any case."""
    taken = list(islice(results, _FEWEST))
    while not box.over and (result := next(results, None)) is not None:
        taken.append(result)
    return taken


def ruin(data: Any) -> None:
    """Overwrite all that can be changed inside."""
    for value in data.values() if isinstance(data, dict) else data if isinstance(data, list | tuple) else ():
        ruin(value)
    if isinstance(data, dict):
        data.clear()
    elif isinstance(data, list):
        data[:] = ["spoiled"]


_RESULT = {2: ("observation", "info"), 5: ("observation", "reward", "terminated", "truncated", "info")}


def expect_same(
    subject: Subject, first: Iterator[Result], second: Iterator[Result], what_to_do: str, box: TimeBox
) -> None:
    """Compare two runs result by result, and say what differs first."""
    for step, (one, other) in enumerate(zip(first, second, strict=False)):
        for name, a, b in zip(_RESULT[len(one)], one, other, strict=False):
            if not same(a, b):
                raise Fault(f"{name} of step {step} is {a!r:.300} and then {b!r:.300}; {what_to_do}")
        if len(one) != len(other):
            raise Fault(f"step {step} ends the episode before in one run only; {what_to_do}")
        if box.over and step + 1 >= _FEWEST and step + 1 < STEPS:
            subject.cut(f"{step + 1} of {STEPS} results compared")
            return


def same(a: Any, b: Any) -> bool:
    """Whether two results are equal, types included; NaN is equal to itself."""
    if isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b):
        return True
    return bool(data_equivalence(a, b))
