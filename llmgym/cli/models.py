"""`llmgym models`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Fetch the models that llmgym knows by a short name.")


@app.callback()
def options() -> None:
    """Fetch the models that llmgym knows by a short name."""


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="Short name, such as smollm2.")] = "smollm2",
) -> None:
    """Download a model, verify it by hash, and print its folder. A model that is there already is only verified."""
    from llmgym.policies import models

    print(models.fetch(name, progress=lambda text: print(text, file=sys.stderr, flush=True)))
