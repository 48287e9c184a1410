"""Kinds of questions: each draws a query, and says it in English."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from llmgym.envs.text_to_sql.phrases import Joined, NoDraft, Path, Scene
from llmgym.envs.text_to_sql.selects import Condition, Join, Select
from llmgym.envs.text_to_sql.worlds import Column, Table
from llmgym.envs.vocabulary import listed

_GIVE = ("Give", "List", "Show", "Find", "Return")


@dataclass(frozen=True)
class Draft:
    """A question and its query.

    Attributes:
        text: The question.
        query: The query.
        wrong: What a careless reader might ask instead.
    """

    text: str
    query: Select
    wrong: tuple[Select, ...] = ()


Kind = Callable[[Scene], Draft]


def named(scene: Scene, table: Table) -> tuple[list[str], list[str]]:
    """Columns that tell which row it is, in SQL and in English: its key, and its name where it has one."""
    columns = [scene.schema.key_of(table)]
    said = ["the id"]
    if label := next((c for c in table.values if c.is_label), None):
        columns.append(scene.schema.column(table, label))
        said.append(f"the {label.noun}")
    return columns, said


def entity(scene: Scene) -> tuple[Table, Table, Column]:
    """A table that others refer to, one that does, and by which column."""
    pairs = [(table, *child) for table in scene.schema.tables for child in scene.schema.children(table)]
    return scene.pick(pairs)


def _output(scene: Scene, table: Table, taken: list[Column], most: int) -> tuple[list[str], list[str]]:
    free = [c for c in table.values if c not in taken]
    count = int(scene.rng.integers(1, most, endpoint=True))
    chosen = [free[i] for i in scene.rng.permutation(len(free))[:count]]
    if not chosen:
        raise NoDraft
    return [scene.schema.column(table, c) for c in chosen], [c.noun for c in chosen]


def listing(scene: Scene) -> Draft:
    """Columns of the rows of one table with a condition or two."""
    table = scene.pick(scene.schema.tables)
    found, columns = of_itself(scene, table, int(scene.rng.integers(1, 3)))
    names, said = _output(scene, table, columns, 2)
    what = listed([f"the {noun}" for noun in said])
    text = scene.pick(
        (
            f"{scene.pick(_GIVE)} {what} of all {table.many}{found.said}.",
            f"For all {table.many}{found.said}, {scene.pick(_GIVE).lower()} {what}.",
        )
    )
    return Draft(text, Select(tuple(names), scene.schema.named(table), where=found.where))


def of_itself(scene: Scene, table: Table, count: int) -> tuple[Joined, list[Column]]:
    """Conditions on a table itself, and the columns that they take."""
    where: list[Condition] = []
    taken: list[Column] = []
    for _ in range(count):
        condition, column = scene.condition(Path(table), taken)
        where.append(condition)
        taken.append(column)
    return Joined(where=tuple(where)), taken


def counting(scene: Scene) -> Draft:
    """How many rows of one table there are."""
    table = scene.pick(scene.schema.tables)
    found, _ = of_itself(scene, table, int(scene.rng.integers(1, 3)))
    text = scene.pick((f"How many {table.many} are there{found.said}?", f"Count the {table.many}{found.said}."))
    return Draft(text, Select(("COUNT(*)",), scene.schema.named(table), where=found.where))


def aggregating(scene: Scene) -> Draft:
    """An aggregate over rows of one table."""
    table = scene.pick(scene.schema.tables)
    found, taken = of_itself(scene, table, 1)
    sql, said = scene.aggregate(Path(table), taken)
    asked = scene.pick(("What is {}?", "Find {}.", "Calculate {}."))
    text = asked.format(f"{said} of the {table.many}{found.said}")
    return Draft(text, Select((sql,), scene.schema.named(table), where=found.where))


def joined_listing(scene: Scene) -> Draft:
    """Columns of rows and of what they refer to."""
    _, table, _ = entity(scene)
    found, columns = scene.conditions(table, 2)
    path = scene.pick([path for path in scene.unambiguous_paths(table) if path.far])
    names, said = _output(scene, path.table, columns, 1)
    own = scene.schema.key_of(table)
    query = Select((own, *names), scene.schema.named(table), found.with_path(path).joins, found.where)
    what = f"the id and the {path.owner}{said[0]}"
    text = scene.pick(
        (
            f"For all {table.many}{found.said}, {scene.pick(_GIVE).lower()} {what}.",
            f"{scene.pick(_GIVE)} {what} of all {table.many}{found.said}.",
        )
    )
    return Draft(text, query)


def joined_aggregating(scene: Scene) -> Draft:
    """A count or an aggregate over joined rows."""
    _, table, _ = entity(scene)
    found, taken = scene.conditions(table, 2)
    if not found.joins:
        raise NoDraft
    if scene.chance(0.5):
        text, sql = f"How many {table.many} are there{found.said}?", "COUNT(*)"
    else:
        sql, said = scene.aggregate(Path(table), taken)
        text = f"What is {said} of the {table.many}{found.said}?"
    return Draft(text, Select((sql,), scene.schema.named(table), found.joins, found.where))


def grouped(scene: Scene) -> Draft:
    """A count or an aggregate for each value of a column, own or of what rows refer to."""
    table = scene.pick(scene.schema.tables)
    found, taken = scene.conditions(table, 1)
    path = scene.pick(scene.unambiguous_paths(table))
    by = scene.pick([c for c in path.table.values if c.kind in ("word", "place") and not c.nullable and c not in taken])
    column = scene.column(path, by)
    if scene.chance(0.5):
        sql, said = "COUNT(*)", f"the number of these {table.many}"
    else:
        sql, said = scene.aggregate(Path(table), taken)
    query = Select((column, sql), scene.schema.named(table), found.with_path(path).joins, found.where, (column,))
    whose, give = f"{path.owner}{by.noun}", scene.pick(_GIVE).lower()
    text = scene.pick(
        (
            f"Of the {table.many}{found.said}, {give} for each {whose} that occurs the {by.noun} and {said}.",
            f"Take the {table.many}{found.said}. Per {whose} that occurs among them, {give} the {by.noun} and {said}.",
        )
    )
    return Draft(text, query)


def per_parent(scene: Scene) -> Draft:
    """A count or an aggregate for each row that others refer to."""
    parent, child, reference = entity(scene)
    found, taken = of_itself(scene, child, 1)
    names, said = named(scene, parent)
    if scene.chance(0.5):
        sql, what = "COUNT(*)", f"the number of these {child.many}"
    else:
        sql, what = scene.aggregate(Path(child), taken)
        what = f"{what} of these {child.many}"
    join = Join(scene.schema.named(child), scene.schema.key_of(parent), scene.schema.column(child, reference))
    query = Select((*names, sql), scene.schema.named(parent), (join,), found.where, tuple(names))
    give = scene.pick(_GIVE).lower()
    text = (
        f"For each {parent.one} with {child.many}{found.said}, {give} {listed([*said, what])}. "
        f"Leave out {parent.many} without such {child.many}."
    )
    return Draft(text, query)


def top(scene: Scene) -> Draft:
    """The first few rows by a number or a date."""
    table = scene.pick(scene.schema.tables)
    found, taken = scene.conditions(table, 1)
    by = scene.pick(
        [c for c in table.values if (c.is_number or c.kind == "date") and not c.nullable and c not in taken]
    )
    count, down = int(scene.rng.integers(2, 5)), scene.chance(0.6)
    key, order = scene.schema.key_of(table), scene.schema.column(table, by)
    query = Select(
        (key, order), scene.schema.named(table), found.joins, found.where,
        order=((order, down), (key, False)), limit=count,
    )  # fmt: skip
    late = by.kind == "date"
    word = ("latest" if late else "highest") if down else ("earliest" if late else "lowest")
    text = (
        f"Which {count} {table.many} have the {word} {by.noun}, of the {table.many}{found.said}? Give the id and the "
        f"{by.noun}, the {word} first; of equal ones the lower id comes first."
    )
    return Draft(text, query)


def different(scene: Scene) -> Draft:
    """The different values of a column of what rows refer to."""
    table = scene.pick([table for table in scene.schema.tables if table.references])
    path = scene.pick([path for path in scene.unambiguous_paths(table) if path.far])
    column = scene.pick([c for c in path.table.values if c.kind in ("word", "place") and not c.is_label])
    found, _ = scene.conditions(table, 1, [column])
    name = scene.column(path, column)
    query = Select((name,), scene.schema.named(table), found.with_path(path).joins, found.where, distinct=True)
    text = f"Which different values does the {path.owner}{column.noun} have among the {table.many}{found.said}?"
    return Draft(text + " Give each once.", query)


EASY: tuple[Kind, ...] = (listing, listing, counting, aggregating)
MEDIUM: tuple[Kind, ...] = (joined_listing, joined_aggregating, grouped, per_parent, top, different)
