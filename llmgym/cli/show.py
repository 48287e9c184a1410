"""`llmgym show`."""

from __future__ import annotations

from typing import Annotated

import typer

from llmgym.errors import ConfigError

EXAMPLES = """
\b
Examples:
  llmgym show runs/first
  llmgym show runs/first --best
  llmgym show runs/first --id ID
"""


def run(
    folder: Annotated[str, typer.Argument(metavar="RUN", help="Run folder.")],
    name: Annotated[str | None, typer.Option("--id", metavar="ID", help="Id of the episode (the first).")] = None,
    best: Annotated[bool, typer.Option("--best", help="The first episode with the greatest reward.")] = False,
    worst: Annotated[bool, typer.Option("--worst", help="The first episode with the least reward.")] = False,
) -> None:
    """Show an episode of a run as text.

    The messages, the tool calls with their results, and what was earned.
    """
    from llmgym.messages import format_message, visible
    from llmgym.rollout.folder import open_records, read_rollouts

    records = open_records(folder).records
    if not records:
        raise ConfigError(f"{folder} has no finished episode yet")
    if name is None:
        scored = {key: record.reward for key, record in records.items() if record.reward is not None}
        pick = max if best else min
        name = pick(scored, key=lambda key: scored[key]) if (best or worst) and scored else next(iter(records))
    elif name not in records:
        raise ConfigError(f"{folder} has no episode {name!r}; the first is {next(iter(records))!r}")
    episode = next(trajectory for trajectory in read_rollouts(folder) if trajectory.id == name)
    print(f"{episode.id}  {episode.status}")
    notes = {made.turn: made.note or "old results of tools were cleared" for made in episode.compactions}
    turn = 0
    for at, message in enumerate(episode.messages):
        if at >= episode.opening and message["role"] == "assistant":
            if turn in notes:
                print(f"[context] {visible(notes[turn])}")
            turn += 1
        print(format_message(message))
    for segment in episode.segments:
        if segment.messages is not None:
            role, no = segment.role if segment.delivered else "undelivered", "" if segment.trained else "not "
            print(f"[context of its own: {role}, {no}trained] after {len(segment.messages) - 1} messages")
            print(format_message(segment.messages[-1]))
    parts = "  ".join(f"{key}={part.value}" for key, part in episode.reward_parts.items())
    print(f"reward {'unscored' if episode.reward is None else f'{episode.reward:g}'}  {parts}".rstrip())
    if episode.task is not None and episode.task.answer is not None:
        print(f"answer {visible(str(episode.task.answer))}")
