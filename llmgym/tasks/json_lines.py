"""JSON that a strict decoder refuses, mostly a line: what is wrong with it, where, and what to give."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

_CONSTANT = re.compile(r'"(?:[^"\\]|\\.)*"|(-?Infinity|NaN)')  # or a text, which may hold such a word


def read_leniently(data: bytes) -> Any:
    """What JSON holds; text that was cut within a character is taken.

    Raises:
        ValueError: It is no JSON; says where, and what to give.
        RecursionError: It has too many levels.
    """
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"not JSON: no UTF-8 at column {error.start + 1}; save the file as UTF-8") from None

    def refuse(constant: str) -> NoReturn:
        at = next(found.start() for found in _CONSTANT.finditer(text) if found[1])
        raise ValueError(f"{constant} at {_place(text, at)}; give a number, or null where there is none")

    try:
        # Python's own reader takes such text, and says what is wrong, and where.
        return json.loads(text, parse_constant=refuse)
    except json.JSONDecodeError as error:
        said = f"not JSON: {error.msg.removesuffix(' at')} at {_place(text, error.pos)}"
        raise ValueError(said if "\n" in text else f"{said}; each line is a row") from None
    except ValueError as error:
        raise ValueError(f"not JSON: {error}") from None


def _place(text: str, at: int) -> str:
    """Where a character stands; the line is left out where there is one alone."""
    column = f"column {at - text.rfind(chr(10), 0, at)}"
    return f"line {text.count(chr(10), 0, at) + 1}, {column}" if "\n" in text else column
