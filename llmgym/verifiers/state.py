"""State of tables: whether what tools have left behind is what they should have.

Rows are matched by key, or, where a key is made by chance, as a bag. The score is all or nothing: a state with one mail
too many is wrong. How much of it is right is a metric.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import Any, Literal

from llmgym.errors import TaskError
from llmgym.verifiers.base import Verdict, correct, unscored, wrong
from llmgym.verifiers.text import normalized
from llmgym.verifiers.values import canonical

#: Rows of a state.
MAX_ROWS = 100_000

#: How a column is compared: "text" folds case, width and white space, "unordered" takes a list as a bag, a function
#: gives what is compared.
Rule = Literal["text", "unordered"] | Callable[[Any], Any]
_Rule = Callable[[Any], Any] | str | None  # the same, and "ignored"

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

    Values are equal as `llmgym.verifiers.values` says: 1 is 1.0, text is exact, lists have an order, dates are their
    ISO text. A column that is missing is not one that is null. The order of rows does not count.

    Args:
        answer: The state as it is.
        reference: The state as it should be.
        before: The state as it was: with it, `share` is of the rows that were or should have been changed, so that who
            does nothing has 0.
        keys: Column that names a row, of each table or of all. A table whose rows have none is a bag.
        ignore: Columns that do not count, such as ids and times that are made by chance: "sent_at", or "mails.id" for
            one table. An ignored key makes its table a bag.
        rules: How columns are compared, by the same names.

    Returns:
        1 or 0, with `share` of the rows that are right, and how many are `missing`, `extra` and `changed`; details name
        rows and columns of the answer.
    """
    comparison = _Comparison(keys, frozenset(ignore), rules or {}, counted=before is not None)
    try:
        right, was = _tables(reference), {} if before is None else _tables(before)
    except (TypeError, OverflowError, sqlite3.Error) as error:
        return unscored("invalid_reference", f"the right state: {error}")
    try:
        state = _tables(answer)
    except OverflowError as error:
        return wrong(str(error), "too_long")
    except TypeError as error:
        return wrong(str(error), "unparsable")
    except sqlite3.Error as error:
        return unscored("infrastructure", f"the state cannot be read: {error}")
    try:
        for table in {**was, **right, **state}:
            comparison.compare(table, state.get(table), right.get(table), was.get(table))
    except RecursionError:
        return wrong("a value is nested too deeply", "unparsable")
    found = wrong("; ".join(comparison.said)) if comparison.differs else correct()
    return replace(found, metrics=comparison.metrics)


def prove(
    reference: State | sqlite3.Connection,
    *,
    before: State | sqlite3.Connection,
    keys: Mapping[str, str] | str = "id",
    ignore: Collection[str] = (),
    rules: Mapping[str, Rule] | None = None,
) -> None:
    """Prove that the right state of a task is told from the state before, and that its options name columns.

    Takes what `check` does.

    Raises:
        TaskError: It is not; says why.
    """
    itself = check(reference, reference, keys=keys, ignore=ignore, rules=rules)
    if not itself:
        raise TaskError(f"the right state does not match itself: {itself.detail}")
    if check(before, reference, keys=keys, ignore=ignore, rules=rules):
        raise TaskError("the right state is the state before, so that who does nothing is right")
    tables, was = _tables(reference), _tables(before)
    known = {*tables, *was}
    columns = {column for table in known for row in _records(tables.get(table, was.get(table))) for column in row}
    for name in (*ignore, *(rules or {})):
        table, dot, column = name.rpartition(".")
        if column not in columns or (dot and table not in known):
            raise TaskError(f"there is no column {name!r} in any table, before or after")


def read_sqlite(connection: sqlite3.Connection) -> dict[str, list[dict[str, Any]]]:
    """The tables of a database of SQLite's.

    Raises:
        OverflowError: They have more rows than can be compared.
        sqlite3.Error: They cannot be read.
    """
    names = (
        "select name from sqlite_master where type = 'table' and name not like 'sqlite\\_%' escape '\\' order by name"
    )
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
    """The rows of a table; a record, or another value, is one row."""
    if table is None:
        return []
    if isinstance(table, list | tuple) and all(isinstance(row, Mapping) for row in table):
        return table
    if isinstance(table, Mapping):
        if all(isinstance(row, Mapping) for row in table.values()):
            return [{_KEY: key, **row} for key, row in table.items()]
        return [{_KEY: None, **table}]
    return [{_KEY: None, "value": table}]


_KEY = "(key)"  # of rows that have theirs outside, and of what is no table
_ABSENT = object()
_SHOWN = 5  # rows that a detail names


