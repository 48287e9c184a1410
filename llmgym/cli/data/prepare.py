"""`llmgym data prepare` and `llmgym data validate`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmgym.cli.data.options import Force, Json
from llmgym.cli.output import print_field, print_json
from llmgym.cli.verb import SOME_FAILED
from llmgym.errors import ConfigError

if TYPE_CHECKING:
    from llmgym.data.preparing import Prepared, Router
    from llmgym.tasks import Problem

VALIDATE = """
\b
Examples:
  llmgym data validate questions.jsonl --env llmgym/MultipleChoice-v0
  llmgym data validate mixed.jsonl
  llmgym data validate gym.jsonl --by agent_ref.name --route math_agent=llmgym/Math-v0
\b
Exits with 1 where a row is bad.
"""

PREPARE = """
\b
Examples:
  llmgym data prepare mixed.jsonl more.csv -o tasks
\b
`llmgym rollout --config tasks/run.yaml` then runs them.
"""

Files = Annotated[
    list[Path], typer.Argument(metavar="FILE...", help="Files of tasks: .jsonl, .json, .csv, .parquet or .arrow.")
]
Env = Annotated[str | None, typer.Option("--env", metavar="ID", help="The environment of all rows.")]
By = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN", help="The column that names a row's environment (env_id); a dotted name goes inside."
    ),
]
Route = Annotated[
    list[str] | None,
    typer.Option(metavar="VALUE=ID", help="The environment of a value of the column; may be given again."),
]
DropDuplicates = Annotated[
    bool, typer.Option("--drop-duplicates", help="Leave out rows that hold the same as an earlier one.")
]


def validate(files: Files, env: Env = None, by: By = None, route: Route = None, json: Json = False) -> None:
    """Read files of tasks as the environments that will play them, and name every bad row.

    A file may hold the tasks of several environments, told apart by a column.
    """
    from llmgym.data.preparing import prepare

    found, lost = prepare(files, _router(env, by, route))
    if json:
        print_json(_report(found, lost))
    else:
        _print(found, lost)
    sys.exit(SOME_FAILED if _bad(found, lost) else 0)


def run(
    files: Files,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where to write.")],
    env: Env = None,
    by: By = None,
    route: Route = None,
    drop_duplicates: DropDuplicates = False,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave out bad rows, and name them.")] = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Check files of tasks as `validate` does, and write one for each environment, with the configuration of a run.

    Nothing is written where a row is bad, unless these are to be left out. The column that names the environment is
    left out of the rows.
    """
    from llmgym.data.preparing import prepare, write_tasks

    found, lost = prepare(files, _router(env, by, route), drop_duplicates=drop_duplicates)
    bad = _bad(found, lost)
    report = _report(found, lost)
    if skip_bad or not bad:
        report["written"] = list(map(str, write_tasks(found, output, force=force, inputs=files)))
    if json:
        print_json(report)
    else:
        _print(found, lost)
        for path in report.get("written", []):
            print_field("written", path)
        if "written" not in report:
            print("nothing is written; --skip-bad leaves the bad rows out", file=sys.stderr)
    sys.exit(0 if "written" in report else SOME_FAILED)


def _router(env: str | None, by: str | None, route: Sequence[str] | None) -> Router:
    from llmgym.data.preparing import COLUMN, Router

    if env is not None and (by is not None or route):
        raise ConfigError("--env is the environment of all rows, --by and --route tell them apart: leave one out")
    routes: dict[str, str] = {}
    for one in route or ():
        value, equals, env_id = one.rpartition("=")
        if not equals or not value or not env_id:
            raise ConfigError(f"--route takes VALUE=ID, this is {one!r}")
        routes[value] = env_id
    return Router(by or COLUMN, routes, env)


def _bad(found: Sequence[Prepared], lost: Sequence[Problem]) -> int:
    return len(lost) + sum(len(one.bad) for one in found)


def _report(found: Sequence[Prepared], lost: Sequence[Problem]) -> dict[str, Any]:
    return {
        "environments": {one.env_id: one.report() for one in found},
        "unrouted": [problem._asdict() for problem in lost],
    }


def _print(found: Sequence[Prepared], lost: Sequence[Problem]) -> None:
    for one in found:
        print(one.env_id)
        for problem in one.bad:
            print(f"  {' '.join(str(problem).split())}")
        splits = ", ".join(f"{split} {size}" for split, size in one.splits.items()) or "none"
        bad = f"bad rows: {len(one.bad)} of {one.rows}; " if one.bad else ""
        print(f"  {bad}tasks: {sum(one.splits.values())} ({splits}); duplicates: {one.duplicates}")
    if lost:
        print("for no environment")
    for problem in lost:
        print(f"  {' '.join(str(problem).split())}")
