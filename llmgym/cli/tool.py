"""`llmgym tool`."""

from __future__ import annotations

from typing import Annotated

import typer

EXAMPLES = """
\b
Examples:
  llmgym tool
  llmgym tool add '{"a": 1, "b": 2}'
"""


def run(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="The tool.", show_default=False)] = None,
    arguments: Annotated[str, typer.Argument(metavar="[JSON]", help="Its arguments, an object.")] = "{}",
) -> None:
    """Call a tool of the episode that this program plays, or list them.

    For programs of `llmgym rollout --agent COMMAND` that know no MCP, such as those that run shell commands.
    """
    from llmgym.cli.tools import tool_lines
    from llmgym.serve.client import call_tool, list_tools

    if name is None:
        print("\n\n".join("\n".join(tool_lines(tool)) for tool in list_tools()))
    else:
        print(call_tool(name, arguments))