@dataclass(slots=True)
class _Comparison:
    """Goes through the tables and counts."""

    keys: Mapping[str, str] | str
    ignore: frozenset[str]
    rules: Mapping[str, Rule]
    counted: bool  # whether a state of before tells what was touched
    known: dict[tuple[str, str], _Rule] = field(default_factory=dict)
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

    @property
    def metrics(self) -> dict[str, float]:
        all_rows = self.right + self.missing + self.extra + self.changed
        good, rows = (self.kept, self.touched) if self.counted else (self.right, all_rows)
        share = good / rows if rows else 1.0
        counts = {"missing": self.missing, "extra": self.extra, "changed": self.changed}
        return {"share": share, **{name: float(count) for name, count in counts.items()}}

    def compare(self, table: str, found: Any, right: Any, was: Any) -> None:
        """Compare a table."""
        sides = [_records(rows) for rows in (found, right, was)]
        keyed = [self._by_key(table, rows) for rows in sides]
        if all(rows is not None for rows in keyed[:2]):
            self._compare_keyed(table, *(rows or {} for rows in keyed))
        else:
            self._compare_bags(table, *sides)

    def _by_key(self, table: str, rows: Sequence[_Row]) -> dict[Hashable, _Row] | None:
        """The rows by their keys; None where a row has none, or that of another one."""
        key = self.keys if isinstance(self.keys, str) else self.keys.get(table)
        if rows and _KEY in rows[0]:
            key = _KEY
        if key is None or self._rule(table, key) == "ignored" or not all(key in row for row in rows):
            return None
        found = {canonical(row[key]): row for row in rows}
        return found if len(found) == len(rows) else None

    def _rule(self, table: str, column: str) -> _Rule:
        """How a column is compared."""
        at = (table, column)
        if at not in self.known:
            full = f"{table}.{column}"
            ignored = column in self.ignore or full in self.ignore
            self.known[at] = "ignored" if ignored else self.rules.get(full) or self.rules.get(column)
        return self.known[at]

    def _compare_keyed(
        self, table: str, mine: dict[Hashable, _Row], theirs: dict[Hashable, _Row], old: dict[Hashable, _Row]
    ) -> None:
        extra: list[Hashable] = []
        missing = 0
        for key in {**theirs, **mine}:
            found, right = mine.get(key), theirs.get(key)
            columns: list[str] = []
            if found is None:
                missing += 1
            elif right is None:
                extra.append(key)
            elif columns := self._differing(table, found, right):
                self.changed += 1
                if len(self.said) < _SHOWN:
                    which = table if key is None else f"{table}: {key!r:.40}"
                    self.said.append(f"{which} differs in {', '.join(columns)}")
            same = found is not None and right is not None and not columns
            self.right += same
            if not same or key not in old or right is None or self._differing(table, old[key], right):
                self.touched, self.kept = self.touched + 1, self.kept + same
        gone = len(old.keys() - mine.keys() - theirs.keys())
        self.touched, self.kept = self.touched + gone, self.kept + gone
        self._say(table, missing, extra)

    def _compare_bags(self, table: str, mine: Sequence[_Row], theirs: Sequence[_Row], old: Sequence[_Row]) -> None:
        same = (
            _common_start(mine, theirs, old) if self.counted else _common_start(mine, theirs)
        )  # which is quick to see
        sides = (mine, theirs, old)
        found, right, was = (Counter(self._frozen(table, row) for row in rows[same:]) for rows in sides)
        self.right += same + (found & right).total()
        due, done = _changes(was, right), _changes(was, found)
        self.kept, self.touched = self.kept + (due & done).total(), self.touched + (due | done).total()
        self._say(table, (right - found).total(), [None] * (found - right).total())

    def _say(self, table: str, missing: int, extra: Sequence[Hashable]) -> None:
        self.missing, self.extra = self.missing + missing, self.extra + len(extra)
        names = ", ".join(f"{name!r:.40}" for name in extra[:_SHOWN] if name is not None)
        if missing:
            self.said.append(f"{table}: {missing} missing")
        if extra:
            self.said.append(f"{table}: {len(extra)} that should not be there" + (f" ({names})" if names else ""))

    def _differing(self, table: str, one: _Row, other: _Row) -> list[str]:
        """The columns in which two rows differ."""
        if one is other or one == other:
            return []
        found: list[str] = []
        for column in {**other, **one}:
            mine, theirs = one.get(column, _ABSENT), other.get(column, _ABSENT)
            if mine is theirs or (rule := self._rule(table, column)) == "ignored":
                continue
            absent = mine is _ABSENT or theirs is _ABSENT
            if absent or (mine != theirs and _value(rule, mine) != _value(rule, theirs)):
                found.append(column)
        return found

    def _frozen(self, table: str, row: _Row) -> Hashable:
        rules = ((name, value, self._rule(table, name)) for name, value in row.items())
        return frozenset((name, _value(rule, value)) for name, value, rule in rules if rule != "ignored")


def _value(rule: _Rule, value: Any) -> Hashable:
    if rule is None:
        return canonical(value)
    if rule == "text":
        return normalized(value) if isinstance(value, str) else canonical(value)
    if isinstance(rule, str):  # "unordered"
        bag = isinstance(value, list | tuple)
        return ("bag", frozenset(Counter(map(canonical, value)).items())) if bag else canonical(value)
    try:
        return canonical(rule(value))
    except Exception:  # noqa: BLE001 -- a rule for what is right need not expect what is wrong
        return ("as it is", canonical(value))


def _common_start(*tables: Sequence[_Row]) -> int:
    """How many rows at the start are the same in all."""
    pairs = takewhile(lambda rows: all(row == rows[0] for row in rows), zip(*tables, strict=False))
    return sum(1 for _ in pairs)


def _changes(before: Counter[Hashable], after: Counter[Hashable]) -> Counter[Hashable]:
    """Rows that came and rows that went."""
    came, went = after - before, before - after
    changes: Counter[Hashable] = Counter({("came", row): count for row, count in came.items()})
    changes.update({("went", row): count for row, count in went.items()})
    return changes
