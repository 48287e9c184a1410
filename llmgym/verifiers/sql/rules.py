"""What a text-to-SQL task must be for its verdicts to mean something; checked when tasks are built."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any

from llmgym.errors import MissingExtraError, TaskError
from llmgym.verifiers.sql.databases import Database, QueryError
from llmgym.verifiers.sql.results import Result, difference

#: Rows of a right result.
MAX_ROWS = 10_000
_SECONDS = 5.0
_LUCK = ("rand", "random", "randomblob", "uuid", "gen_random_uuid")
_CLOCK = ("now", "today", "current_date", "current_time", "current_timestamp", "currentdate", "currenttime",
          "currenttimestamp", "get_current_timestamp")  # fmt: skip
_SQLITE_DATES = ("date", "time", "datetime", "julianday", "unixepoch", "strftime", "timediff")


class InvalidQuery(ValueError):
    """A right query is none."""


@lru_cache(4096)
def is_ordered(query: str, dialect: str) -> bool:
    """Whether the rows of a right query have an order: ORDER BY at its top level, by something that is no constant.

    Raises:
        InvalidQuery: It cannot be parsed.
        MissingExtraError: sqlglot is not installed.
    """
    return bool(_order_keys(_parsed(query, dialect)))


def prove(reference: str, *, databases: Sequence[Database], wrong: Sequence[str] = ()) -> None:
    """Prove that the right query of a task tells right from wrong.

    It runs on all databases and gives something, which is not the same on all; its order is one, and nothing in it is a
    matter of luck or of the clock; no simple mistake gives the same: a condition dropped, another aggregate.

    Args:
        reference: The query.
        databases: What it is checked on.
        wrong: More queries that must be told apart from it.

    Raises:
        TaskError: It does not; says all that is wrong.
        MissingExtraError: sqlglot is not installed.
    """
    if found := problems(reference, databases=databases, wrong=wrong):
        raise TaskError(f"the right query {reference[:200]!r}: {'; '.join(found)}")


def problems(reference: str, *, databases: Sequence[Database], wrong: Sequence[str] = ()) -> list[str]:
    """What is wrong with the right query of a task, in sentences; see `prove`."""
    try:
        tree = _parsed(reference, databases[0].dialect)
        gold = [database.run(reference, max_rows=MAX_ROWS, seconds=_SECONDS) for database in databases]
    except (InvalidQuery, QueryError) as error:
        return [f"it does not run: {error}"]
    found: list[str] = []
    if len(databases) < 2:
        found.append("there is one database, so that a constant passes: give two that differ")
    elif _same(gold[1:], gold[:1] * (len(gold) - 1), ordered=False):
        found.append("its result is the same on all databases, so that a constant passes")
    if any(not result.rows or all(cell is None for row in result.rows for cell in row) for result in gold):
        found.append("its result is empty on one of the databases, which many wrong queries give")
    if any(not result.complete for result in gold):
        found.append(f"its result has more than {MAX_ROWS:,} rows")
    found += _chances(tree)
    ordered = bool(_order_keys(tree))
    found += _limits(tree)
    if ordered and not _untied(tree, databases):
        found.append("rows that its ORDER BY does not tell apart could stand in another order: order by more")
    if not found:
        variants = [*_variants(tree, databases[0].dialect), *((query, f"{query!r}") for query in wrong)]
        found += [
            f"{what} gives the same result" for query, what in variants if _alike(query, gold, databases, ordered)
        ]
    return found


def _exp() -> Any:
    try:
        from sqlglot import exp
    except ImportError:
        raise MissingExtraError("asking whether a right query has an order", "verifiers") from None
    return exp


def _parsed(query: str, dialect: str) -> Any:
    """The query as sqlglot has it, whose types are of no help here."""
    exp = _exp()
    import sqlglot
    from sqlglot.errors import SqlglotError

    try:
        tree = sqlglot.parse_one(query, read=dialect)
    except (SqlglotError, RecursionError, ValueError) as error:
        raise InvalidQuery(f"sqlglot does not read it: {type(error).__name__}: {error}") from None
    if not isinstance(tree, exp.Query):
        raise InvalidQuery(f"it is no query but {tree.key}")
    return tree


def _order_keys(tree: Any) -> list[Any]:
    """What the rows are ordered by; a number names a column, other constants order nothing."""
    exp = _exp()
    order = tree.args.get("order")
    keys = [] if order is None else order.expressions
    return [key for key in keys if _names_column(key.this) or not isinstance(key.this, exp.Literal | exp.Null)]


def _names_column(key: Any) -> bool:
    return isinstance(key, _exp().Literal) and not key.is_string


def _chances(tree: Any) -> list[str]:
    """Functions that depend on chance or on the clock."""
    exp = _exp()
    found: list[str] = []
    for node in tree.find_all(exp.Func, exp.Column):
        name = (node.name if isinstance(node, exp.Anonymous | exp.Column) else node.key).lower()
        if isinstance(node, exp.Func) and name in _LUCK:
            found.append(f"it uses {name}, so that its result is a matter of luck")
        elif name in _CLOCK and not (isinstance(node, exp.Column) and node.args.get("table")):
            found.append(f"it uses {name}, so that its result changes with time")
    if any(literal.is_string and literal.this.lower() == "now" for literal in tree.find_all(exp.Literal)):
        found.append("it uses 'now', so that its result changes with time")
    return found


def _limits(tree: Any) -> list[str]:
    """LIMIT without ORDER BY, wherever it stands."""
    selects = tree.find_all(_exp().Query)
    loose = any(select.args.get("limit") and not _order_keys(select) for select in selects)
    return ["it has LIMIT without ORDER BY, so that any rows would do"] if loose else []


def _untied(tree: Any, databases: Sequence[Database]) -> bool:
    """Whether the order is one: with ties broken by all columns, upwards and downwards, the rows are the same."""
    exp = _exp()
    for database in databases:
        results: list[Result] = []
        width = database.run(tree.sql(database.dialect), max_rows=1, seconds=_SECONDS).columns
        for descending in (False, True):
            broken = tree.copy()
            ties = [exp.Ordered(this=exp.Literal.number(i + 1), desc=descending) for i in range(width)]
            broken.args["order"].set("expressions", [*broken.args["order"].expressions, *ties])
            try:
                results.append(database.run(broken.sql(database.dialect), max_rows=MAX_ROWS, seconds=_SECONDS))
            except QueryError:
                return False
        if not _same(results[:1], results[1:], ordered=True):
            return False
    return True


def _variants(tree: Any, dialect: str) -> Iterator[tuple[str, str]]:
    """Simple mistakes: a condition dropped, another aggregate, the other direction; each as a query and in words."""
    exp = _exp()
    swaps = {exp.Sum: exp.Avg, exp.Avg: exp.Sum, exp.Min: exp.Max, exp.Max: exp.Min}

    def changed(index: int, change: Callable[[Any], object]) -> str:
        copy = exp.Subquery(this=tree.copy())  # so that the top itself can be replaced
        change(next(node for at, node in enumerate(copy.this.walk()) if at == index))
        return copy.this.sql(dialect)

    for index, node in enumerate(tree.walk()):
        if isinstance(node, exp.Where | exp.Having):
            yield changed(index, lambda twin: twin.pop()), f"without its {node.key.upper()} it"
        elif isinstance(node, exp.And):
            yield changed(index, lambda twin: twin.replace(twin.left)), f"without {node.right.sql(dialect)!r} it"
            yield changed(index, lambda twin: twin.replace(twin.right)), f"without {node.left.sql(dialect)!r} it"
        elif isinstance(node, exp.Ordered) and node.parent is tree.args.get("order"):
            reverse = changed(index, lambda twin: twin.set("desc", not twin.args.get("desc")))
            yield reverse, f"with {node.this.sql(dialect)!r} ordered the other way it"
        elif other := swaps.get(type(node)):
            swap = changed(index, lambda twin, other=other: twin.replace(other(this=twin.this)))
            yield swap, f"with {other.__name__.upper()} for {node.key.upper()} it"


def _alike(query: str, gold: Sequence[Result], databases: Sequence[Database], ordered: bool) -> bool:
    """Whether a wrong query gives what the right one gives on all databases; one that does not run does not."""
    try:
        results = [
            database.run(query, max_rows=len(right.rows), seconds=_SECONDS)
            for database, right in zip(databases, gold, strict=True)
        ]
        return _same(results, gold, ordered)
    except (QueryError, TimeoutError):
        return False


def _same(found: Sequence[Result], gold: Sequence[Result], ordered: bool) -> bool:
    return all(
        difference(one, other, ordered=ordered, any_columns=False, as_sets=False, tolerance=1e-6, deadline=float("inf"))
        is None
        for one, other in zip(found, gold, strict=True)
    )
