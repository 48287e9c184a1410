"""`llmgym schema`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from llmgym.cli.output import print_json
from llmgym.errors import ConfigError

ROLLOUT = "rollout"


def run(
    name: Annotated[str, typer.Argument(metavar="rollout|ID", help='"rollout", or the id of an environment.')],
) -> None:
    """Print a JSON Schema: of rollouts, or of the task rows of an environment."""
    print_json(_schema(name))


def _schema(name: str) -> dict[str, Any]:
    if name == ROLLOUT:
        from llmgym.records import rollout_schema

        return rollout_schema()
    raise ConfigError(f"there is no schema of {name!r}; there is one of {ROLLOUT}")
