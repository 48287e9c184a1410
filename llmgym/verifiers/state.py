"""State of tables: whether what tools have left behind is what they should have.

Rows are matched by key, or, where a key is made by chance, as a bag. The score is all or nothing: a state with one mail too
many is wrong. How much of it is right is a metric.
"""

from __future__ import annotations

import sqlite3
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from llmgym.verifiers.base import Verdict, correct, unscored, wrong
from llmgym.verifiers.values import canonical

#: Rows of a state.
MAX_ROWS = 100_000

#: How a column is compared: "text" folds case, width and white space, "unordered" takes a list as a bag, a function gives
#: what is compared.
Rule = Literal["text", "unordered"] | Callable[[Any], Any]

#: Tables by name: a list of rows, rows by their keys, or any other value, which is compared as one.
State = Mapping[str, Any]
_Row = Mapping[str, Any]


def check(
    answer: State | sqlite3.Connection,
    reference: State | sqlite3.Connection,
    *,
    before: State | sqlite3.Connection | None = None,
    keys: Mapping[str, str] | str = "id",
    ignore: Collection[str] = (),
    rules: Mapping[str, Rule] | None = None,
) -> Verdict:
    """Compare a state with the right one.

    Values are equal as `llmgym.verifiers.values` says: 1 is 1.0, text is exact, lists have an order, dates are their ISO
    text. A column that is missing is not one that is null. The order of rows does not count.

    Args:
        answer: The state as it is.
        reference: The state as it should be.
        before: The state as it was: with it, `share` is of the rows that were or should have been changed, so that who does
            nothing has 0.
        keys: Column that names a row, of each table or of all. A table whose rows have none is a bag.
        ignore: Columns that do not count, such as ids and times that are made by chance: "sent_at", or "mails.id" for one
            table. An ignored key makes its table a bag.
        rules: How columns are compared, by the same names.

    Returns:
        1 or 0, with `share` of the rows that are right, and how many are `missing`, `extra` and `changed`; details name
        rows and columns of the answer.
    """
    comparison = _Comparison(keys, frozenset(ignore), rules or {})
    try:
        right, was = _tables(reference), {} if before is None else _tables(before)
    except (TypeError, ValueError, sqlite3.Error) as error:
        return unscored("invalid_reference", f"the right state: {error}")
    try:
        found = _tables(answer)
    except OverflowError as error:
        return wrong(str(error), "too_long")
    except (TypeError, ValueError, sqlite3.Error) as error:
        return wrong(str(error), "unparsable")
    try:
        for table in {**right, **found}:
            comparison.compare(table, found.get(table), right.get(table), was.get(table))
    except RecursionError:
        return wrong("a value is nested too deeply", "unparsable")
    metrics = comparison.metrics(counted=before is not None)
    return wrong("; ".join(comparison.said), **metrics) if comparison.differs else correct(**metrics)


def problems(
    reference: State | sqlite3.Connection,
    *,
    before: State | sqlite3.Connection,
    keys: Mapping[str, str] | str = "id",
    ignore: Collection[str] = (),
    rules: Mapping[str, Rule] | None = None,
) -> list[str]:
    """What is wrong with the right state of a task; takes what `check` does.

    Returns:
        Sentences; none where the task is sound.
    """
    itself = check(reference, reference, keys=keys, ignore=ignore, rules=rules)
    if not itself:
        return [f"it is not what it is itself: {itself.detail}"]
    found = ["it is the state before, so that who does nothing is right"] if check(
        before, reference, keys=keys, ignore=ignore, rules=rules
    ) else []  # fmt: skip
    tables, was = _tables(reference), _tables(before)
    known = {*tables, *was}
    columns = {column for table in known for row in _records(tables.get(table, was.get(table))) for column in row}
    for name in (*ignore, *(rules or {})):
        table, dot, column = name.rpartition(".")
        if column not in columns or (dot and table not in known):
            found.append(f"there is no column {name!r}")
    return found


