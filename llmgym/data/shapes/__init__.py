"""The shapes of rows that are read: ours, and those of other packages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from llmgym.data.lines import read_lines
from llmgym.data.problems import UnreadableError
from llmgym.data.shapes import atif, chats, inspect_logs, nemo_gym, rollouts, verifiers_v0, verifiers_v1
from llmgym.data.strictness import explained
from llmgym.trajectory import Trajectory


class Shape(Protocol):
    """What is known of rows of one shape; a module has these names."""

    @property
    def NAME(self) -> str:  # noqa: N802 -- a constant of a module
        """What people call it."""
        ...

    def fits(self, row: Mapping[str, Any]) -> bool:
        """Whether a row is of this shape, by the names of its fields."""
        ...

    def decode(self, data: bytes | bytearray) -> Any:
        """What the index wants of a row, which the two below take apart.

        Raises:
            ValueError: It is no row of this shape; says why.
        """
        ...

    def columns(self, rows: Sequence[Any]) -> dict[str, Sequence[Any]]:
        """The columns of rows, as `Scalars` has them."""
        ...

    def metrics(self, rows: Sequence[Any]) -> Mapping[str, NDArray[np.float64]]:
        """The named numbers of rows, by name; NaN where a row has none of a name."""
        ...

    def trajectory(self, data: bytes, place: str) -> Trajectory:
        """A row whole, as far as the shape has it.

        Raises:
            LLMGymError: It is no row of this shape.
        """
        ...


#: In the order in which they are tried.
SHAPES: tuple[Shape, ...] = (
    rollouts, atif, nemo_gym, verifiers_v1, verifiers_v0, inspect_logs, chats,
)  # fmt: skip
BY_NAME: dict[str, Shape] = {shape.NAME: shape for shape in SHAPES}

_LOOKED_AT = 20  # lines, where the first ones are broken
_REFUSED = "it has too many levels, or a number beyond all range"


def shape_of(path: Path, named: Path) -> Shape:
    """The shape of a file's rows, by the first of them that fits one; ours where there is none yet.

    Args:
        path: The file.
        named: What errors call it.

    Raises:
        UnreadableError: None fits.
    """
    fields: list[str] = []
    flaw, whole = "", 0
    for line in read_lines(path):
        if line.number > _LOOKED_AT:
            break
        if not line.data or line.data.isspace():
            continue
        whole += line.whole
        try:
            row = msgspec.json.decode(line.data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            if line.whole and not flaw:
                flaw = f"none of its first lines is a row; line {line.number}: {explained(line.data) or _REFUSED}"
            continue
        if not isinstance(row, dict):
            continue
        for shape in SHAPES:
            if shape.fits(row):
                return shape
        fields = fields or sorted(row)
    if not fields and not whole:
        return rollouts
    if flaw and not fields:
        raise UnreadableError(named, flaw)
    seen = f"its rows have {', '.join(fields[:12])}" if fields else "its first lines are no JSON objects"
    raise UnreadableError(named, f"{seen}; what is read is {', '.join(shape.NAME for shape in SHAPES)}")
