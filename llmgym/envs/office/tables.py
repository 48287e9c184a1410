"""The tables of an office: rows that are never changed but replaced, and a journal of what was written."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from llmgym.errors import ToolError
from llmgym.verifiers import state
from llmgym.verifiers.base import Verdict
from llmgym.verifiers.strings import normalised

Row = dict[str, Any]
Table = dict[str, Row]  # rows by id
#: A date, where visits came from, how many, in how many of them somebody clicked, and seconds of all.
Visits = tuple[str, str, int, int, int]

#: Tables by name: what their ids begin with.
PREFIXES = {"mails": "mail", "events": "event", "customers": "customer", "tasks": "task", "plots": "plot"}
#: Columns in which case, quotes around it and marks at the end of a text do not count.
_WORDED = ("subject", "body", "title", "name", "company", "note")
_RULES: dict[str, state.Rule] = {
    **{column: lambda text: normalised(text) if isinstance(text, str) else text for column in _WORDED},
    "place": lambda text: normalised(text).removeprefix("the ") if isinstance(text, str) else text,
    "participants": "unordered",
}
MAX_TEXT = 4_000  # characters of a text that a tool writes
MAX_WRITES = 200


class Made(Mapping[str, Table]):
    """Tables by name, each made when it is first looked at: an episode looks at two or three of them."""

    def __init__(self, make: Callable[[str], Table]) -> None:
        """Have tables.

        Args:
            make: Makes the table of a name, the same one each time, since two threads may ask at once.
        """
        self._make, self._made = make, dict[str, Table]()

    def __getitem__(self, name: str) -> Table:
        if name not in self._made:
            self._made.setdefault(name, self._make(name))
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(PREFIXES)

    def __len__(self) -> int:
        return len(PREFIXES)


def _copy(tables: Mapping[str, Table], name: str) -> Table:
    return dict(tables[name])


class Tables:
    """The tables of one episode.

    Attributes:
        before: The rows as they were, by table and id; shared by episodes, and never changed.
        rows: The rows as they are.
        journal: Table and id of each row written, in order, and the row as it was written; None where it was deleted.
        visits: Visits of the website, which nothing changes.
        people: Everyone in the firm, by address.
        me: The row of whom the assistant works for.
        now: Date and time, "2026-03-02 09:30".
    """

    def __init__(self, rows: Mapping[str, Table], visits: list[Visits], people: list[Row], now: str) -> None:
        self.before = rows
        self.rows = Made(partial(_copy, rows))
        self.journal: list[tuple[str, str, Row | None]] = []
        self.visits, self.people = visits, {row["email"]: row for row in people}
        self.me, self.now = people[0], now

    def fresh(self) -> Tables:
        """The same tables as nobody has written to them."""
        return Tables(self.before, self.visits, list(self.people.values()), self.now)

    @property
    def today(self) -> str:
        """The date, "2026-03-02"."""
        return self.now[:10]

    def get(self, table: str, key: str) -> Row:
        """A row.

        Raises:
            ToolError: There is none of that id.
        """
        row = self.rows[table].get(key)
        if row is None:
            raise ToolError(f"there is no {PREFIXES[table]} with the id {key[:40]!r}; search for it to see its id")
        return row

    def add(self, table: str, **columns: Any) -> Row:
        """Write a new row."""
        number = 1001 + len(self.journal)
        while (key := f"{PREFIXES[table]}-{number}") in self.before[table]:
            number += MAX_WRITES
        return self._write(table, key, {"id": key, **columns})

    def change(self, table: str, key: str, **columns: Any) -> Row:
        """Replace a row by one with other values."""
        return self._write(table, key, {**self.get(table, key), **columns})

    def remove(self, table: str, key: str) -> None:
        """Delete a row."""
        self.get(table, key)
        self._write(table, key, None)

    def _write(self, table: str, key: str, row: Row | None) -> Row:
        if len(self.journal) >= MAX_WRITES:
            raise ToolError(f"nothing was written: {MAX_WRITES} changes are the most that one request may take")
        if row and any(isinstance(value, str) and len(value) > MAX_TEXT for value in row.values()):
            raise ToolError(f"nothing was written: a text is longer than {MAX_TEXT:,} characters")
        self.journal.append((table, key, row))
        if row is None:
            del self.rows[table][key]
            return {}
        self.rows[table][key] = row
        return row

    def compare(self, right: Tables, leaving_out: Collection[tuple[str, str]] = ()) -> Verdict:
        """Whether the tables are those that are right: rows that were there by id, new ones by what they hold.

        Only rows that either has written can differ, so that only these are looked at.

        Args:
            right: The tables as they should be.
            leaving_out: Table and id of rows of these tables that do not count.
        """
        mine = [(table, key) for table, key, _ in self.journal if (table, key) not in leaving_out]
        theirs = [(table, key) for table, key, _ in right.journal]
        touched = dict.fromkeys((*mine, *theirs))
        counted = [each for each in touched if each not in leaving_out]
        found, wanted, before = (
            self._view(rows, keys)
            for rows, keys in ((self.rows, counted), (right.rows, touched), (self.before, touched))
        )
        return state.check(found, wanted, before=before, rules=_RULES)

    def _view(self, rows: Mapping[str, Mapping[str, Row]], touched: Iterable[tuple[str, str]]) -> dict[str, Any]:
        """The touched rows: of each table those with ids of before, and the new ones without theirs."""
        view: dict[str, Any] = {}
        for table, key in touched:
            row = rows[table].get(key)
            if row is None:
                continue
            if key in self.before[table]:
                view.setdefault(table, {})[key] = row
            else:
                view.setdefault(f"new {table}", []).append({name: row[name] for name in row if name != "id"})
        return view