def read_sqlite(connection: sqlite3.Connection) -> dict[str, list[dict[str, Any]]]:
    """The tables of a database of SQLite's.

    Raises:
        OverflowError: They have more rows than can be compared.
        sqlite3.Error: They cannot be read.
    """
    names = "select name from sqlite_master where type = 'table' and name not like 'sqlite\\_%' escape '\\' order by name"
    tables: dict[str, list[dict[str, Any]]] = {}
    left = MAX_ROWS
    for (name,) in connection.execute(names).fetchall():
        quoted = name.replace('"', '""')
        cursor = connection.execute(f'select * from "{quoted}" limit {left + 1}')
        columns = [column[0] for column in cursor.description]
        tables[name] = [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]
        left -= len(tables[name])
        if left < 0:
            raise OverflowError(f"it has more than {MAX_ROWS:,} rows")
    return tables


def _tables(state: Any) -> State:
    if isinstance(state, sqlite3.Connection):
        return read_sqlite(state)
    if not isinstance(state, Mapping):
        raise TypeError(f"a state is tables by name, not {type(state).__name__}")
    if sum(len(table) for table in state.values() if isinstance(table, Sequence | Mapping)) > MAX_ROWS:
        raise OverflowError(f"it has more than {MAX_ROWS:,} rows")
    return state


def _records(table: Any) -> Sequence[_Row]:
    """The rows of a table; what is no table is one row."""
    if table is None:
        return []
    if isinstance(table, list | tuple) and all(isinstance(row, Mapping) for row in table):
        return table
    if isinstance(table, Mapping) and table and all(isinstance(row, Mapping) for row in table.values()):
        return [{_KEY: key, **row} for key, row in table.items()]
    return [{_KEY: "value", "value": table}]


_KEY = "(key)"  # of rows that have theirs outside
_SHOWN = 5  # rows that a detail names


