"""`llmgym compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from llmgym.cli.data.options import Force, Json, SkipBad, Threshold, opened
from llmgym.cli.output import print_json, print_markdown
from llmgym.errors import ConfigError

EXAMPLES = """
\b
Examples:
  llmgym compare runs/first runs/rescored
  llmgym compare runs/first runs/rescored --threshold 0.5 --json
  llmgym compare runs/first runs/rescored -o comparison.html
"""

_SUFFIXES = (".html", ".md", ".json")


def run(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="Run folders, or files of rows; all are held against the first."),
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write it to a file: .html, .md or .json.")
    ] = None,
    threshold: Threshold = 1.0,
    skip_bad: SkipBad = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Hold runs against the first one, task by task.

    Rewards, pass@k, turns and tokens, with intervals of the differences. Tasks are the same where their content is.
    Each counts once, however many episodes it has; what only one run has, or has no reward for, is left out and
    counted. Tasks that only one run solved are listed.
    """
    import msgspec

    from llmgym.data.comparison import compare, document_of
    from llmgym.data.output import check_free, replacing

    if len(paths) < 2:
        raise ConfigError(f"there is {paths[0]} alone; name two runs or more")
    if output is not None:
        if output.suffix not in _SUFFIXES:
            raise ConfigError(f"{output} ends in none of {', '.join(_SUFFIXES)}, which say what it is to be")
        check_free(output, force=force, inputs=paths)
    comparison = compare(opened(paths, skip_bad=skip_bad, threshold=threshold))
    if output is not None:
        text = msgspec.json.format(msgspec.json.encode(comparison)).decode() + "\n"
        if output.suffix != ".json":
            document = document_of(comparison)
            text = document.html() if output.suffix == ".html" else document.markdown()
        with replacing(output, force=force) as temporary:
            temporary.write_text(text)
    if json:
        print_json(comparison)
    elif output is None:
        print_markdown(document_of(comparison).markdown())
