"""What a task may hold: JSON, and what is JSON once it is written in Python's own types.

An episode gets the same values wherever it runs, and a stored row gives them back. So values of NumPy become Python's,
tuples become lists, and what JSON cannot hold is refused with its place, rather than turned into something near it
that compares unequal in a verifier.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from datetime import date, time, timedelta
from enum import Enum
from typing import Any, cast

import numpy as np

from llmgym.errors import TaskError
from llmgym.messages import scrub

MAX_DEPTH = 100  # levels of objects and lists; a row of a rollout, which holds the task, may have 254
_SAME = frozenset({int, bool, type(None)})
_HINTS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    ((set, frozenset), "give a sorted list"),
    ((date, time, timedelta), "give text, such as that of isoformat()"),
    (Enum, "give its value"),
    ((bytes, bytearray, memoryview), "give text"),
    (numbers.Number, "give text or a number"),
)


class _Misfit(Exception):
    """Something that JSON cannot hold."""

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what)
        self.what, self.hint = what, hint
        self.path: list[str] = []  # from the inside


class _TooDeep(Exception):
    """Something has too many levels."""


def plain(value: Any, name: str) -> Any:
    """Write a value in the types of JSON: None, bool, int, float, str, list, dict.

    Args:
        value: It is not changed, and shares no list and no dict with the result.
        name: What it is, for the error, such as "the answer of a task".

    Returns:
        Equal data. NumPy's numbers and arrays are Python's, tuples are lists, text has no lone surrogates.

    Raises:
        TaskError: It holds something that JSON does not have, such as a set, a date or NaN, or is deeper than a row of
            a rollout can be; says where.
    """
    try:
        return _plain(value, 0)
    except _Misfit as misfit:
        place = "".join(reversed(misfit.path)).removeprefix(".")
        verb = f"has {misfit.what} at {place:.200}" if place else f"is {misfit.what}"
        raise TaskError(f"{name} {verb}, which JSON cannot hold: {misfit.hint}") from None
    except _TooDeep:
        raise TaskError(f"{name} has more than {MAX_DEPTH} levels: make it flatter, or give parts as text") from None


def _plain(value: Any, depth: int) -> Any:
    kind = type(value)
    if kind is str:
        return value if value.isascii() else scrub(value)
    if kind in _SAME:
        return value
    if kind is float:
        if math.isfinite(value):
            return value
        raise _Misfit(str(value), "give a number, or None where there is none")
    if depth >= MAX_DEPTH:
        raise _TooDeep
    if isinstance(value, Mapping):
        return _plain_object(cast("Mapping[Any, Any]", value), depth + 1)
    if isinstance(value, list | tuple):
        return _plain_list(cast("list[Any]", value), depth + 1)
    return _plain_scalar(value, depth)


def _plain_object(value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, item in value.items():
        if type(key) is not str or not key.isascii():
            if not isinstance(key, str):
                raise _Misfit(f"the key {key!r:.100}", "keys of objects are text")
            key = scrub(str.__str__(key))
        try:
            result[key] = _plain(item, depth)
        except _Misfit as misfit:
            misfit.path.append(f".{key}")
            raise
    return result


def _plain_list(value: list[Any] | tuple[Any, ...], depth: int) -> list[Any]:
    result: list[Any] = []
    for index, item in enumerate(value):
        try:
            result.append(_plain(item, depth))
        except _Misfit as misfit:
            misfit.path.append(f"[{index}]")
            raise
    return result


def _plain_scalar(value: Any, depth: int) -> Any:
    """A value of a type of its own."""
    if isinstance(value, str):
        return scrub(str.__str__(value))
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float | np.floating):
        return _plain(float(value), depth)
    if isinstance(value, np.generic | np.ndarray):
        found = value.tolist()
        if type(found) is not type(value):  # which a number of a type that Python has not stays
            return _plain(found, depth)
    name = type(value).__name__
    article = "an" if name[0] in "AEIOUaeiou" else "a"
    hint = next((hint for kinds, hint in _HINTS if isinstance(value, kinds)), "give text, a number, a list or a dict")
    raise _Misfit(f"{article} {name}", hint)
