"""`llmgym play`."""

from __future__ import annotations

import asyncio
import math
import random
import signal
import sys
from collections.abc import AsyncGenerator, Callable
from typing import Annotated, Any, cast

import typer

from llmgym.cli.tools import tool_lines
from llmgym.errors import EnvironmentFailure, PolicyError
from llmgym.messages import Message, ToolSchema, format_message
from llmgym.policies.human import misread, read_line
from llmgym.policies.reference import oracle_replies
from llmgym.registry import make_core

EXAMPLES = """
\b
Examples:
  llmgym play llmgym/Wordle-easy-v0
  llmgym play llmgym/Calculator-v0 --seed 3
  llmgym play llmgym/Calculator-v0 --seed 3 --oracle
"""

#: Gives the next message, or None to stop.
Speaker = Callable[[], Message | None]


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
    core: Any = make_core(env_id, split=split)
    try:
        with asyncio.Runner() as runner:
            opening, tools = _open(runner, core, seed, task)
            print(f"(task {core.task.id}, seed {seed})")
            _show(opening)
            if oracle:
                speak = _oracle(runner, core)
            else:
                _show_tools(tools)
                speak = _person(tools)
            total, info = _play(runner, core, speak, echo=oracle)
            if info is None:
                print("\nstopped")
                return
            print(f"reward {'unscored' if math.isnan(total) else f'{total:g}'}  {_parts(info)}".rstrip())
            if not oracle:
                _show_answer(runner, make_core(env_id, split=split), seed, core.task.id)
    except KeyboardInterrupt:
        print("\nstopped")
        sys.exit(128 + signal.SIGINT)
    finally:
        core.close()


def solve(runner: asyncio.Runner, core: Any, seed: int, task_id: str | None) -> tuple[list[Message], float | None]:
    """Let the oracle play an episode.

    Args:
        runner: Runs the environment.
        core: The environment.
        seed: Seed of its reset.
        task_id: The task; None takes the seed's.

    Returns:
        The oracle's messages, and what they earned; None where the episode is left unscored.

    Raises:
        PolicyError: There is no oracle, or it fails.
        EnvironmentFailure: The environment fails.
    """
    _open(runner, core, seed, task_id)
    said: list[Message] = []

    def speak() -> Message | None:
        message = ask()
        if message is not None:
            said.append(message)
        return message

    ask = _oracle(runner, core)
    total, _ = _play(runner, core, speak, show=False)
    return said, None if math.isnan(total) else total


def _open(runner: asyncio.Runner, core: Any, seed: int, task_id: str | None) -> tuple[Any, list[ToolSchema]]:
    opening, info = runner.run(core.areset(seed=seed, options={"task_id": task_id} if task_id else None))
    return opening, info["tools"]


def _play(
    runner: asyncio.Runner, core: Any, speak: Speaker, *, echo: bool = False, show: bool = True
) -> tuple[float, dict[str, Any] | None]:
    """The loop: a message, a step, what it answers, until the episode ends.

    Returns:
        Sum of the rewards (NaN where unscored), and the last `info`; None where the speaker stopped.
    """
    total = 0.0
    while (message := speak()) is not None:
        answers, reward, terminated, truncated, info = runner.run(core.astep(message))
        total += reward
        if show:
            _show([message, *answers] if echo else answers)
        if terminated or truncated:
            return total, info
    return total, None


def _person(tools: list[ToolSchema]) -> Speaker:
    """Somebody at the terminal."""

    def speak() -> Message | None:
        while True:
            try:
                line = input("> ")
            except EOFError:
                return None
            problem = misread(line, tools)
            if problem is None:
                return read_line(line, tools)
            print(f"({problem})")

    return speak


def _oracle(runner: asyncio.Runner, core: Any) -> Speaker:
    """The environment's oracle, which must speak until the episode ends."""
    replies = cast("AsyncGenerator[Message]", oracle_replies(core))

    async def next_one() -> Message:
        try:
            return await anext(replies)
        except StopAsyncIteration:
            name = type(core).__name__
            raise PolicyError(
                f"the oracle of {name} ends before the episode does; add the message that ends it"
            ) from None

    return lambda: runner.run(next_one())


def _show(messages: Any) -> None:
    for message in messages:
        print(format_message(message))


def _show_tools(tools: list[ToolSchema]) -> None:
    if not tools:
        return
    print("(call a tool by its name and JSON arguments; anything else is your answer; Ctrl-D stops)")
    for tool in tools:
        for line in tool_lines(tool):
            print(f"  {line}")


def _show_answer(runner: asyncio.Runner, core: Any, seed: int, task_id: str) -> None:
    """What would have been right."""
    try:
        messages, _ = solve(runner, core, seed, task_id)
    except (PolicyError, EnvironmentFailure) as error:
        print(f"(no answer to show: {error})")
        return
    finally:
        core.close()
    print("what the oracle says:")
    for message in messages:
        for line in format_message(message).splitlines():
            if text := line.removeprefix("[assistant]").strip():
                print(f"  {text}")


def _parts(info: dict[str, Any]) -> str:
    values = {**info.get("reward_parts", {}), **info.get("metrics", {})}
    return "  ".join(f"{name}={value:g}" for name, value in values.items() if value is not None)
