"""How verbs print."""

from __future__ import annotations

import sys
from typing import Any

import orjson


def print_json(data: Any) -> None:
    """Print JSON, indented, to standard output."""
    sys.stdout.write(orjson.dumps(data, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode())


def print_table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """Print a table to standard output; in a pipe it is as wide as its text needs."""
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns, title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*row)
    console = Console()
    if not console.is_terminal:
        console.width = max(len(title), sum(max(map(len, column)) + 2 for column in zip(columns, *rows, strict=True)))
    console.print(table)
