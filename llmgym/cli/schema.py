"""`llmgym schema`."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmgym.cli.output import print_json
from llmgym.errors import AuthorError, ConfigError
from llmgym.registry import list_envs, make_core
from llmgym.tasks.plain import plain

if TYPE_CHECKING:
    from llmgym.env import ToolEnv

ROLLOUT = "rollout"

EXAMPLES = """
\b
Examples:
  llmgym schema rollout
  llmgym schema llmgym/MultipleChoice-v0
"""


def run(
    name: Annotated[str, typer.Argument(metavar="WHAT", hidden=True)],
) -> None:
    """Print the JSON Schema of rollouts, or of an environment's tasks.

    WHAT is "rollout", for the lines of `rollouts.jsonl` and `failures.jsonl`, where metrics stand beside the fields
    under their own names; or the ID of an environment, for the rows of a file that it draws tasks from. `llmgym check
    ID --tasks FILE` reads such a file.
    """
    print_json(_schema(name))


def _schema(name: str) -> dict[str, Any]:
    if name == ROLLOUT:
        from llmgym.records import rollout_schema

        return rollout_schema()
    if "/" not in name and ":" not in name:
        ids = [entry.id for entry in list_envs()]
        known = {ROLLOUT: ROLLOUT} | {env_id.partition("/")[2]: env_id for env_id in ids}
        near = difflib.get_close_matches(name, known, n=1)
        meant = f"did you mean {known[near[0]]}? There" if near else "there"
        raise ConfigError(
            f"there is no schema of {name!r}; {meant} is one of {ROLLOUT}, and one of the tasks of each environment, "
            f"such as {ids[0]}; `llmgym list` shows all"
        )
    core = make_core(name)
    try:
        return _of_tasks(core)
    finally:
        core.close()


def _of_tasks(core: ToolEnv) -> dict[str, Any]:
    name = type(core).__name__
    reads, states = (
        next(cls for cls in type(core).__mro__ if hook in vars(cls)) for hook in ("read_row", "row_schema")
    )
    if not issubclass(states, reads):
        raise AuthorError(
            f"{name} has a `read_row` of its own, and no `row_schema` that says what it reads: define {reads.__name__}."
            "row_schema, which gives a JSON Schema"
        )
    schema = plain(core.row_schema(), f"the schema of {name}.row_schema")
    if not isinstance(schema, dict):
        raise AuthorError(f"{name}.row_schema gave {schema!r:.100}; a JSON Schema is an object")
    return schema