@dataclass(slots=True)
class _Comparison:
    """Goes through the tables and counts."""

    keys: Mapping[str, str] | str
    ignore: frozenset[str]
    rules: Mapping[str, Rule]
    missing: int = 0
    extra: int = 0
    changed: int = 0
    right: int = 0
    touched: int = 0
    kept: int = 0
    said: list[str] = field(default_factory=list)

    @property
    def differs(self) -> bool:
        return bool(self.missing or self.extra or self.changed)

    def metrics(self, *, counted: bool) -> dict[str, float]:
        """`counted` says whether a state of before tells what was touched."""
        all_rows = self.right + self.missing + self.extra + self.changed
        good, rows = (self.kept, self.touched) if counted else (self.right, all_rows)
        share = good / rows if rows else 1.0
        counts = {"missing": self.missing, "extra": self.extra, "changed": self.changed}
        return {"share": share, **{name: float(count) for name, count in counts.items()}}

    def compare(self, table: str, found: Any, right: Any, was: Any) -> None:
        """Compare a table."""
        mine, theirs, old = _records(found), _records(right), _records(was)
        key = self._key(table, [*mine, *theirs])
        skipped = {c for c in self.ignore if "." not in c} | {
            c.removeprefix(f"{table}.") for c in self.ignore if c.startswith(f"{table}.")
        }
        if key is None or key in skipped:
            self._compare_bags(table, mine, theirs, old, skipped)
        else:
            self._compare_keyed(table, key, mine, theirs, old, skipped)

    def _key(self, table: str, rows: Sequence[_Row]) -> str | None:
        """The column that names the rows, where each row has one and none is there twice."""
        if rows and _KEY in rows[0]:
            return _KEY
        key = self.keys if isinstance(self.keys, str) else self.keys.get(table)
        return key if key is not None and all(key in row for row in rows) else None

    def _compare_keyed(
        self, table: str, key: str, mine: Iterable[_Row], theirs: Iterable[_Row], old: Iterable[_Row], skipped: set[str]
    ) -> None:
        left, right, before = (_by_key(rows, key) for rows in (mine, theirs, old))
        extra: list[Any] = []
        for name in {**right, **left}:
            ours, wanted, was = left.get(name, []), right.get(name, []), before.get(name, [])
            if len(ours) == len(wanted) == 1:
                columns = self._differing(table, ours[0], wanted[0], skipped)
                self.right, self.changed = self.right + (not columns), self.changed + bool(columns)
                if columns and len(self.said) < _SHOWN:
                    self.said.append(f"{table}: {ours[0][key]!r:.40} differs in {', '.join(columns)}")
                same = not columns
            else:
                same = False
                self.missing += max(0, len(wanted) - len(ours))
                self.extra += max(0, len(ours) - len(wanted))
                self.changed += min(len(ours), len(wanted))
                extra += [row[key] for row in ours[len(wanted) :]]
            if not same or not (len(was) == 1 and not self._differing(table, was[0], wanted[0], skipped)):
                self.touched, self.kept = self.touched + 1, self.kept + same
        for name in before.keys() - left.keys() - right.keys():  # rightly gone
            self.touched, self.kept = self.touched + len(before[name]), self.kept + len(before[name])
        self._say(table, sum(max(0, len(right[n]) - len(left.get(n, []))) for n in right), extra)

    def _compare_bags(
        self, table: str, mine: Iterable[_Row], theirs: Iterable[_Row], old: Iterable[_Row], skipped: set[str]
    ) -> None:
        left, right, before = (Counter(self._frozen(table, row, skipped) for row in rows) for rows in (mine, theirs, old))
        missing, extra = (right - left).total(), (left - right).total()
        self.missing, self.extra = self.missing + missing, self.extra + extra
        self.right += (left & right).total()
        due, done = _changes(before, right), _changes(before, left)
        self.kept, self.touched = self.kept + (due & done).total(), self.touched + (due | done).total()
        self._say(table, missing, [None] * extra)

    def _say(self, table: str, missing: int, extra: Sequence[Any]) -> None:
        names = ", ".join(f"{name!r:.40}" for name in extra[:_SHOWN] if name is not None)
        if missing:
            self.said.append(f"{table}: {missing} missing")
        if extra:
            self.said.append(f"{table}: {len(extra)} that should not be there" + (f" ({names})" if names else ""))

    def _differing(self, table: str, one: _Row, other: _Row, skipped: set[str]) -> list[str]:
        """The columns in which two rows differ."""
        if one is other or one == other:
            return []
        found: list[str] = []
        for column in {**other, **one}:
            if column in skipped:
                continue
            if column not in one or column not in other:
                found.append(column)
            elif one[column] != other[column] and (
                self._value(table, column, one[column]) != self._value(table, column, other[column])
            ):
                found.append(column)
        return found

    def _frozen(self, table: str, row: _Row, skipped: set[str]) -> Hashable:
        return frozenset((name, self._value(table, name, value)) for name, value in row.items() if name not in skipped)

    def _value(self, table: str, column: str, value: Any) -> Hashable:
        rule = (self.rules.get(f"{table}.{column}") or self.rules.get(column)) if self.rules else None
        if rule is None:
            return canonical(value)
        if rule == "text":
            return _folded(value) if isinstance(value, str) else canonical(value)
        if rule == "unordered":
            bag = isinstance(value, list | tuple)
            return ("bag", frozenset(Counter(map(canonical, value)).items())) if bag else canonical(value)
        return canonical(rule(value))


def _by_key(rows: Iterable[_Row], key: str) -> dict[Hashable, list[_Row]]:
    found: dict[Hashable, list[_Row]] = defaultdict(list)
    for row in rows:
        found[canonical(row.get(key))].append(row)
    return found


def _changes(before: Counter[Hashable], after: Counter[Hashable]) -> Counter[Hashable]:
    """Rows that came and rows that went."""
    came, went = after - before, before - after
    return Counter({("came", row): n for row, n in came.items()} | {("went", row): n for row, n in went.items()})


def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
