"""`llmgym doctor`."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from llmgym.cli.output import print_json, print_table

EXAMPLES = """
\b
Examples:
  llmgym doctor
  llmgym doctor --json
"""


def run(json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show which levels of the sandbox there are.

    Each is tried by running a program at it. The strongest but docker, which has to be asked for, is what environments
    that run code take. Last comes whether the memory of a run's processes together can be bounded. What is lacking is
    told with what to do.
    """
    from llmgym.sandbox import control_groups, survey

    found = [*survey(), control_groups()]
    if json:
        print_json(msgspec.to_builtins(found))
        return
    rows = [[one.level, "yes" if one.available else "no", one.reason or "-", one.fix or "-"] for one in found]
    print_table("Levels of the sandbox", ["level", "there", "why not", "what to do"], rows)
