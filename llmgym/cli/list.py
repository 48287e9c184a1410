"""`llmgym list`."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence
from typing import Annotated

import msgspec
import typer

from llmgym.catalogue import EnvEntry
from llmgym.cli.output import print_json, print_table
from llmgym.errors import ConfigError
from llmgym.registry import list_envs

EXAMPLES = """
\b
Examples:
  llmgym list
  llmgym list --domain math
  llmgym list --ecosystem gymnasium
  llmgym list --json
"""

#: What an environment may need besides extras; none needing one of these now is no mistake.
_NEEDS = ("sandbox", "judge", "network")

_SHOWN = 6  # variants of an environment from elsewhere, of which there may be a hundred
_COLUMNS = ["id", "summary", "variants", "turns", "needs"]


def run(
    domain: Annotated[
        str | None, typer.Option(metavar="DOMAIN", help="Only environments with this tag, such as math.")
    ] = None,
    needs: Annotated[
        str | None,
        typer.Option(metavar="NEED", help="Only environments that need this: an extra, sandbox, judge or network."),
    ] = None,
    ecosystem: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Only those that are adapted from elsewhere, such as textarena: all its ids."
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the registered environments, by domain.

    A variant's name goes into the id: `easy` of llmgym/Calculator-v0 is llmgym/Calculator-easy-v0. Behind llmgym's own
    are those that it adapts from packages that are installed here.
    """
    everything = [entry for entry in list_envs(ecosystem=None) if _is_here(entry, ecosystem)]
    if ecosystem is not None:
        _expect("ecosystem", ecosystem, {entry.ecosystem for entry in list_envs(ecosystem=None) if entry.ecosystem})
    if domain is not None:
        _expect("domain", domain, {tag for entry in everything for tag in entry.domains})
    if needs is not None:
        _expect("need", needs, {*_NEEDS, *(tag for entry in everything for tag in entry.needs)})
    wanted = {entry.id for entry in list_envs(domain=domain, needs=needs, ecosystem=None)}
    entries = [entry for entry in everything if entry.id in wanted]
    if json:
        print_json(msgspec.to_builtins(entries))
        return
    if ecosystem is not None:
        print_table(f"{len(entries)} environments of {ecosystem}", _COLUMNS, [_row(entry, []) for entry in entries])
        return
    groups: dict[tuple[str, str], list[EnvEntry]] = {}
    for entry in entries:
        if entry.id == entry.base:
            groups.setdefault(_group(entry), []).append(entry)
    rows: list[list[str]] = []
    for (_, name), found in sorted(groups.items()):
        rows += [[""] * len(_COLUMNS)] * bool(rows) + [[name.upper(), *[""] * (len(_COLUMNS) - 1)]]
        rows += [_row(entry, [e for e in entries if e.base == entry.id != e.id]) for entry in found]
    count = sum(map(len, groups.values()))
    title = f"{count} environment{'' if count == 1 else 's'}, {len(entries) - count} variants"
    print_table(title, _COLUMNS, rows)


def _is_here(entry: EnvEntry, ecosystem: str | None) -> bool:
    """Whether an environment is of the ecosystem that was asked for; else whether it can be made here."""
    return entry.installed if ecosystem is None else entry.ecosystem == ecosystem


def _group(entry: EnvEntry) -> tuple[str, str]:
    """Below which line it stands: first llmgym's own by domain, then others by where they are from."""
    return entry.ecosystem, entry.ecosystem or (entry.domains[0] if entry.domains else "other")


def _row(entry: EnvEntry, variants: Sequence[EnvEntry]) -> list[str]:
    name, _, version = entry.id.rpartition("-")
    names = ", ".join(variant.id.removeprefix(f"{name}-").removesuffix(f"-{version}") for variant in variants)
    if entry.ecosystem and len(variants) > _SHOWN:
        names = f"{len(variants)}: --ecosystem {entry.ecosystem}"
    return [entry.id, entry.summary, names or "-", str(entry.max_turns), ", ".join(entry.needs) or "-"]


def _expect(what: str, given: str, known: Collection[str]) -> None:
    """See that a tag is one that there is.

    Raises:
        ConfigError: It is not; says which there are.
    """
    if given not in known:
        near = difflib.get_close_matches(given, known, n=1)
        there_is = f"did you mean {near[0]}? There is" if near else "there is"
        raise ConfigError(f"no environment has the {what} {given!r}; {there_is} {', '.join(sorted(known))}")
