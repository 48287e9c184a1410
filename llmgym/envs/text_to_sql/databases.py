"""Databases by seed: which tables of a world there are, what they are named, and two sets of rows for them."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from llmgym.envs.text_to_sql.worlds import WORLDS, Column, Table
from llmgym.envs.vocabulary import FAMILY_NAMES, FIRM_KINDS, FIRM_NAMES, GIVEN_NAMES, PLACES, THINGS

Rng = np.random.Generator
Row = tuple[Any, ...]
_TYPES = {"int": "INTEGER", "money": "REAL", "year": "INTEGER", "date": "DATE"}
_POOL = 5  # towns that a column has
_FIRST_DAY = np.datetime64("2021-01-01")
_DAYS = 3 * 365
_NULLS = 0.25
_CAPITALIZED = tuple(thing.capitalize() for thing in THINGS)


@dataclass(frozen=True)
class Schema:
    """Tables, and how they and their keys are named.

    Attributes:
        tables: The tables, none of which refers to a later one.
        prefix: Stands before each table's name.
        long_keys: Whether keys are named after their rows ("order_id"), or "id".
    """

    tables: tuple[Table, ...]
    prefix: str
    long_keys: bool

    def table(self, name: str) -> Table:
        """The table of a name."""
        return next(table for table in self.tables if table.name == name)

    def named(self, table: Table) -> str:
        """What a table is named in the database."""
        return self.prefix + table.name

    def key(self, table: Table) -> str:
        """What the key of a table is named."""
        return f"{table.one.replace(' ', '_')}_id" if self.long_keys else "id"

    def column(self, table: Table, column: Column) -> str:
        """A column with its table's name."""
        return f"{self.named(table)}.{column.name}{'_id' if column.refers else ''}"

    def key_of(self, table: Table) -> str:
        """The key with its table's name."""
        return f"{self.named(table)}.{self.key(table)}"

    def children(self, table: Table) -> list[tuple[Table, Column]]:
        """Tables that refer to one, and by which column."""
        return [(other, ref) for other in self.tables for ref in other.references if ref.refers == table.name]

    def statements(self) -> list[dict[str, str]]:
        """The statements that make the tables, each with its name."""
        return [{"name": self.named(table), "sql": self._create(table)} for table in self.tables]

    def _create(self, table: Table) -> str:
        lines = [f"{self.key(table)} INTEGER PRIMARY KEY"]
        for column in table.columns:
            if column.refers:
                other = self.table(column.refers)
                lines.append(f"{column.name}_id INTEGER NOT NULL REFERENCES {self.named(other)}({self.key(other)})")
            else:
                ending = "" if column.nullable else " NOT NULL"
                lines.append(f"{column.name} {_TYPES.get(column.kind, 'TEXT')}{ending}")
        return f"CREATE TABLE {self.named(table)} (\n  " + ",\n  ".join(lines) + "\n);"


def draw_schema(rng: Rng, least: int, most: int) -> Schema:
    """Some tables of a world, with all that they refer to, and with most of their columns."""
    while True:
        world = WORLDS[rng.integers(len(WORLDS))]
        wanted, chosen = int(rng.integers(least, most, endpoint=True)), set[str]()
        for index in rng.permutation(len(world)):
            closure = chosen | _with_parents(world, world[index])
            if len(closure) <= wanted:
                chosen = closure
        if len(chosen) >= least:
            break
    tables = [_some_columns(rng, table) for table in world if table.name in chosen]
    prefix = ("", "", f"{tables[0].one.replace(' ', '_')}_db_", "tbl_")[rng.integers(4)]
    return Schema(tuple(tables), prefix, bool(rng.integers(2)))


def _with_parents(world: Sequence[Table], table: Table) -> set[str]:
    found = {table.name}
    for reference in table.references:
        found |= _with_parents(world, next(other for other in world if other.name == reference.refers))
    return found


def _some_columns(rng: Rng, table: Table) -> Table:
    """The table, at times without one of its columns, the others in any order."""
    values = [column for column in table.values if not column.is_label]
    values = [values[i] for i in rng.permutation(len(values))]
    if len(values) > 2 and rng.random() < 0.4:
        values.pop()
    labels = [column for column in table.values if column.is_label]
    return Table(table.name, table.one, (*labels, *table.references, *values))


