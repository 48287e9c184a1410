"""`llmgym data pull`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from llmgym.cli.data.options import Force, Json, told
from llmgym.cli.data.push import Url, complain
from llmgym.cli.output import print_json

EXAMPLES = """
\b
Examples:
  llmgym data pull hf://datasets/me/runs -o runs
  llmgym data pull s3://mine/runs first -o runs
"""


def run(
    url: Url,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="The folder to put it into.")],
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Only these of what was pushed there.")
    ] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Fetch what `llmgym data push` sent, as it was.

    All of it arrives, or nothing: sizes and hashes are checked before anything takes its place. What stopped in the
    middle goes on when the command is repeated. hf://datasets/OWNER/NAME@REVISION is another revision.
    """
    from llmgym.data.remote import pull

    pulled = pull(url, output, names or (), force=force, say=complain, progress=told("come"))
    if json:
        print_json(msgspec.to_builtins(pulled))
        return
    for manifest in pulled:
        print(output / manifest.name)
