"""What queries are made of, in SQL and in English: paths between tables, conditions on columns, names of results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from llmgym.envs.text_to_sql.databases import Row, Schema, literal
from llmgym.envs.text_to_sql.selects import Condition, Join
from llmgym.envs.text_to_sql.worlds import Column, Table

_MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
           "November", "December")  # fmt: skip
_NUMBERS = {">": "is more than", ">=": "is at least", "<": "is less than", "<=": "is at most"}
_DATES = {">": "is after", ">=": "is on or after", "<": "is before", "<=": "is on or before"}
_YEARS = {">": "is later than", ">=": "is {} or later", "<": "is earlier than", "<=": "is {} or earlier"}
_AGGREGATED = {"SUM": "total", "AVG": "average", "MIN": "lowest", "MAX": "highest"}
_IN_TIME = {"MIN": "earliest", "MAX": "latest"}


class NoDraft(Exception):
    """What was drawn makes no question of the kind that was wanted."""


@dataclass(frozen=True)
class Path:
    """A table that is reached from another one by references.

    Attributes:
        table: Where it ends.
        joins: The joins that lead there.
        owner: "order's customer's ", which stands before a column's noun; empty for the table itself.
    """

    table: Table
    joins: tuple[Join, ...] = ()
    owner: str = ""

    @property
    def far(self) -> bool:
        """Whether it is another table."""
        return bool(self.joins)


@dataclass(frozen=True)
class Scene:
    """What a question is drawn from.

    Attributes:
        rng: Draws.
        schema: The tables.
        rows: The rows that constants are taken from, so that they are just at the edge.
    """

    rng: np.random.Generator
    schema: Schema
    rows: Mapping[str, Sequence[Row]]

    def pick(self, choices: Sequence[Any]) -> Any:
        """One of some choices.

        Raises:
            NoDraft: There is none.
        """
        if not choices:
            raise NoDraft
        return choices[int(self.rng.integers(len(choices)))]

    def chance(self, share: float) -> bool:
        """Whether what has a chance happens."""
        return bool(self.rng.random() < share)

    def paths(self, table: Table) -> Iterator[Path]:
        """The table, and all that it refers to, near ones first; each table by one way."""
        todo, seen = [Path(table)], {table.name}
        while todo:
            path = todo.pop(0)
            yield path
            for reference in path.table.references:
                other = self.schema.table(reference.refers)
                if other.name not in seen:
                    seen.add(other.name)
                    join = Join(
                        self.schema.named(other), self.schema.column(path.table, reference), self.schema.key_of(other)
                    )
                    todo.append(Path(other, (*path.joins, join), f"{path.owner}{reference.noun}'s "))

    def unambiguous_paths(self, table: Table) -> list[Path]:
        """The paths but those to tables that two ways lead to, since "customer" could be either."""
        ways: dict[str, int] = {}

        def walk(at: Table) -> None:
            ways[at.name] = ways.get(at.name, 0) + 1
            for reference in at.references:
                walk(self.schema.table(reference.refers))

        walk(table)
        return [path for path in self.paths(table) if ways[path.table.name] == 1]

    def column(self, path: Path, column: Column) -> str:
        """A column in SQL."""
        return self.schema.column(path.table, column)

    def values(self, table: Table, column: Column) -> list[Any]:
        """The values of a column, without NULLs."""
        index = 1 + table.columns.index(column)
        return [row[index] for row in self.rows[table.name] if row[index] is not None]

    def condition(self, path: Path, taken: Sequence[Column] = ()) -> tuple[Condition, Column]:
        """A condition on a column of the path's table that is not taken."""
        free = [c for c in path.table.values if c not in taken and not c.is_label]
        column = self.pick(free)
        noun, left = f"whose {path.owner}{column.noun}", self.column(path, column)
        if column.nullable and self.chance(0.35):
            missing = self.chance(0.6)
            said = f"{noun} is {'NULL' if missing else 'not NULL'}"
            return Condition(left, "IS" if missing else "IS NOT", "NULL", said), column
        operator, right, said = self._comparison(column, self.values(path.table, column))
        return Condition(left, operator, right, f"{noun} {said}"), column

    def _comparison(self, column: Column, values: Sequence[Any]) -> tuple[str, str, str]:
        """Operator, right side and words of a comparison with a value that occurs."""
        value = self.pick(sorted(set(values)))
        if column.is_number or column.kind == "year":
            operator = self.pick(list(_NUMBERS))
            words = (_YEARS if column.kind == "year" else _NUMBERS)[operator]
            return operator, literal(value), words.format(value) if "{}" in words else f"{words} {shown(value)}"
        if column.kind == "date":
            way = self.rng.integers(4)
            if way == 0:
                return "LIKE", literal(f"{value[:4]}-%"), f"is in {value[:4]}"
            if way == 1:
                return "LIKE", literal(f"{value[:7]}-%"), f"is in {_MONTHS[int(value[5:7]) - 1]} {value[:4]}"
            operator = self.pick(list(_DATES))
            return operator, literal(value), f"{_DATES[operator]} {value}"
        way = self.rng.random()
        if way < 0.25 and not column.nullable:
            return "<>", literal(value), f'is not "{value}"'
        others = sorted(set(values) - {value})
        if way < 0.45 and len(others) > 1:
            other = self.pick(others)
            return "IN", f"({literal(value)}, {literal(other)})", f'is "{value}" or "{other}"'
        return "=", literal(value), f'is "{value}"'

    def conditions(self, table: Table, count: int, taken: Sequence[Column] = ()) -> tuple[Joined, list[Column]]:
        """Conditions on a table and what it refers to, with the joins that they take."""
        found: list[Condition] = []
        columns = list(taken)
        joins: dict[str, Join] = {}
        paths = [path for path in self.unambiguous_paths(table) if any(not c.is_label for c in path.table.values)]
        for _ in range(count):
            path = self.pick(paths[:3])
            condition, column = self.condition(path, columns)
            joins |= {join.table: join for join in path.joins}
            found.append(condition)
            columns.append(column)
        return Joined(tuple(joins.values()), tuple(found)), columns

    def aggregate(self, path: Path, taken: Sequence[Column] = ()) -> tuple[str, str]:
        """An aggregate of a column, in SQL and as "the average price (...)"."""
        free = [c for c in path.table.values if (c.is_number or c.kind in ("date", "year")) and c not in taken]
        column = self.pick(free)
        timely = column.kind in ("date", "year")
        name = self.pick(list(_IN_TIME if timely else _AGGREGATED))
        word = (_IN_TIME if timely else _AGGREGATED)[name]
        rest = " (of those that have one)" if column.nullable and name == "AVG" else ""
        return f"{name}({self.column(path, column)})", f"the {word} {column.noun}{rest}"


@dataclass(frozen=True)
class Joined:
    """Conditions, and the joins that they take."""

    joins: tuple[Join, ...] = ()
    where: tuple[Condition, ...] = ()

    def with_path(self, path: Path) -> Joined:
        """The same with the joins of a path."""
        joins = {join.table: join for join in (*self.joins, *path.joins)}
        return Joined(tuple(joins.values()), self.where)

    @property
    def said(self) -> str:
        """The conditions in English, with a blank before them."""
        return "".join(f" {'and ' if index else ''}{condition.said}" for index, condition in enumerate(self.where))


def shown(value: Any) -> str:
    """A number as people write it."""
    return f"{value:.2f}" if isinstance(value, float) else str(value)
