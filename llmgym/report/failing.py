"""Failures of episodes, those of one kind together."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from llmgym.trajectory import Trajectory

_NUMBERS = re.compile(r"0x[0-9a-fA-F]+|\d+(?:\.\d+)?")
_ROWS = 50  # of a group that a page can open


def grouped(failures: Iterable[tuple[int, Trajectory]]) -> list[dict[str, Any]]:
    """Groups of failures by what went wrong where, the most frequent first, each with the words of the first.

    Args:
        failures: The numbers of rows, and the rows.
    """
    groups: dict[tuple[str, ...], dict[str, Any]] = {}
    for number, row in failures:
        failure, words = row.failure, row.error or ""
        lines = words.strip().splitlines()
        last = _NUMBERS.sub("#", lines[-1] if lines else "")[:200]
        kind, stage, error = (failure.kind, failure.stage, failure.error) if failure else (row.status, "", "")
        group = groups.setdefault(
            (kind, stage, error, last),
            {
                "kind": kind, "stage": stage, "error": error, "status": row.status, "first": words, "rows": [],
                "count": 0, "envs": {},
            },
        )  # fmt: skip
        group["count"] += 1
        group["envs"][row.env_id] = group["envs"].get(row.env_id, 0) + 1
        if len(group["rows"]) < _ROWS:
            group["rows"].append(number)
    return sorted(groups.values(), key=lambda group: -group["count"])
