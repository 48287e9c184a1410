"""What a task may hold."""

from __future__ import annotations

import datetime
import enum
import json
from collections import Counter, OrderedDict, deque, namedtuple
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from llmgym.errors import TaskError
from llmgym.tasks.copies import lazy_value
from llmgym.tasks.plain import MAX_DEPTH, plain
from tests.tasks.values import JSON

Point = namedtuple("Point", "x y")


class Colour(enum.Enum):
    RED = 1


class Text(enum.StrEnum):
    RED = "red"


class Number(enum.IntEnum):
    ONE = 1


def nested(levels: int, inside: Any = 1) -> Any:
    for _ in range(levels):
        inside = [inside]
    return inside


@given(JSON)
def test_json_stays_as_it_is_and_shares_nothing(value: Any) -> None:
    found = plain(value, "x")
    assert found == value
    assert repr(found) == repr(value)  # such as 1 and 1.0 and True
    if isinstance(value, dict | list):
        assert found is not value
    assert repr(plain(lazy_value(value), "x")) == repr(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.int64(3), 3),
        (np.uint8(3), 3),
        (np.float32(0.5), 0.5),
        (np.float64(0.5), 0.5),
        (np.longdouble(0.5), 0.5),
        (np.bool_(True), True),
        (np.str_("x"), "x"),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (np.array(3), 3),
        (np.array([0.5], np.longdouble), [0.5]),
        (np.array(["a", None], object), ["a", None]),
        ((1, (2, 3)), [1, [2, 3]]),
        (Point(1, 2), [1, 2]),
        (OrderedDict(a=1), {"a": 1}),
        (Counter("aa"), {"a": 2}),
        (MappingProxyType({"a": (1,)}), {"a": [1]}),
        ({np.str_("k"): np.int8(1)}, {"k": 1}),
        (Text.RED, "red"),
        (Number.ONE, 1),
        (10**40, 10**40),
        ("cut \ud83d", "cut \ufffd"),
        ({"\ud83d": ["\ud83d"]}, {"\ufffd": ["\ufffd"]}),
        (nested(MAX_DEPTH), nested(MAX_DEPTH)),
    ],
)
def test_what_is_json_in_other_types_is_written_in_pythons(value: Any, expected: Any) -> None:
    found = plain(value, "x")
    assert found == expected
    assert type(found) is type(expected)
    json.dumps(found)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (Fraction(1, 3), "x is a Fraction, which JSON cannot hold: give text or a number"),
        (Decimal("1.5"), "x is a Decimal, which JSON cannot hold: give text or a number"),
        (1j, "x is a complex, which JSON cannot hold: give text or a number"),
        (np.clongdouble(1j), "x is a clongdouble, which JSON cannot hold: give text or a number"),
        (datetime.date(2024, 1, 2), "x is a date, .*: give text, such as that of isoformat"),
        (datetime.datetime(2024, 1, 2), "x is a datetime, .*: give text, such as that of isoformat"),
        (np.datetime64("2024-01-02"), "x is a date, .*isoformat"),
        ({"b", "a"}, "x is a set, .*: give a sorted list"),
        (b"x", "x is a bytes, .*: give text"),
        (Colour.RED, "x is a Colour, .*: give its value"),
        (Path("x"), "x is a PosixPath, .*: give text, a number, a list or a dict"),
        (range(3), "x is a range, "),
        (deque([1]), "x is a deque, "),
        (object(), "x is an object, "),
        (float("nan"), "x is nan, .*: give a number, or None"),
        (np.float32("inf"), "x is inf, "),
        ({"a": [1, {"b": {1}}]}, r"x has a set at a\[1\].b, "),
        ((1, float("-inf")), r"x has -inf at \[1\], "),
        ({"graph": {0: [1]}}, "x has the key 0 at graph, which JSON cannot hold: keys of objects are text"),
        ({None: 1}, "x is the key None|x has the key None"),
        (nested(MAX_DEPTH + 1), f"x has more than {MAX_DEPTH} levels: make it flatter"),
        (nested(5000), f"x has more than {MAX_DEPTH} levels"),
    ],
)
def test_what_json_cannot_hold_is_named_with_its_place(value: Any, said: str) -> None:
    with pytest.raises(TaskError, match=f"^{said}"):
        plain(value, "x")


def test_what_holds_itself_is_too_deep() -> None:
    ring: list[Any] = []
    ring.append({"ring": ring})
    with pytest.raises(TaskError, match="levels"):
        plain(ring, "x")