@dataclass(frozen=True)
class Contents:
    """What columns of a schema may hold: the same for each set of rows, so that a value is in all of them.

    Attributes:
        schema: The tables.
        pools: Values of columns of text, by table and column.
    """

    schema: Schema
    pools: Mapping[tuple[str, str], tuple[str, ...]]

    @classmethod
    def draw(cls, rng: Rng, schema: Schema) -> Contents:
        """Choose the values of columns of text."""
        pools = {
            (table.name, column.name): _pool(rng, column)
            for table in schema.tables
            for column in table.values
            if not column.is_number and column.kind not in ("year", "date")
        }
        return cls(schema, pools)

    def rows(self, rng: Rng) -> dict[str, list[Row]]:
        """A set of rows, by table: few of what others refer to, more of the others."""
        sizes: dict[str, int] = {}
        found: dict[str, list[Row]] = {}
        for table in self.schema.tables:
            refers = bool(table.references)
            sizes[table.name] = size = int(rng.integers(*((14, 24) if refers else (7, 12))))
            columns = [self._values(rng, table, column, size, sizes) for column in table.columns]
            found[table.name] = list(zip(range(1, size + 1), *columns, strict=True))
        return found

    def _values(self, rng: Rng, table: Table, column: Column, size: int, sizes: Mapping[str, int]) -> list[Any]:
        if column.refers:  # the last rows are never referred to
            return rng.integers(1, max(2, sizes[column.refers] - 1), size).tolist()
        if column.kind == "date":
            values: list[Any] = (_FIRST_DAY + rng.integers(_DAYS, size=size)).astype(str).tolist()
        elif column.kind == "money":
            values = (rng.integers(column.low * 4, column.high * 4, size, endpoint=True) / 4).tolist()
        elif column.kind in ("int", "year"):
            values = rng.integers(column.low, column.high, size, endpoint=True).tolist()
        else:
            pool = self.pools[table.name, column.name]
            values = [pool[i] for i in rng.integers(len(pool), size=size).tolist()]
        if column.nullable:
            values = [None if gone else v for v, gone in zip(values, rng.random(size) < _NULLS, strict=True)]
        return values


def _pool(rng: Rng, column: Column) -> tuple[str, ...]:
    """The values of a column of text; names may come twice, since people do not know each other's."""
    if column.kind == "word":
        return column.words
    if column.kind == "place" and column.name != "name":
        return tuple(PLACES[i] for i in rng.choice(len(PLACES), _POOL, replace=False))
    parts = {
        "person": (GIVEN_NAMES, FAMILY_NAMES),
        "title": (FIRM_NAMES, _CAPITALIZED),
        "firm": (FIRM_NAMES, FIRM_KINDS),
        "thing": (THINGS,),
        "place": (PLACES,),
    }[column.kind]
    picks = [rng.integers(len(part), size=24) for part in parts]
    return tuple(" ".join(part[i] for part, i in zip(parts, which, strict=True)) for which in zip(*picks, strict=True))


def insertions(tables: Mapping[str, Sequence[Row]]) -> str:
    """The statements that fill tables, by their names in the database."""
    return "\n".join(
        f"INSERT INTO {table} VALUES\n" + ",\n".join(f"({', '.join(map(literal, row))})" for row in rows) + ";"
        for table, rows in tables.items()
        if rows
    )


def literal(value: Any) -> str:
    """A value as SQL writes it."""
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        return f"X'{value.hex()}'"
    return repr(value)


def connect(schema: Schema, rows: Mapping[str, Sequence[Row]]) -> sqlite3.Connection:
    """A database in memory, for queries of our own."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for statement in schema.statements():
        connection.execute(statement["sql"])
    connection.execute("BEGIN")
    for table in schema.tables:
        places = ", ".join("?" * (1 + len(table.columns)))
        connection.executemany(f"INSERT INTO {schema.named(table)} VALUES ({places})", rows[table.name])
    connection.execute("COMMIT")
    return connection
