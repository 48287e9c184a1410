"""`llmgym report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from llmgym.cli.data.options import Force, SkipBad, told
from llmgym.cli.numbers import finite

EXAMPLES = """
\b
Examples:
  llmgym report runs/first
  llmgym report runs/first -o first.html --force
  llmgym report runs/before runs/after -o both.html
"""

Runs = Annotated[
    list[Path], typer.Argument(metavar="RUN [RUN]", help="A run folder or a file of rows; two are shown side by side.")
]
Tokenizer = Annotated[
    str | None,
    typer.Option(metavar="MODEL", help="Whose tokenizer gives tokens their texts: a folder or a name (the run's)."),
]
Threshold = Annotated[
    float | None,
    typer.Option(metavar="R", help="Reward from which an episode counts as solved (the run's).", callback=finite),
]


def run(
    runs: Runs,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Where to write it (of one run, RUN/report.html)."),
    ] = None,
    tokenizer: Tokenizer = None,
    threshold: Threshold = None,
    skip_bad: SkipBad = False,
    force: Force = False,
) -> None:
    """Write a run as a page to look at, which opens from disk.

    Rewards, pass@k and learning curves, tables of environments, tasks and episodes, and each episode with its messages,
    tool calls, step rewards, times and tokens. With many episodes a folder beside the page goes with it.
    """
    from llmgym.report import Report, write_report
    from llmgym.report.page import default_path

    path = output or default_path(runs)
    report = Report(runs, tokenizer=tokenizer, threshold=threshold, skip_bad=skip_bad)
    write_report(report, path, force=force or output is None, progress=told("reading"))
    if report.problems:
        typer.echo(f"{len(report.problems)} bad rows left out, the first: {report.problems[0]}", err=True)
    print(path)
