"""Trees of JSON: read without guessing, and compared leaf by leaf."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from itertools import zip_longest
from typing import Any, NamedTuple

from llmgym.verifiers.matching import match

#: Levels of lists and objects in one another that are read.
MAX_DEPTH = 100

_ABSENT: Any = object()


def read_json(text: str) -> Any:
    """Read JSON text exactly: whole numbers keep their digits, and no key comes twice.

    Raises:
        ValueError: It is no JSON, or such that readers disagree on it, or nested too deeply.
    """
    try:
        found = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError(_DEEP) from None
    return check_tree(found)


_DEEP = f"nested more than {MAX_DEPTH} levels deep"


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key comes twice")
    return found


def check_tree(value: Any) -> Any:
    """Return a value that is a tree of JSON.

    Raises:
        ValueError: It is none, or nested too deeply.
    """
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        if not level:
            return value
        level = [child for parent in level for child in _children(parent)]
    raise ValueError(_DEEP)


def _children(value: Any) -> Iterator[Any]:
    """What a list or object holds, if it and its keys are of JSON."""
    if isinstance(value, dict):
        for key in value:
            _check_text(key)
        yield from value.values()
    elif isinstance(value, list):
        yield from value
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError("a number is too large, or none")
    elif value is not None and not isinstance(value, bool | int):
        _check_text(value)


def _check_text(value: Any) -> None:
    if not isinstance(value, str):
        raise ValueError(f"{type(value).__name__} is no type of JSON, or none of its keys")  # noqa: TRY004
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("half a surrogate pair") from None


class Agreement(NamedTuple):
    """How far two trees agree: of how many leaves, how many are alike."""

    alike: int
    leaves: int

    @property
    def full(self) -> bool:
        """Whether they are equal."""
        return self.alike == self.leaves


def agree(
    value: Any,
    expected: Any,
    *,
    tolerance: float = 0.0,
    ordered: bool = True,
    fold: Callable[[str], str] = str,
) -> Agreement:
    """Compare trees of JSON. A bool is no number, and 1.0 is 1.

    Args:
        value: What was found. Leaves that are too many count, too.
        expected: What is right. An empty list or object is a leaf.
        tolerance: How far numbers may be off, as a share of the expected one.
        ordered: Whether the order of lists counts.
        fold: What is compared of texts.
    """

    def same(value: Any, expected: Any) -> bool:
        return same_leaf(value, expected, tolerance, fold)

    return _agree(value, expected, same, ordered)


_Same = Callable[[Any, Any], bool]


def _agree(value: Any, expected: Any, same: _Same, ordered: bool) -> Agreement:
    if isinstance(expected, dict) and isinstance(value, dict) and (expected or value):
        pairs = [(value.get(key, _ABSENT), expected.get(key, _ABSENT)) for key in expected | value]
    elif isinstance(expected, list) and isinstance(value, list) and (expected or value):
        if not ordered:
            return _agree_unordered(value, expected, same)
        pairs = list(zip_longest(value, expected, fillvalue=_ABSENT))
    elif expected is _ABSENT or value is _ABSENT:
        return Agreement(0, count_leaves(value if expected is _ABSENT else expected))
    else:
        return Agreement(1, 1) if same(value, expected) else Agreement(0, count_leaves(expected))
    found = [_agree(one, other, same, ordered) for one, other in pairs]
    return Agreement(sum(one.alike for one in found), sum(one.leaves for one in found))


def _agree_unordered(value: list[Any], expected: list[Any], same: _Same) -> Agreement:
    """Compare lists whose elements stand beside those that they equal, as many as can be, and the rest as they come."""
    near = value if len(value) <= 2 * len(expected) + 1 else []  # to compare a list that is all there is takes long
    table = [[_agree(one, other, same, ordered=False) for one in near] for other in expected]
    partners = match([[at for at, one in enumerate(row) if one.full] for row in table])
    found = [row[at] for row, at in zip(table, partners, strict=True) if at is not None]
    taken = set(partners)
    rest = iter([at for at in range(len(value)) if at not in taken])
    for row, other, partner in zip(table, expected, partners, strict=True):
        if partner is None:
            at = next(rest, None)
            found.append(row[at] if near and at is not None else Agreement(0, count_leaves(other)))
    found += [Agreement(0, count_leaves(value[at])) for at in rest]
    return Agreement(sum(one.alike for one in found), sum(one.leaves for one in found))


def count_leaves(value: Any) -> int:
    """How many leaves a tree has; an empty list or object is one."""
    if isinstance(value, dict | list) and value:
        return sum(map(count_leaves, value.values() if isinstance(value, dict) else value))
    return 1


def same_leaf(value: Any, expected: Any, tolerance: float, fold: Callable[[str], str] = str) -> bool:
    """Whether two leaves are equal, numbers within a share of the expected one, and texts where they are folded."""
    if isinstance(value, str) and isinstance(expected, str):
        return value == expected or fold(value) == fold(expected)
    if _is_number(value) and _is_number(expected):
        try:
            return value == expected or abs(value - expected) <= tolerance * abs(expected)
        except OverflowError:
            return False
    return type(value) is type(expected) and value == expected


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
