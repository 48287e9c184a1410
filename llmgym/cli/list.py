"""`llmgym list`."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from llmgym.cli.output import print_json, print_table
from llmgym.registry import list_envs


def run(
    domain: Annotated[str | None, typer.Option(help="Only environments with this domain tag.")] = None,
    needs: Annotated[
        str | None, typer.Option(help="Only environments that need this: an extra, sandbox, judge or network.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the registered environments."""
    entries = list_envs(domain=domain, needs=needs)
    if json:
        print_json(msgspec.to_builtins(entries))
        return
    rows = [[e.id, e.summary, ", ".join(e.domains), str(e.max_turns), ", ".join(e.needs) or "-"] for e in entries]
    print_table(f"{len(entries)} environments", ["id", "summary", "domains", "turns", "needs"], rows)
