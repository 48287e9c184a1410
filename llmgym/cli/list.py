"""`llmgym list`."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from typing import Annotated

import msgspec
import typer

from llmgym.cli.output import print_json, print_table
from llmgym.errors import ConfigError
from llmgym.registry import list_envs

EXAMPLES = """
\b
Examples:
  llmgym list
  llmgym list --domain math
  llmgym list --json
"""

#: What an environment may need besides extras; none needing one of these now is no mistake.
_NEEDS = ("sandbox", "judge", "network")


def run(
    domain: Annotated[
        str | None, typer.Option(metavar="DOMAIN", help="Only environments with this tag, such as math.")
    ] = None,
    needs: Annotated[
        str | None,
        typer.Option(metavar="NEED", help="Only environments that need this: an extra, sandbox, judge or network."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the registered environments."""
    everything = list_envs()
    if domain is not None:
        _expect("domain", domain, {tag for entry in everything for tag in entry.domains})
    if needs is not None:
        _expect("need", needs, {*_NEEDS, *(tag for entry in everything for tag in entry.needs)})
    entries = list_envs(domain=domain, needs=needs)
    if json:
        print_json(msgspec.to_builtins(entries))
        return
    rows = [[e.id, e.summary, ", ".join(e.domains), str(e.max_turns), ", ".join(e.needs) or "-"] for e in entries]
    title = f"{len(entries)} environment{'' if len(entries) == 1 else 's'}"
    print_table(title, ["id", "summary", "domains", "turns", "needs"], rows)


def _expect(what: str, given: str, known: Collection[str]) -> None:
    """See that a tag is one that there is.

    Raises:
        ConfigError: It is not; says which there are.
    """
    if given not in known:
        near = difflib.get_close_matches(given, known, n=1)
        there_is = f"did you mean {near[0]}? There is" if near else "there is"
        raise ConfigError(f"no environment has the {what} {given!r}; {there_is} {', '.join(sorted(known))}")
