"""Queries as trees: written as SQL, and changed by one mistake at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

_NEAR = {">": ">=", ">=": ">", "<": "<=", "<=": "<", "=": "<>", "<>": "=", "IS": "IS NOT", "IS NOT": "IS",
         "IN": "NOT IN", "NOT IN": "IN", "BETWEEN": "NOT BETWEEN", "LIKE": "NOT LIKE",
         "EXISTS": "NOT EXISTS", "NOT EXISTS": "EXISTS"}  # fmt: skip
_AGGREGATES = {"SUM(": "AVG(", "AVG(": "SUM(", "MIN(": "MAX(", "MAX(": "MIN("}
_AGGREGATE = re.compile(r"(?:SUM|AVG|MIN|MAX)\(")


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition on rows, in SQL and in English.

    Attributes:
        left: The left side; empty for EXISTS.
        operator: What holds between the sides.
        right: The right side.
        said: "whose price is more than 40".
    """

    left: str
    operator: str
    right: str | Select
    said: str = ""

    def sql(self) -> str:
        """The condition in SQL."""
        right = f"({self.right.sql()})" if isinstance(self.right, Select) else self.right
        return f"{self.left} {self.operator} {right}".strip()

    def mistakes(self) -> Iterator[Condition]:
        """The condition with one mistake in it."""
        yield replace(self, operator=_NEAR[self.operator])
        if isinstance(self.right, Select):
            yield from (replace(self, right=wrong) for wrong in self.right.mistakes())


@dataclass(frozen=True, slots=True)
class Join:
    """A table that is joined.

    Attributes:
        table: Its name.
        left: A column of the tables before it.
        right: The column that is equal.
        outer: Whether it is a LEFT JOIN.
        where: Further conditions of the join.
    """

    table: str
    left: str
    right: str
    outer: bool = False
    where: tuple[Condition, ...] = ()

    def sql(self) -> str:
        """The join in SQL."""
        more = "".join(f" AND {condition.sql()}" for condition in self.where)
        return f"{'LEFT ' if self.outer else ''}JOIN {self.table} ON {self.left} = {self.right}{more}"


@dataclass(frozen=True, slots=True)
class Select:
    """A query.

    Attributes:
        columns: What it gives.
        source: Its first table, or a query.
        joins: Tables that are joined to it.
        where: Conditions on rows.
        group: What rows are grouped by.
        having: Conditions on groups.
        order: What rows are ordered by, and whether from the greatest down.
        limit: How many rows it gives at most.
        distinct: Whether equal rows are given once.
    """

    columns: tuple[str, ...]
    source: str | Select
    joins: tuple[Join, ...] = ()
    where: tuple[Condition, ...] = ()
    group: tuple[str, ...] = ()
    having: tuple[Condition, ...] = ()
    order: tuple[tuple[str, bool], ...] = ()
    limit: int | None = None
    distinct: bool = False

    def sql(self) -> str:
        """The query in SQL."""
        source = self.source if isinstance(self.source, str) else f"({self.source.sql()})"
        parts = [f"SELECT {'DISTINCT ' if self.distinct else ''}{', '.join(self.columns)} FROM {source}"]
        parts += [join.sql() for join in self.joins]
        if self.where:
            parts.append("WHERE " + " AND ".join(condition.sql() for condition in self.where))
        if self.group:
            parts.append("GROUP BY " + ", ".join(self.group))
        if self.having:
            parts.append("HAVING " + " AND ".join(condition.sql() for condition in self.having))
        if self.order:
            parts.append("ORDER BY " + ", ".join(f"{key} DESC" if down else key for key, down in self.order))
        if self.limit is not None:
            parts.append(f"LIMIT {self.limit}")
        return " ".join(parts)

    def mistakes(self) -> Iterator[Select]:
        """The query with one mistake in it: a condition dropped or turned, another join, order or limit."""
        yield from (replace(self, where=where) for where in _changed(self.where))
        yield from (replace(self, having=having) for having in _changed(self.having))
        if self.distinct:
            yield replace(self, distinct=False)
        for index, join in enumerate(self.joins):
            others = self.joins[:index], self.joins[index + 1 :]
            if join.outer:
                yield replace(self, joins=(*others[0], replace(join, outer=False), *others[1]))
            for where in _changed(join.where):
                yield replace(self, joins=(*others[0], replace(join, where=where), *others[1]))
        if self.order:
            (key, down), *rest = self.order
            yield replace(self, order=((key, not down), *rest))
        if self.limit is not None:
            yield replace(self, limit=self.limit + 1)
        if isinstance(self.source, Select):
            yield from (replace(self, source=wrong) for wrong in self.source.mistakes())


def mistaken(query: Select) -> Iterator[str]:
    """The query with one mistake in it, in SQL; the aggregates too are changed, wherever they stand."""
    yield from (wrong.sql() for wrong in query.mistakes())
    text = query.sql()
    for found in _AGGREGATE.finditer(text):
        yield text[: found.start()] + _AGGREGATES[found[0]] + text[found.end() :]


def _changed(conditions: tuple[Condition, ...]) -> Iterator[tuple[Condition, ...]]:
    """The conditions without one of them, or with a mistake in one."""
    for index, condition in enumerate(conditions):
        before, after = conditions[:index], conditions[index + 1 :]
        yield (*before, *after)
        yield from ((*before, wrong, *after) for wrong in condition.mistakes())
