"""How verbs print."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_NARROWEST = 8  # characters of a column that gives way to the first
_WIDEST = 100  # characters of running text


def print_json(data: Any) -> None:
    """Print JSON, indented, to standard output."""
    print(msgspec.json.format(msgspec.json.encode(data)).decode())


def print_table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """Print a table to standard output.

    The first column, which has ids to copy, is never cut nor folded, the others are as narrow as need be. In a pipe a
    table is as wide as its text needs.
    """
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, markup=False)
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    table = Table(title=title or None, title_justify="left", box=None, pad_edge=False, header_style="bold")
    table.add_column(columns[0], no_wrap=True, min_width=widths[0])
    for name, width in zip(columns[1:], widths[1:], strict=True):
        table.add_column(name, overflow="fold", min_width=min(width, _NARROWEST))
    for row in rows:
        table.add_row(*row)
    least = widths[0] + sum(min(width, _NARROWEST) + 2 for width in widths[1:])
    if console.is_terminal:
        console.width = max(console.width, least)
    else:
        console.width = max(len(title), sum(width + 2 for width in widths))
    _emit(console, table)


def print_markdown(text: str) -> None:
    """Print Markdown, set for the terminal; in a pipe, as it was written."""
    from rich.console import Console
    from rich.markdown import Markdown

    console = Console()
    if not console.is_terminal:
        print(text)
        return
    console.width = min(console.width, _WIDEST)
    _emit(console, Markdown(text))


def _emit(console: Console, thing: RenderableType) -> None:
    """Print by `sys.stdout` itself: rich ends the process in its own way where nobody reads."""
    with console.capture() as captured:
        console.print(thing)
    sys.stdout.write(captured.get())


def print_field(name: str, text: str | Sequence[str], indent: int = 12) -> None:
    """Print a name and what is said of it, behind each other; lines are folded at a terminal only."""
    lines = [text] if isinstance(text, str) else list(text)
    width = _width()
    folded = [part for line in lines for part in _fold(line, width - indent if width else None)]
    for number, line in enumerate(folded):
        print(f"{name if number == 0 else '':>{indent - 2}}  {line}".rstrip())


def _fold(line: str, width: int | None) -> list[str]:
    if width is None or len(line) <= width:
        return [line]
    lead = line[: len(line) - len(line.lstrip())]
    return textwrap.wrap(line, max(width, 20), subsequent_indent=lead + "  ", break_on_hyphens=False)


def _width() -> int | None:
    """Characters of running text in a line; None in a pipe."""
    from rich.console import Console

    console = Console()
    return min(console.width, _WIDEST) if console.is_terminal else None
