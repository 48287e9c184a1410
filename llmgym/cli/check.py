"""`llmgym check`."""

from __future__ import annotations

import sys
from typing import Annotated

import msgspec
import typer

from llmgym.cli.output import print_json
from llmgym.registry import list_envs


def run(
    env_ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="ID", help="Environment ids; all registered ones where none is given."),
    ] = None,
    tasks: Annotated[int, typer.Option(help="Tasks that the oracle and the degenerate policies play.", min=1)] = 50,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check that environments keep the rules.

    Those are Gymnasium's, that equal seeds give equal episodes, and that rewards tell good from bad.
    Exits with 1 where a check fails.
    """
    from llmgym.testing import run_checks

    failed = 0
    report: dict[str, list[object]] = {}
    for env_id in env_ids or [entry.id for entry in list_envs()]:
        results = report.setdefault(env_id, [])
        if not json:
            print(env_id, flush=True)
        for result in run_checks(env_id, tasks=tasks):
            failed += not result.passed
            results.append(msgspec.to_builtins(result))
            if not json:
                print(f"  {result.status:<7}  {result.name}: {result.detail}", flush=True)
    if json:
        print_json(report)
    else:
        print(f"{failed} checks failed" if failed else "all checks passed")
    sys.exit(1 if failed else 0)
