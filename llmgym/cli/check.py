"""`llmgym check`."""

from __future__ import annotations

import sys
from typing import Annotated

import msgspec
import typer

from llmgym.cli.output import print_json
from llmgym.cli.verb import SOME_FAILED, Several, code_of, complain
from llmgym.errors import LLMGymError, RegistryError
from llmgym.registry import check_id, list_envs, make_core

EXAMPLES = """
\b
Examples:
  llmgym check llmgym/Calculator-v0
  llmgym check mine/Shop-v0 --registry registry.yaml --tasks 10
\b
Exits with 0 where all checks pass, with 1 where one fails, and with 2
where an environment is unknown or cannot be made.
"""


def run(
    env_ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="ID", hidden=True),
    ] = None,
    tasks: Annotated[
        int, typer.Option(metavar="N", help="Tasks that the oracle and the degenerate policies play.", min=1)
    ] = 50,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check that environments keep the rules.

    ID is an environment's, such as llmgym/Calculator-v0; without one, all that are registered are checked. The rules
    are Gymnasium's, that equal seeds give equal episodes, and that rewards tell good from bad.
    """
    from llmgym.testing import run_checks

    wanted = env_ids or [entry.id for entry in list_envs()]
    _expect_known(wanted)
    failed = code = 0
    report: dict[str, list[object]] = {}
    for env_id in wanted:
        results = report.setdefault(env_id, [])
        if not json:
            print(env_id, flush=True)
        try:
            make_core(env_id).close()
        except LLMGymError as error:  # the others can be checked all the same
            complain(error)
            code = max(code, code_of(error))
            continue
        for result in run_checks(env_id, tasks=tasks):
            failed += not result.passed
            results.append(msgspec.to_builtins(result))
            if not json:
                print(f"  {result.status:<7}  {result.name}: {result.detail}", flush=True)
    if json:
        print_json(report)
    elif not code:
        print(f"{failed} checks failed" if failed else "all checks passed")
    sys.exit(code or (SOME_FAILED if failed else 0))


def _expect_known(env_ids: list[str]) -> None:
    """See that all environments are registered, before the first of them is played for a minute."""
    problems: list[str] = []
    for env_id in env_ids:
        try:
            check_id(env_id)
        except RegistryError as error:
            problems.append(str(error))
    if problems:
        raise Several(problems)
