"""What the searches of all tables share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from llmgym.envs.office.tables import Row
from llmgym.verifiers.text import folded

MAX_FOUND = 25  # rows that a search shows


def words(text: str | None) -> list[str]:
    """What all has to be in a text for it to be found; quotes around words do not count."""
    return [word for each in folded(text[:200]).casefold().split() if (word := each.strip("\"'"))] if text else []


def found(rows: Iterable[Row], fits: Callable[[Row], bool], key: str, columns: Sequence[str], *, last: bool) -> Row:
    """The rows that fit, in order, and how many there are.

    Args:
        rows: A table.
        fits: Whether a row is one of them.
        key: Column that they are ordered by.
        columns: Columns that are shown.
        last: Whether what is greatest comes first.
    """
    fitting = sorted((row for row in rows if fits(row)), key=lambda row: row[key], reverse=last)
    shown: list[dict[str, Any]] = [{name: row[name] for name in columns} for row in fitting[:MAX_FOUND]]
    answer: Row = {"found": len(fitting), "rows": shown}
    if len(fitting) > MAX_FOUND:
        answer["note"] = f"only the first {MAX_FOUND} are shown; narrow the search to see others"
    return answer
