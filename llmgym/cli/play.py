"""`llmgym play`."""

from __future__ import annotations

import math
from typing import Annotated, Any

import typer

from llmgym.errors import ConfigError
from llmgym.registry import entry, make_core


def run(
    env_id: Annotated[str, typer.Argument(metavar="ID", help="Environment id, such as llmgym/Wordle-v0.")],
    seed: Annotated[int | None, typer.Option(help="Seed that picks the task.", min=0)] = None,
    split: Annotated[str, typer.Option(help="Split of the tasks.")] = "train",
    task: Annotated[str | None, typer.Option(help="Id of the task.")] = None,
) -> None:
    """Play an environment in the model's place.

    Write text, or call a tool as `add {"a": 1, "b": 2}`. Ends with Ctrl-D.
    """
    from llmgym.policies.scripted import read_line

    env = make_core(entry(env_id).id, render_mode="ansi", split=split)
    _, info = env.reset(seed=seed, options={"task_id": task} if task else None)
    shown = _show(env, 0)
    names = {tool["function"]["name"] for tool in info["tools"]}
    if names:
        print(f"(tools: {', '.join(sorted(names))}; call one as: {sorted(names)[0]} {{...}})")
    total, ended = 0.0, False
    while not ended:
        try:
            line = input("> ")
        except (EOFError, KeyboardInterrupt):
            print("\nstopped")
            return
        try:
            _, reward, terminated, truncated, info = env.step(read_line(line, names))
        except ValueError as error:
            raise ConfigError(str(error)) from error
        total, ended = total + reward, terminated or truncated
        shown = _show(env, shown + 1)
    print(f"reward {'unscored' if math.isnan(total) else f'{total:g}'}  {_parts(info)}".rstrip())


def _show(env: Any, start: int) -> int:
    """Print the transcript from a message on; returns its length."""
    from llmgym.messages import format_message

    for message in env.transcript[start:]:
        print(format_message(message))
    return len(env.transcript)


def _parts(info: dict[str, Any]) -> str:
    values = {**info.get("reward_parts", {}), **info.get("metrics", {})}
    return "  ".join(f"{name}={value:g}" for name, value in values.items() if value is not None)
