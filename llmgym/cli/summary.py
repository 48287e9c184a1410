"""`llmgym summary`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from llmgym.cli.output import print_json
from llmgym.cli.scores import print_summary
from llmgym.errors import StoreError

EXAMPLES = """
\b
Examples:
  llmgym summary runs/first
  llmgym summary runs/first --json
"""


def run(
    folder: Annotated[Path, typer.Argument(metavar="RUN", hidden=True)],
    json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Summarise a run again, from what its folder holds.

    RUN is its folder. No policy is needed, and the run may be going on, or have been killed. `summary.json` is written
    anew, unless the run has the folder, or nothing can be written there.
    """
    from llmgym.rollout.folder import open_records, summarize_folder
    from llmgym.rollout.journal import FolderInUseError, lock_folder
    from llmgym.rollout.store import write_summary

    run = open_records(folder)
    summary = summarize_folder(run)
    if json:
        print_json(summary)
    else:
        print_summary(summary, run.failed[-1].error if run.failed else None, folder)
    try:
        lock = lock_folder(folder)
    except FolderInUseError:
        print("the run goes on, and writes its own summary.json when it ends", file=sys.stderr)
        return
    except StoreError as error:  # such as a colleague's run, which all may read
        print(f"summary.json stays as it is: {error}", file=sys.stderr)
        return
    try:
        write_summary(folder, summary)
    finally:
        os.close(lock)
