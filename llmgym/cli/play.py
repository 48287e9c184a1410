"""`llmgym play`."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated

import typer

from llmgym.cli.tools import tool_lines
from llmgym.errors import EnvironmentFailure, PolicyError
from llmgym.messages import Message, ToolSchema, format_message
from llmgym.policies.human import misread, read_line
from llmgym.rollout.config import EnvConfig
from llmgym.rollout.driver import Driver
from llmgym.rollout.instances import Instances
from llmgym.rollout.speakers import OracleSpeaker
from llmgym.tasks import Task
from llmgym.trajectory import Trajectory

EXAMPLES = """
\b
Examples:
  llmgym play llmgym/Wordle-easy-v0
  llmgym play llmgym/Calculator-v0 --seed 3
  llmgym play llmgym/Calculator-v0 --seed 3 --oracle
"""

#: Finds the messages of an episode that has begun, and drives it with them until it ends or nothing more is said.
Player = Callable[[asyncio.Runner, Driver], None]


def run(
    env_id: Annotated[str, typer.Argument(metavar="ID", hidden=True)],
    seed: Annotated[int | None, typer.Option(metavar="N", help="Seed that picks the task (any).", min=0)] = None,
    split: Annotated[str, typer.Option(metavar="NAME", help="Split of the tasks.")] = "train",
    task: Annotated[str | None, typer.Option(metavar="TASK", help="Id of the task.")] = None,
    oracle: Annotated[bool, typer.Option("--oracle", help="Let the environment's oracle play, and watch.")] = False,
) -> None:
    """Play an environment in the model's place.

    ID is an environment's, such as llmgym/Wordle-v0. Write an answer, or call a tool by its name and JSON arguments,
    such as `add {"a": 1, "b": 2}`. What the oracle would have said is shown at the end. Ctrl-D stops.
    """
    seed = random.SystemRandom().randrange(1 << 31) if seed is None else seed
    instances = Instances(EnvConfig(env_id), split=split)
    try:
        source = instances.source
        chosen = source.tasks.get(task) if task else source.tasks.draw(split, seed, 0, scope=source.scope)
        print(f"(task {chosen.id}, seed {seed})")
        trajectory = _play(instances, chosen, seed, _watch if oracle else _person)
        if trajectory is None:
            print("\nstopped")
            return
        _show_score(trajectory)
        if not oracle:
            _show_answer(instances, chosen, seed)
    except KeyboardInterrupt:
        print("\nstopped")
        sys.exit(128 + signal.SIGINT)
    finally:
        instances.close()


def solve(instances: Instances, task: Task, seed: int) -> tuple[list[Message], float | None]:
    """Let the oracle play an episode.

    Args:
        instances: Where.
        task: The task.
        seed: Seed of the environment's reset.

    Returns:
        The oracle's messages, and what they earned; None where the episode is left unscored.

    Raises:
        PolicyError: There is no oracle, or it fails.
        EnvironmentFailure: The environment fails.
    """
    trajectory = _play(instances, task, seed, _hear)
    assert trajectory is not None, "an oracle does not stop"
    after = trajectory.messages[trajectory.opening :]
    return [message for message in after if message["role"] == "assistant"], trajectory.reward


def _play(instances: Instances, task: Task, seed: int, player: Player) -> Trajectory | None:
    """Have an episode played to its end; None where the player stops before."""
    driver = Driver(instances, task, Trajectory(instances.id, task.id, 0, seed))
    # The event loop runs between messages only: whoever types is waited for outside of it, so that Ctrl-C is heard.
    with asyncio.Runner() as runner:
        try:
            if runner.run(driver.open()):
                player(runner, driver)
            ended = driver.done
        finally:
            runner.run(driver.close())
    if driver.error is not None:
        raise driver.error
    return driver.trajectory if ended else None


# --- players ------------------------------------------------------------------------------------


def _person(runner: asyncio.Runner, driver: Driver) -> None:
    """Somebody at the terminal."""
    tools = driver.trajectory.tools
    _show(driver.trajectory.messages)
    _show_tools(tools)
    while not driver.done and (message := _read(tools)) is not None:
        _show(runner.run(driver.step(message)))


def _read(tools: list[ToolSchema]) -> Message | None:
    """What somebody types, asked for again where it says nothing; None at the end of the input."""
    while True:
        try:
            line = input("> ")
        except EOFError:
            return None
        problem = misread(line, tools)
        if problem is None:
            return read_line(line, tools)
        print(f"({problem})")


def _watch(runner: asyncio.Runner, driver: Driver) -> None:
    """The oracle, while somebody watches."""
    _show(driver.trajectory.messages)
    for message in _oracle(runner, driver):
        _show([message, *runner.run(driver.step(message))])


def _hear(runner: asyncio.Runner, driver: Driver) -> None:
    """The oracle by itself."""
    for message in _oracle(runner, driver):
        runner.run(driver.step(message))


def _oracle(runner: asyncio.Runner, driver: Driver) -> Iterator[Message]:
    speaker = OracleSpeaker()
    speaker.begin(driver.instance)
    speaker.open([], [])
    while not driver.done:
        yield runner.run(speaker.reply([])).message


# --- what is shown ------------------------------------------------------------------------------


def _show(messages: Iterable[Message]) -> None:
    for message in messages:
        print(format_message(message))


def _show_tools(tools: list[ToolSchema]) -> None:
    if not tools:
        return
    print("(call a tool by its name and JSON arguments; anything else is your answer; Ctrl-D stops)")
    for tool in tools:
        for line in tool_lines(tool):
            print(f"  {line}")


def _show_score(trajectory: Trajectory) -> None:
    reward = "unscored" if trajectory.reward is None else f"{trajectory.reward:g}"
    values = {name: part.value for name, part in trajectory.reward_parts.items()} | trajectory.metrics
    parts = "  ".join(f"{name}={value:g}" for name, value in values.items() if value is not None)
    print(f"reward {reward}  {parts}".rstrip())


def _show_answer(instances: Instances, task: Task, seed: int) -> None:
    """What would have been right."""
    try:
        messages, _ = solve(instances, task, seed)
    except (PolicyError, EnvironmentFailure) as error:
        print(f"(no answer to show: {error})")
        return
    print("what the oracle says:")
    for message in messages:
        for line in format_message(message).splitlines():
            if text := line.removeprefix("[assistant]").strip():
                print(f"  {text}")
