"""The shapes of rows that are read: ours, and those of other packages."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import msgspec

from llmgym.data.lines import read_lines
from llmgym.data.problems import UnreadableError
from llmgym.data.scalars import Scalars
from llmgym.data.shapes import rollouts
from llmgym.trajectory import Trajectory


class Shape(Protocol):
    """What is known of rows of one shape; a module has these names."""

    NAME: str
    """What people call it."""

    def fits(self, row: Mapping[str, Any]) -> bool:
        """Whether a row is of this shape, by the names of its fields."""
        ...

    def scalars(self, data: bytes) -> Scalars:
        """What the index keeps of a row.

        Raises:
            ValueError: It is no row of this shape; says why.
        """
        ...

    def trajectory(self, data: bytes, place: str) -> Trajectory:
        """A row whole, as far as the shape has it.

        Raises:
            LLMGymError: It is no row of this shape.
        """
        ...


#: In the order in which they are tried.
SHAPES: tuple[Shape, ...] = (rollouts,)

_LOOKED_AT = 20  # lines, where the first ones are broken


def shape_of(path: Path) -> Shape:
    """The shape of a file's rows, by the first of them that fits one.

    Raises:
        UnreadableError: None fits.
    """
    fields: list[str] = []
    for line in read_lines(path):
        if line.number > _LOOKED_AT:
            break
        try:
            row = msgspec.json.decode(line.data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        if not isinstance(row, dict):
            continue
        for shape in SHAPES:
            if shape.fits(row):
                return shape
        fields = fields or sorted(row)
    known = ", ".join(shape.NAME for shape in SHAPES)
    seen = f"its rows have {', '.join(fields[:12])}" if fields else "it has no rows"
    raise UnreadableError(path, f"{seen}; what is read is {known}")
