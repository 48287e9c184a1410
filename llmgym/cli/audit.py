"""`llmgym audit`."""

from __future__ import annotations

import logging
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmgym.cli.numbers import finite
from llmgym.cli.output import print_json, print_table
from llmgym.cli.verb import SOME_FAILED, code_of, complain
from llmgym.errors import ConfigError, LLMGymError
from llmgym.registry import check_id, known
from llmgym.rollout.figures import figure

if TYPE_CHECKING:
    from llmgym.testing.audit import AuditReport, Finding

EXAMPLES = """
\b
Examples:
  llmgym audit llmgym/Calculator-v0
  llmgym audit llmgym/Calculator-v0 llmgym/Wordle-v0 --num-tasks 200 --seconds 300
  llmgym audit llmgym/Calculator-easy-v0 --policy smollm2 --num-tasks 8
  llmgym audit mine/Shop-v0 --registry registry.yaml --html audit.html
\b
A finding that is no fault, such as a coin that a constant guesses half the
time, is written into the registry file with its reason:
  allow: {blind/constants: "yes and no are right equally often"}
\b
Exits with 0 where there is no fault, with 1 where there is one, and with 2
where an environment is unknown or cannot be made.
"""

_OUTSIDE = ("judge", "network")


def run(
    env_ids: Annotated[list[str], typer.Argument(metavar="ID", show_default=False)],
    num_tasks: Annotated[int, typer.Option(metavar="N", help="Tasks of each split that are played.", min=2)] = 20,
    seconds: Annotated[
        float,
        typer.Option(metavar="S", help="Time for each environment, after which it does less.", min=1, callback=finite),
    ] = 60,
    policy: Annotated[
        str | None, typer.Option(metavar="NAME", help="Have a model play the tasks too, as `llmgym rollout --policy`.")
    ] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a page with all that was found.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Look for rewards that are not true, with no model.

    The oracle must earn the maximum, in other words too. What is nearly right, what looks at nothing, and what stops
    half-way must earn next to nothing; verdicts must be the same again, in any order, in any process; and tasks must
    not repeat one another, nor their answers.
    """
    from llmgym.testing.audit import audit_env, page

    logging.getLogger("llmgym").setLevel(logging.ERROR)  # of what hostile texts bring about the report tells
    for env_id in env_ids:
        check_id(env_id)
    if html is not None and not html.absolute().parent.is_dir():  # which is better known before an hour's work
        raise ConfigError(f"cannot write {html}: there is no folder {html.parent}")
    reports: list[AuditReport] = []
    code = 0
    for env_id in env_ids:
        entry = known(env_id)
        if outside := [need for need in _OUTSIDE if entry and need in entry.needs]:
            print(f"{env_id}: not audited, since it needs {outside[0]}", file=sys.stderr)
            continue
        try:
            report = audit_env(env_id, num_tasks=num_tasks, seconds=seconds, policy=policy, progress=_progress(env_id))
        except LLMGymError as error:  # the others can be audited all the same
            complain(error)
            code = max(code, code_of(error))
            continue
        reports.append(report)
        if not json:
            _show(report)
    if json:
        print_json({report.env_id: report.as_json() for report in reports})
    if html is not None:
        try:
            html.write_text(page(reports), encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"cannot write {html}: {error.strerror}") from None
    sys.exit(code or (SOME_FAILED if any(report.faults for report in reports) else 0))


def _progress(env_id: str) -> Any:
    """Says which checks run, where somebody watches."""
    if not sys.stderr.isatty():
        return lambda group: None
    return lambda group: print(f"\r\x1b[K{env_id}: {group} ...\r", end="", file=sys.stderr, flush=True)


def _show(report: AuditReport) -> None:
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
    tasks = ", ".join(f"{count} {split}" for split, count in report.tasks.items())
    ceiling = "" if report.ceiling is None else f", the oracle earns {report.ceiling:g}"
    status = {finding.name: finding.status for finding in report.findings}
    rows = [
        [
            row.name,
            str(len(row.plays)),
            *("" if math.isnan(value) else figure(value) for value in (row.mean, row.most)),
            str(row.at_ceiling),
            status.get(row.name, ""),
            row.label,
        ]
        for row in report.rows
    ]
    columns = ["policy", "episodes", "mean", "max", "at ceiling", "", "what it does"]
    print_table(f"{report.env_id}: {tasks or 'no'} tasks{ceiling}", columns, rows)
    for name, value in report.facts.items():
        print(f"  {name}: {value}")
    for variant in report.variants:
        earned = ", ".join(
            f"{name} {variant[name]:.2f}" for name in ("oracle", "random", "turns") if variant[name] is not None
        )
        print(f"  {variant['id']}: {earned}")
    for note in report.notes:
        print(f"  {note}")
    for finding in report.findings:
        _show_finding(finding)
    faults = len(report.faults)
    print(f"{report.env_id}: {faults or 'no'} fault{'' if faults == 1 else 's'}\n", flush=True)


def _show_finding(finding: Finding) -> None:
    print(f"  {finding.status}  {finding.name}: {' '.join(finding.text.split())}")
    if finding.allowed:
        print(f"      allowed: {finding.allowed}")
        return
    for play in finding.examples:
        earned = play.trouble or ("unscored" if play.reward is None else f"{play.reward:g}")
        print(f"      {play.task_id}  {earned}  {play.said!r}")
