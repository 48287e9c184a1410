"""`llmgym info`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from llmgym.cli.output import print_json
from llmgym.registry import describe


def run(
    env_id: Annotated[str, typer.Argument(metavar="ID", help="Environment id, such as llmgym/Calculator-v0.")],
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show an environment: documentation, tools, tasks."""
    found = describe(env_id)
    if json:
        print_json(found)
        return
    for name in ("id", "summary", "domains", "needs", "max_turns", "kwargs", "splits", "licence", "origin"):
        print(f"{name:>10}  {_text(found[name])}")
    print()
    for tool in found["tools"]:
        print(_signature(tool["function"]))
    print()
    print(found["documentation"])


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value) or "-"
    if isinstance(value, dict):
        return ", ".join(f"{k}={'without end' if v is None else v}" for k, v in value.items()) or "-"
    return str(value)


def _signature(function: dict[str, Any]) -> str:
    parameters = function["parameters"]
    names = [name if name in parameters["required"] else f"{name}?" for name in parameters["properties"]]
    return f"      tool  {function['name']}({', '.join(names)}): {function['description']}"
