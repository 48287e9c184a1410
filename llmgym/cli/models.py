"""`llmgym models`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from llmgym.cli.verb import verb

app = typer.Typer(no_args_is_help=True, help="Fetch the models that llmgym knows by a short name.")


@app.callback()
def options() -> None:
    """Fetch the models that llmgym knows by a short name."""


def fetch(
    name: Annotated[str, typer.Argument(metavar="NAME", hidden=True)] = "smollm2",
) -> None:
    """Download a model, verify it by hash, and print its folder.

    NAME is its short name (smollm2). A model that is there already is only verified. Models are kept in
    ~/.cache/llmgym, or where LLMGYM_CACHE says.
    """
    from llmgym.policies import models

    print(models.fetch(name, progress=lambda text: print(text, file=sys.stderr, flush=True)))


app.command("fetch")(verb(fetch))
