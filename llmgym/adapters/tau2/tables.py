"""Databases of thousands of rows, of which an episode changes few: a copy shares the others.

The package reads its whole database anew for each world, and compares worlds by a hash of all of it: for the airline a
second of work in an episode.
"""

from __future__ import annotations

import json
from typing import Any


class Table(dict[str, Any]):
    """Rows by their keys; one that is asked for by its key is copied first.

    Whoever goes through all rows is given those that are shared: the package's functions only look at them then.
    """

    def __init__(self, rows: dict[str, Any]) -> None:
        """Share the rows."""
        super().__init__(rows)
        self.own: set[str] = set()  # keys of rows that may differ from those that are shared

    def __getitem__(self, key: str) -> Any:
        """The row, to be changed at will."""
        if key not in self.own and key in self:
            self[key] = super().__getitem__(key).model_copy(deep=True)
        return super().__getitem__(key)

    def __setitem__(self, key: str, row: Any) -> None:
        """Put a row in its place."""
        self.own.add(key)
        super().__setitem__(key, row)


def copied(database: Any) -> Any:
    """A copy of a database of the package, which shares the rows of its tables until they are asked for."""
    fields = {name: getattr(database, name) for name in type(database).model_fields}
    tables = {name: Table(value) for name, value in fields.items() if isinstance(value, dict)}
    rest = database.model_copy(update=dict.fromkeys(tables)).model_copy(deep=True)
    return rest.model_copy(update=tables)


def changes(database: Any, origin: Any) -> dict[str, Any]:
    """What tells a copy from its origin, as the package would tell them apart: by their JSON."""
    found: dict[str, Any] = {}
    for name in type(database).model_fields:
        now, then = getattr(database, name), getattr(origin, name)
        if isinstance(now, Table):
            keys = now.own | (then.keys() - now.keys())
            found[name] = {key: text for key in keys if (text := _json(now.get(key))) != _json(then.get(key))}
        else:
            found[name] = _json(now)
    return found


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=_plain)


def _plain(value: Any) -> Any:
    return value.model_dump() if hasattr(value, "model_dump") else str(value)
