"""`llmgym data columns`."""

from __future__ import annotations

from typing import Any

from llmgym.cli.data.options import Json, Paths, SkipBad, opened
from llmgym.cli.output import print_json, print_table

EXAMPLES = """
\b
Examples:
  llmgym data columns runs/first
"""


def run(paths: Paths, skip_bad: SkipBad = False, json: Json = False) -> None:
    """List what conditions may ask for: the numbers and names of rows, with their ranges.

    A metric whose name a column has already is `metric_NAME`.
    """
    from llmgym.data.engine import quoted

    data = opened(paths, skip_bad=skip_bad)
    found: list[dict[str, Any]] = []
    for name, kind in data.query("select column_name, column_type from (describe rows)"):
        column = quoted(name)
        (known, least, greatest) = data.query(f"select count({column}), min({column}), max({column}) from rows")[0]
        found.append({"column": name, "type": kind.lower(), "known": known, "least": least, "greatest": greatest})
    if json:
        print_json(found)
    else:
        print_table("", list(found[0]), [[_shown(value) for value in one.values()] for one in found])


def _shown(value: Any) -> str:
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
