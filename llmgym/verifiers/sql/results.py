"""Whether two results of queries are the same."""

from __future__ import annotations

import time
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from llmgym.verifiers.values import canonical, close

Row = tuple[Hashable, ...]
_PERMUTED = 6  # columns, at most, whose order may be any
_TRIED = 200_000  # pairs of rows, where many that are nearly equal have the same first number


@dataclass(frozen=True, slots=True)
class Result:
    """What a query gave.

    Attributes:
        columns: How many columns.
        rows: The rows, of canonical values.
        complete: Whether these are all; no more are fetched than a comparison needs.
    """

    columns: int
    rows: list[Row]
    complete: bool = True

    @classmethod
    def of(cls, columns: int, rows: Sequence[Sequence[Any]], complete: bool = True) -> Result:
        """Take rows as a database gives them."""
        return cls(columns, [tuple(map(canonical, row)) for row in rows], complete)


def difference(
    found: Result, gold: Result, *, ordered: bool, any_columns: bool, as_sets: bool, tolerance: float, deadline: float
) -> str | None:
    """What sets a result apart, without the values of the gold one; None where they are the same.

    Args:
        found: The result.
        gold: The right one.
        ordered: Whether the order of rows counts.
        any_columns: Whether the columns may be in another order.
        as_sets: Whether duplicates do not count, nor the order.
        tolerance: Relative, for numbers that are not whole.
        deadline: On the clock of `time.monotonic`.

    Raises:
        TimeoutError: There are too many orders of columns, or pairs of rows, to try in time.
    """
    if found.columns != gold.columns:
        return f"it has {found.columns} columns, which is not as many as expected"
    if as_sets:
        found, gold = (Result(r.columns, list(dict.fromkeys(r.rows)), r.complete) for r in (found, gold))
        ordered = False
    if not found.complete or len(found.rows) != len(gold.rows):
        return "it has not as many rows as expected"
    orders = _orders(found, gold, tolerance) if any_columns else iter([tuple(range(gold.columns))])
    for order in orders:
        rows = [tuple(row[i] for i in order) for row in found.rows] if any_columns else found.rows
        if _same_rows(rows, gold.rows, ordered, tolerance):
            return None
        if time.monotonic() > deadline:
            raise TimeoutError
    return "the order of the rows, or what is in them, is not as expected" if ordered else "its rows differ"


def _orders(found: Result, gold: Result, tolerance: float) -> Iterator[tuple[int, ...]]:
    """The orders of the found columns in which each holds what the gold one holds; those of equal columns once."""
    if gold.columns > _PERMUTED:
        yield tuple(range(gold.columns))
        return
    columns = [[(row[i],) for row in found.rows] for i in range(gold.columns)]
    fits = [
        [i for i, column in enumerate(columns) if _same_bag(column, [(row[j],) for row in gold.rows], tolerance)]
        for j in range(gold.columns)
    ]

    def extend(order: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        if len(order) == gold.columns:
            yield order
            return
        tried: list[list[Row]] = []
        for i in fits[len(order)]:
            if i not in order and columns[i] not in tried:
                tried.append(columns[i])
                yield from extend((*order, i))

    yield from extend(())


def _same_rows(found: Sequence[Row], gold: Sequence[Row], ordered: bool, tolerance: float) -> bool:
    if ordered:
        return all(_same_row(one, other, tolerance) for one, other in zip(found, gold, strict=True))
    return _same_bag(found, gold, tolerance)


def _same_row(one: Row, other: Row, tolerance: float) -> bool:
    return one == other or all(close(a, b, tolerance) for a, b in zip(one, other, strict=True))


def _same_bag(found: Sequence[Row], gold: Sequence[Row], tolerance: float) -> bool:
    """Whether the rows are the same in some order: those that are equal cancel out, and few are left to be paired."""
    mine, theirs = Counter(found), Counter(gold)
    if mine == theirs:
        return True
    left, right = _by_kind(mine - theirs), _by_kind(theirs - mine)
    return left.keys() == right.keys() and all(_paired(left[kind], right[kind], tolerance) for kind in left)


def _by_kind(rows: Counter[Row]) -> dict[Row, list[list[float]]]:
    """The numbers of rows, by what else is in these."""
    kinds: dict[Row, list[list[float]]] = defaultdict(list)
    for row in rows.elements():
        numbers: list[float] = [value for value in row if isinstance(value, int | float)]
        kinds[tuple("number" if isinstance(v, int | float) else ("", v) for v in row)].append(numbers)
    return kinds


def _paired(left: list[list[float]], right: list[list[float]], tolerance: float) -> bool:
    """Whether each row of numbers has another one of its own that is close to it."""
    if len(left) != len(right) or not left[0]:
        return False
    for column in range(len(left[0])):  # sorted, what can be paired is paired: a check that is quick to fail
        mine, theirs = sorted(row[column] for row in left), sorted(row[column] for row in right)
        if not all(close(a, b, tolerance) for a, b in zip(mine, theirs, strict=True)):
            return False
    free = sorted(right)
    left_to_try = _TRIED
    for row in sorted(left):
        edge = abs(row[0]) * tolerance * 2
        first = bisect_left(free, [row[0] - edge])
        last = bisect_right(free, row[0] + edge, key=lambda numbers: numbers[0])
        at = next((i for i in range(first, last) if _same_row(tuple(row), tuple(free[i]), tolerance)), None)
        if at is None:
            return False
        left_to_try -= at - first
        if left_to_try < 0:
            raise TimeoutError
        del free[at]
    return True
