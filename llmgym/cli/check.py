"""`llmgym check`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from llmgym.cli.output import print_json
from llmgym.cli.verb import SOME_FAILED, Several, code_of, complain
from llmgym.errors import ConfigError, LLMGymError, RegistryError
from llmgym.registry import check_id, list_envs, make_core
from llmgym.tasks import Reading, file_source

EXAMPLES = """
\b
Examples:
  llmgym check llmgym/Calculator-v0
  llmgym check mine/Shop-v0 --registry registry.yaml --num-tasks 10
  llmgym check llmgym/MultipleChoice-v0 --tasks questions.jsonl
\b
Exits with 0 where all is well, with 1 where a check fails or a row is bad,
and with 2 where an environment is unknown or cannot be made, or the file
cannot be read.
"""

_NUM_TASKS = 50


def run(
    env_ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="ID", hidden=True),
    ] = None,
    tasks: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Check only the rows of this file: .jsonl, .json, .csv, .parquet or .arrow. Every bad one is named.",
        ),
    ] = None,
    num_tasks: Annotated[
        int | None,
        typer.Option(
            metavar="N", help=f"Tasks that the oracle and the degenerate policies play ({_NUM_TASKS}).", min=1
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check environments, or a file of tasks for one.

    ID is an environment's, such as llmgym/Calculator-v0; without one, all that need no model are checked: that they
    keep Gymnasium's rules, that equal seeds give equal episodes, and that rewards tell good from bad.
    """
    wanted = env_ids or [entry.id for entry in list_envs() if "judge" not in entry.needs]
    if tasks is not None:
        _expect_alone(tasks, env_ids, num_tasks)
    _expect_known(wanted)
    failed = code = 0
    report: dict[str, Any] = {}
    for env_id in wanted:
        report[env_id] = []
        if not json:
            print(env_id, flush=True)
        try:
            core = make_core(env_id)
            core.close()
        except LLMGymError as error:  # the others can be checked all the same
            complain(error)
            code = max(code, code_of(error))
            continue
        if tasks is None:
            found, report[env_id] = _play(env_id, num_tasks or _NUM_TASKS, json)
        else:
            found, report[env_id] = _read(Reading(file_source(tasks), core.read_row), json)
        failed += found
    if json:
        print_json(report)
    elif not code and tasks is None:
        print(f"{failed} checks failed" if failed else "all checks passed")
    sys.exit(code or (SOME_FAILED if failed else 0))


def _play(env_id: str, num_tasks: int, quiet: bool) -> tuple[int, list[Any]]:
    """Run all checks; how many failed, and how each came out."""
    from llmgym.testing import run_checks

    failed, report = 0, []
    for result in run_checks(env_id, num_tasks=num_tasks):
        failed += not result.passed
        report.append(msgspec.to_builtins(result))
        if not quiet:
            print(f"  {result.status:<7}  {result.name}: {result.detail}", flush=True)
    return failed, report


def _read(reading: Reading, quiet: bool) -> tuple[int, dict[str, Any]]:
    """Read a file as an environment does; how many rows are bad, and what is in it."""
    problems: list[dict[str, str]] = []
    for problem in reading.problems():
        problems.append(problem._asdict())
        if not quiet:
            print(f"  {' '.join(str(problem).split())}", flush=True)
    splits = {split: len(found) for split, found in reading.table().splits.items()}
    if not quiet and reading.seen:
        print(f"  {_counts(reading, splits, len(problems))}")
    report = {"rows": reading.seen, "bad": problems, "splits": splits, "duplicates": reading.duplicates}
    return len(problems), report


def _counts(reading: Reading, splits: dict[str, int], bad: int) -> str:
    if bad:
        return f"bad rows: {bad} of {reading.seen}"
    sizes = ", ".join(f"{split} {size}" for split, size in splits.items())
    return f"tasks: {sum(splits.values())} ({sizes}); duplicates: {reading.duplicates}"


def _expect_alone(tasks: str, env_ids: list[str] | None, num_tasks: int | None) -> None:
    """See that what is given beside a file of tasks makes sense.

    Raises:
        ConfigError: It does not, or the file is a number, as that of tasks.
    """
    if not env_ids:
        raise ConfigError(
            "--tasks FILE is read as an environment reads it: name one, as in llmgym check ID --tasks FILE"
        )
    if tasks.isdecimal() and not Path(tasks).exists():
        raise ConfigError(
            f"--tasks takes a file, and there is no file {tasks!r}; for a number of tasks, --num-tasks {tasks}"
        )
    if num_tasks is not None:
        raise ConfigError(
            "--num-tasks is for checks that play episodes, and with --tasks none is played: leave one out"
        )


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
