"""`llmgym schema`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from llmgym.cli.output import print_json
from llmgym.errors import ConfigError

ROLLOUT = "rollout"

EXAMPLES = """
\b
Examples:
  llmgym schema rollout
"""


def run(
    name: Annotated[str, typer.Argument(metavar="WHAT", hidden=True)],
) -> None:
    """Print the JSON Schema of rollouts.

    WHAT is "rollout": the schema is of the lines of `rollouts.jsonl` and `failures.jsonl`. Metrics stand beside the
    fields under their own names.
    """
    print_json(_schema(name))


def _schema(name: str) -> dict[str, Any]:
    if name == ROLLOUT:
        from llmgym.records import rollout_schema

        return rollout_schema()
    raise ConfigError(f"there is no schema of {name!r}; there is one of {ROLLOUT}")
