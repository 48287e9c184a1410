"""Episodes for checks: scored ones by the loop that all drivers share, and raw results of sampled actions."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable, Iterator
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

Messages = Callable[[ToolEnv], Iterator[Message | str]]
Result = tuple[Any, ...]

STEPS = 24  # sampled actions in a check that compares runs
_FEWEST = 4  # results that are compared however slow they are


def solver(core: ToolEnv) -> Iterator[Message | str]:
    """The oracle's messages for the running episode."""
    assert core.task is not None
    return iter(core.oracle(core.task))


def play(instances: Instances, task: Task, messages: Messages, seed: int) -> Outcome:
    """Play an episode with the messages that something says of it, which are asked for one by one.

    Raises:
        Fault: The episode failed, or goes on where it should not.
    """
    return drive_in_background(_play(instances, task, messages, seed))


async def _play(instances: Instances, task: Task, messages: Messages, seed: int) -> Outcome:
    core = instances.sample.unwrapped  # the one that the driver will take
    assert isinstance(core, ToolEnv)
    trajectory = Trajectory(instances.id, task.id, 0, seed)
    driver = Driver(instances, task, trajectory)
    last = ""
    try:
        if await driver.open():
            for message in messages(core):
                last = message if isinstance(message, str) else message["content"]
                await driver.step(message)
                if driver.done:
                    break
                if len(trajectory.turns) > core.max_turns:
                    raise Fault(f"task {task.id}: the episode goes on past its limit of {core.max_turns} turns")
            else:
                raise Fault(f"task {task.id}: the messages end before the episode does; add the one that ends it")
    finally:
        await driver.close()
    if trajectory.failure is not None:
        raise Fault(f"task {task.id}: the episode failed: {trajectory.error}")
    return Outcome(task.id, math.nan if trajectory.reward is None else trajectory.reward, last)


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
