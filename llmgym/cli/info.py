"""`llmgym info`."""

from __future__ import annotations

import json as json_
from contextlib import closing
from typing import Annotated, Any

import typer

from llmgym.cli.output import print_field, print_json, print_markdown
from llmgym.cli.tools import tool_lines
from llmgym.errors import LLMGymError
from llmgym.loading import described
from llmgym.messages import format_message
from llmgym.registry import describe

EXAMPLES = """
\b
Examples:
  llmgym info llmgym/Calculator-v0
  llmgym info mine/Shop-v0 --registry registry.yaml --json
"""


def run(
    env_id: Annotated[str, typer.Argument(metavar="ID", hidden=True)],
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show an environment: tools, tasks, documentation.

    ID is an environment's, such as llmgym/Calculator-v0; `llmgym list` shows all. With it come an example of a task, as
    a model gets it, and of an answer that is right, as the oracle gives it.
    """
    found = look(env_id)
    if json:
        print_json(found)
        return
    for name in ("id", "summary", "domains", "needs", "max_turns", "kwargs", "splits", "licence", "origin"):
        print_field(name, _text(found[name]))
    for tool in found["tools"]:
        print()
        print_field("tool", tool_lines(tool))
    print()
    _print_example(found["example"])
    print()
    print_markdown(found["documentation"])


def look(env_id: str) -> dict[str, Any]:
    """All that is known of an environment, with an example of a task and of an answer that is right.

    Raises:
        RegistryError: There is no such environment.
        LLMGymError: It cannot be made.
    """
    found = describe(env_id)
    if "task_id" in found["example"]:
        found["example"] |= _answered(found["id"], found["example"]["task_id"])
    return found


def _answered(env_id: str, task_id: str) -> dict[str, Any]:
    """What the oracle says to the example, and what it earns; or why it says nothing."""
    from llmgym.cli.play import solve
    from llmgym.rollout.config import EnvConfig
    from llmgym.rollout.instances import Instances

    try:
        with closing(Instances(EnvConfig(env_id))) as instances:
            messages, reward = solve(instances, instances.source.tasks.get(task_id), 0)
    except (Exception, SystemExit) as error:  # noqa: BLE001 -- its author's code; the rest can be told all the same
        return {"answer_error": str(error) if isinstance(error, LLMGymError) else described(error)}
    return {"answer": messages, "reward": reward}


def _print_example(example: dict[str, Any]) -> None:
    if "error" in example:
        print_field("example", f"none: {example['error']}")
        return
    print_field("example", f"task {example['task_id']}")
    for message in example["opening"]:
        print_field("", format_message(message).splitlines())
    if "answer" not in example:
        print_field("answer", f"none: {example['answer_error']}")
        return
    lines = [line for message in example["answer"] for line in format_message(message).splitlines()]
    print_field("answer", [line.removeprefix("[assistant]").strip() for line in lines if line != "[assistant]"])
    print_field("", f"(the oracle's; it earns {_earned(example['reward'])})")


def _earned(reward: float | None) -> str:
    return "no score" if reward is None else f"{reward:g}"


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value) or "-"
    if isinstance(value, dict):
        return ", ".join(f"{k}={_value(v)}" for k, v in value.items()) or "-"
    return str(value)


def _value(value: Any) -> str:
    if value is None:
        return "without end"
    return json_.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else str(value)
