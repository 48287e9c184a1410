"""Steps on a grid."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Literal

from llmgym.errors import ToolError

Direction = Literal["up", "down", "left", "right"]

DIRECTIONS: dict[Direction, tuple[int, int]] = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}
"""Rows and columns that a step goes on by."""

_LETTERS: dict[str, Direction] = {name[0]: name for name in DIRECTIONS}
_GAPS = re.compile(r"(?:[\s,;\[\]\"'.*`()→>-]|\d+[.)])+")  # arrows and the numbers of a list, too


def read_directions(text: str) -> list[Direction]:
    """Read "up, left", "Up -> Left" or "UL".

    Raises:
        ToolError: Something else is there; says what.
    """
    found: list[Direction] = []
    for word in filter(None, _GAPS.split(text.lower())):
        if word in DIRECTIONS:
            found.append(word)
        elif all(letter in _LETTERS for letter in word):
            found.extend(_LETTERS[letter] for letter in word)
        else:
            raise ToolError(f"{word[:40]!r} is no direction; there is up, down, left and right.")
    return found


def in_letters(directions: Iterable[Direction]) -> str:
    """Directions as one letter each, which `read_directions` reads back."""
    return "".join(name[0].upper() for name in directions)


def strides(text: str) -> Iterator[list[Direction]]:
    """Directions as messages make them, up to five at once."""
    steps = read_directions(text)
    return (steps[first : first + 5] for first in range(0, len(steps), 5))
