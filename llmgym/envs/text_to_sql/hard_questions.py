"""Hard kinds of questions: rows without partners, groups with conditions, queries in queries, windows."""

from __future__ import annotations

from llmgym.envs.text_to_sql.phrases import NoDraft, Path, Scene
from llmgym.envs.text_to_sql.questions import Draft, Kind, entity, named, of_itself
from llmgym.envs.text_to_sql.selects import Condition, Join, Select
from llmgym.envs.text_to_sql.worlds import Column, Table
from llmgym.envs.vocabulary import listed


def _partners(scene: Scene, parent: Table, child: Table, reference: Column, where: tuple[Condition, ...]) -> Select:
    """The rows of a child that refer to the row of a parent."""
    own = Condition(scene.schema.column(child, reference), "=", scene.schema.key_of(parent))
    return Select(("1",), scene.schema.named(child), where=(own, *where))


def with_zero(scene: Scene) -> Draft:
    """How many partners each row has, none included."""
    parent, child, reference = entity(scene)
    found, _ = of_itself(scene, child, 1)
    names, said = named(scene, parent)
    schema = scene.schema
    join = Join(schema.named(child), schema.key_of(parent), schema.column(child, reference), True, found.where)
    query = Select((*names, f"COUNT({schema.key_of(child)})"), schema.named(parent), (join,), group=tuple(names))
    text = (
        f"For every {parent.one}, give {listed([*said, f'the number of {parent.its} {child.many}'])}{found.said}; "
        f"it is 0 for {parent.many} without any."
    )
    return Draft(text, query)


def without(scene: Scene) -> Draft:
    """Rows without a partner that fulfils a condition."""
    parent, child, reference = entity(scene)
    found, _ = of_itself(scene, child, 1)
    names, said = named(scene, parent)
    own, _ = of_itself(scene, parent, 1) if scene.chance(0.5) else (None, None)
    partners = Condition("", "NOT EXISTS", _partners(scene, parent, child, reference, found.where))
    where = (*(own.where if own else ()), partners)
    query = Select(tuple(names), scene.schema.named(parent), where=where)
    whose = f"{own.said}, and which" if own else " that"
    text = f"Give {listed(said)} of all {parent.many}{whose} have no {child.many}{found.said}."
    return Draft(text, query)


def both(scene: Scene) -> Draft:
    """Rows with partners of two sorts."""
    parent, child, reference = entity(scene)
    words = [c for c in child.values if c.kind in ("word", "place") and not c.nullable and not c.is_label]
    column = scene.pick(words)
    values = sorted(set(scene.values(child, column)))
    one = scene.pick(values)
    other = scene.pick([value for value in values if value != one])
    names, said = named(scene, parent)
    name = scene.schema.column(child, column)
    exist = tuple(
        Condition("", "EXISTS", _partners(scene, parent, child, reference, (Condition(name, "=", f"'{value}'"),)))
        for value in (one, other)
    )
    text = (
        f'Which {parent.many} have both {child.many} whose {column.noun} is "{one}" and {child.many} whose '
        f'{column.noun} is "{other}"? Give {listed(said)}.'
    )
    return Draft(text, Select(tuple(names), scene.schema.named(parent), where=exist))


def having(scene: Scene) -> Draft:
    """Groups of which there are enough, or whose total is high enough."""
    parent, child, reference = entity(scene)
    found, taken = scene.conditions(child, 1)
    if any(join.table == scene.schema.named(parent) for join in found.joins):
        raise NoDraft
    names, said = named(scene, parent)
    join = Join(scene.schema.named(child), scene.schema.key_of(parent), scene.schema.column(child, reference))
    if scene.chance(0.5):
        least = int(scene.rng.integers(2, 4))
        condition = Condition("COUNT(*)", ">=", str(least))
        text = f"Which {parent.many} have at least {least} {child.many}{found.said}? "
        result, what = "COUNT(*)", f"the number of these {child.many}"
    else:
        column = scene.pick([c for c in child.values if c.is_number and c not in taken])
        total = f"SUM({scene.schema.column(child, column)})"
        edge = round(2.2 * sum(scene.values(child, column)) / max(1, len(scene.rows[child.name])))
        condition = Condition(total, ">", str(edge))
        text = (
            f"For which {parent.many} is the total {column.noun} of their {child.many}{found.said} more than {edge}? "
        )
        result, what = total, "the total"
    joins = (join, *found.joins)
    query = Select((*names, result), scene.schema.named(parent), joins, found.where, tuple(names), (condition,))
    return Draft(f"{text}Give {listed([*said, what])}.", query)


def above_average(scene: Scene) -> Draft:
    """Rows above the average of all, or of their own sort."""
    table = scene.pick(scene.schema.tables)
    column = scene.pick([c for c in table.values if c.is_number])
    sorts = [c for c in table.values if c.kind in ("word", "place") and not c.nullable and not c.is_label]
    sql, name, alias = scene.schema.column(table, column), scene.schema.named(table), "others"
    word, operator = (("above", ">"), ("below", "<"))[scene.rng.integers(2)]
    average = Select((f"AVG({alias}.{column.name})",), f"{name} AS {alias}")
    whom = f"all {table.many}"
    if sorts and scene.chance(0.7):
        by = scene.pick(sorts)
        same = Condition(f"{alias}.{by.name}", "=", scene.schema.column(table, by))
        average = Select(average.columns, average.source, where=(same,))
        whom = f"the {table.many} of the same {by.noun}"
    query = Select((scene.schema.key_of(table), sql), name, where=(Condition(sql, operator, average),))
    noun = column.noun
    text = f"Give the id and the {noun} of the {table.many} whose {noun} is {word} the average {noun} of {whom}."
    return Draft(text, query)


