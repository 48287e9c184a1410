"""Boards as text, and the words around them."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence


def draw(rows: Iterable[Iterable[object]], *, numbered: bool = False) -> str:
    """A board in lines; blanks keep the cells apart for tokenizers.

    Args:
        rows: The cells.
        numbered: Write the numbers of columns above and those of rows before, both from 1.
    """
    cells = [[str(cell) for cell in row] for row in rows]
    if numbered:
        cells = [[str(number), *row] for number, row in enumerate(cells, 1)]
        cells.insert(0, ["", *(str(number) for number in range(1, len(cells[0])))])
    width = max(len(cell) for row in cells for cell in row)
    return "\n".join(" ".join(cell.rjust(width) for cell in row) for row in cells)


def phrase(phrasings: Sequence[str], puzzle: str) -> str:
    """One of several phrasings, always the same for a puzzle, so that no two tasks differ in their words alone."""
    return phrasings[zlib.crc32(puzzle.encode()) % len(phrasings)]
