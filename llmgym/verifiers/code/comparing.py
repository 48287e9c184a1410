"""When what a program gave is what is right: values of functions, and what programs print."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from llmgym.verifiers.matching import match

_ABSOLUTE = 1e-9  # by which a number may be off that should be 0.0
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")


def same_value(given: Any, right: Any, tolerance: float) -> bool:
    """Whether a value that the runner told is the right one.

    Args:
        given: As the runner encodes it: `{"set": [...]}` and `{"dict": [[key, value], ...]}` are its only objects.
        right: JSON, in which `{"$unordered": [...]}` is a list, tuple or set in any order, and
            `{"$any": [...]}` any of these.
        tolerance: Relative, for numbers whose right value is a float.
    """
    if isinstance(right, Mapping):
        if right.keys() == {"$any"}:
            return any(same_value(given, one, tolerance) for one in right["$any"])
        if right.keys() == {"$unordered"}:
            return _same_bag(given, right["$unordered"], tolerance)
        return _same_dict(given, right, tolerance)
    if isinstance(right, list | tuple):
        return (
            isinstance(given, list)
            and len(given) == len(right)
            and all(same_value(one, other, tolerance) for one, other in zip(given, right, strict=True))
        )
    if right is None or isinstance(right, bool | str):
        return type(given) is type(right) and given == right
    if isinstance(given, bool) or not isinstance(given, int | float):
        return False
    return given == right or (isinstance(right, float) and _close(given, right, tolerance))


def _same_bag(given: Any, right: list[Any], tolerance: float) -> bool:
    parts = given["set"] if isinstance(given, dict) and "set" in given else given
    if not isinstance(parts, list) or len(parts) != len(right):
        return False
    fits = [[place for place, one in enumerate(right) if same_value(part, one, tolerance)] for part in parts]
    return None not in match(fits)


def _same_dict(given: Any, right: Mapping[str, Any], tolerance: float) -> bool:
    if not isinstance(given, dict) or "dict" not in given or len(given["dict"]) != len(right):
        return False
    return all(key in right and same_value(part, right[key], tolerance) for key, part in given["dict"])


def _close(given: float, right: float, tolerance: float) -> bool:
    try:
        return math.isfinite(right) and math.isclose(given, right, rel_tol=tolerance, abs_tol=_ABSOLUTE)
    except OverflowError:  # an integer past all floats
        return False


def same_output(given: str, right: str, tolerance: float) -> bool:
    """Whether a program printed what is right.

    Lines are compared word by word, without blanks around them and empty lines at the end. A word that is right with a
    decimal point or an exponent is a number, and compared as one; all others are text.
    """
    found, wanted = _lines(given), _lines(right)
    return len(found) == len(wanted) and all(
        len(line) == len(other) and all(_same_word(*words, tolerance) for words in zip(line, other, strict=True))
        for line, other in zip(found, wanted, strict=True)
    )


def _lines(text: str) -> list[list[str]]:
    lines = [line.split() for line in text.replace("\r\n", "\n").split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _same_word(given: str, right: str, tolerance: float) -> bool:
    if given == right:
        return True
    if right.lstrip("+-").isdigit() or not (_NUMBER.fullmatch(right) and _NUMBER.fullmatch(given)):
        return False
    return _close(float(given), float(right), tolerance)