def best_of_each(scene: Scene) -> Draft:
    """The best rows of each group, by a window."""
    table = scene.pick(scene.schema.tables)
    path = scene.pick(scene.unambiguous_paths(table)[:3])
    by = scene.pick([c for c in path.table.values if c.kind in ("word", "place") and not c.nullable and not c.is_label])
    column = scene.pick([c for c in table.values if (c.is_number or c.kind == "date") and not c.nullable])
    found, _ = scene.conditions(table, 1, [by, column])
    group, value, key = scene.column(path, by), scene.schema.column(table, column), scene.schema.key_of(table)
    down = scene.chance(0.6)
    late = column.kind == "date"
    word = ("latest" if late else "highest") if down else ("earliest" if late else "lowest")
    rank = f"RANK() OVER (PARTITION BY {group} ORDER BY {value}{' DESC' if down else ''}) AS place"
    joins = found.with_path(path).joins
    ranked = Select((f"{group} AS sort", f"{key} AS item", f"{value} AS best", rank), scene.schema.named(table), joins,
                    found.where)  # fmt: skip
    query = Select(("sort", "item", "best"), ranked, where=(Condition("place", "=", "1"),))
    other = rank.replace(" DESC", "") if down else rank.replace(") AS", " DESC) AS")
    wrong = Select(query.columns, Select((*ranked.columns[:3], other), ranked.source, joins, found.where),
                   where=query.where)  # fmt: skip
    text = (
        f"Of the {table.many}{found.said}, which have the {word} {column.noun} among those of the same "
        f"{path.owner}{by.noun}? Give that {by.noun}, the id and the {column.noun}; several where they are equal."
    )
    return Draft(text, query, (wrong,))


def running_total(scene: Scene) -> Draft:
    """Totals up to each row, by a window."""
    tables = [t for t in scene.schema.tables if t.references and any(c.kind == "date" for c in t.values)]
    table = scene.pick(tables)
    column = scene.pick([c for c in table.values if c.is_number and not c.nullable])
    day = scene.pick([c for c in table.values if c.kind == "date" and not c.nullable])
    reference = scene.pick(table.references)
    schema, key = scene.schema, scene.schema.key_of(table)
    group, value = schema.column(table, reference), schema.column(table, column)
    window = f"SUM({value}) OVER (PARTITION BY {group} ORDER BY {schema.column(table, day)}, {key})"
    query = Select((key, f"{window} AS running"), schema.named(table))
    wrong = Select((key, f"SUM({value}) OVER (PARTITION BY {group}) AS running"), schema.named(table))
    text = (
        f"For each of the {table.many}, give the id and the running total of the {column.noun}: that of all "
        f"{table.many} of the same {reference.noun} up to and including this one, by {day.noun}, and by id where that "
        "is equal."
    )
    if scene.chance(0.6):
        found, _ = of_itself(scene, table, 1)
        inner = Select((f"{key} AS item", f"{window} AS running", *(c.left for c in found.where)), schema.named(table))
        query = Select(("item", "running"), inner, where=tuple(_bare(c) for c in found.where))
        wrong = Select((key, f"{window} AS running"), schema.named(table), where=found.where)
        text += f" Count all {table.many} into the totals, but give only those{found.said}."
    return Draft(text, query, (wrong,))


def _bare(condition: Condition) -> Condition:
    """The condition on the column of a subquery."""
    return Condition(condition.left.rpartition(".")[2], condition.operator, condition.right)


def far_groups(scene: Scene) -> Draft:
    """Totals by what rows refer to over two steps, the greatest first."""
    table = scene.pick([table for table in scene.schema.tables if table.references])
    path = scene.pick([path for path in scene.unambiguous_paths(table) if len(path.joins) > 1])
    by = scene.pick([c for c in path.table.values if c.kind in ("word", "place") and not c.nullable])
    column = scene.pick([c for c in table.values if c.is_number])
    found, _ = scene.conditions(table, 1, [by, column])
    group, total = scene.column(path, by), f"SUM({scene.schema.column(table, column)})"
    least = int(scene.rng.integers(2, 4))
    query = Select(
        (group, total), scene.schema.named(table), found.with_path(path).joins, found.where, (group,),
        (Condition("COUNT(*)", ">=", str(least)),), ((total, True), (group, False)),
    )  # fmt: skip
    text = (
        f"For each {path.owner}{by.noun} with at least {least} {table.many}{found.said}, give the {by.noun} and the "
        f"total {column.noun} of these {table.many}, the greatest total first, equal totals by {by.noun} "
        "alphabetically."
    )
    return Draft(text, query)


def share(scene: Scene) -> Draft:
    """The share of rows with something, in each group."""
    parent, child, reference = entity(scene)
    found, _ = scene.condition(Path(child))
    names, said = named(scene, parent)
    schema = scene.schema
    join = Join(schema.named(child), schema.key_of(parent), schema.column(child, reference))
    case = f"AVG(CASE WHEN {found.sql()} THEN 1.0 ELSE 0.0 END)"
    least = Condition("COUNT(*)", ">=", "2")
    query = Select((*names, case), schema.named(parent), (join,), group=tuple(names), having=(least,))
    text = (
        f"For each {parent.one} with at least 2 {child.many}, give {listed([*said, 'the share'])} of {parent.its} "
        f"{child.many} {found.said} (from 0 to 1, not rounded)."
    )
    return Draft(text, query)


HARD: tuple[Kind, ...] = (
    with_zero, without, both, having, above_average, best_of_each, running_total, far_groups, share
)  # fmt: skip
