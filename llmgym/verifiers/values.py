"""Values of databases and of states, in a form in which equal ones are equal and can be counted."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from datetime import date, time
from decimal import Decimal
from typing import Any

_DIGITS = 9  # significant ones that make two numbers the same, where they are not both whole


def canonical(value: Any) -> Hashable:
    """The value as what it is equal to: 1 is 1.0, True and Decimal(1), a date is its ISO text, NaN is NaN.

    Whole numbers are exact, others have nine digits; text and bytes are exact; lists keep their order.

    Raises:
        RecursionError: It is nested too deeply, or in itself.
    """
    kind = type(value)
    if kind is str or kind is int or value is None:
        return value
    if kind is float or kind is bool or isinstance(value, int | float | Decimal):
        return _number(value)
    if isinstance(value, str | bytes):
        return value
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    if isinstance(value, date | time):
        return str(value)  # a date and a time with a blank between them, as databases have it
    if isinstance(value, Mapping):
        return ("{}", frozenset((str(name), canonical(part)) for name, part in value.items()))
    if isinstance(value, list | tuple):
        return ("[]", tuple(map(canonical, value)))
    if isinstance(value, set | frozenset):
        return ("set", frozenset(map(canonical, value)))
    return str(value)


def _number(value: float | Decimal) -> Hashable:
    if not math.isfinite(value):
        return ("number", str(float(value)))
    if value == int(value):
        return int(value)
    return float(f"{value:.{_DIGITS}g}")


def close(one: Any, other: Any, tolerance: float) -> bool:
    """Whether two canonical values are equal, numbers of which one is not whole within a relative tolerance."""
    if one == other:
        return True
    if not isinstance(one, int | float) or not isinstance(other, int | float):
        return False
    if isinstance(one, int) and isinstance(other, int):
        return False
    return math.isclose(one, other, rel_tol=tolerance)
