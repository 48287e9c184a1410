"""A minefield, and a solver that never guesses.

Sets of cells are bits of an integer: cell `row * columns + column`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import combinations

_ROUNDS = 4  # in which pairs of numbers, and what came of them, are looked at
_TOGETHER = 10  # hidden cells on which all arrangements of mines are tried


@lru_cache(maxsize=64)
def neighbours(rows: int, columns: int) -> tuple[int, ...]:
    """The cells around each cell."""
    return tuple(
        sum(
            1 << r * columns + c
            for r in range(max(row - 1, 0), min(row + 2, rows))
            for c in range(max(column - 1, 0), min(column + 2, columns))
            if (r, c) != (row, column)
        )
        for row in range(rows)
        for column in range(columns)
    )


def cells_of(cells: int) -> Iterator[int]:
    """The numbers of the cells of a set."""
    while cells:
        bit = cells & -cells
        yield bit.bit_length() - 1
        cells ^= bit


class Field:
    """A minefield and what is open of it.

    Attributes:
        rows: Its rows.
        columns: Its columns.
        mines: Where the mines are.
        opened: What is open.
    """

    def __init__(self, rows: int, columns: int, mines: int) -> None:
        """Bury the mines."""
        self.rows, self.columns, self.mines = rows, columns, mines
        self.around = neighbours(rows, columns)
        self.opened = 0

    @property
    def safe(self) -> int:
        """All cells without a mine."""
        return (1 << self.rows * self.columns) - 1 & ~self.mines

    def number(self, cell: int) -> int:
        """Mines around a cell."""
        return (self.around[cell] & self.mines).bit_count()

    def open(self, cell: int) -> None:
        """Open a cell without a mine, and with a 0 all around it."""
        waiting = 1 << cell
        while waiting:
            self.opened |= waiting
            waiting = self._freed(waiting) & ~self.opened

    def _freed(self, cells: int) -> int:
        freed = 0
        for cell in cells_of(cells):
            if not self.around[cell] & self.mines:
                freed |= self.around[cell]
        return freed


def deduced(field: Field, mines: int) -> int:
    """Hidden cells that cannot have a mine, by what is open and the number of all mines.

    Looks at each number, then at pairs of them, then at all arrangements where few cells are left; 0 where these do not
    suffice.
    """
    hidden = ~field.opened & (1 << field.rows * field.columns) - 1
    sets = {}
    for cell in cells_of(field.opened):
        if cells := field.around[cell] & hidden:
            sets[cells] = field.number(cell)
    mined = 0
    for _ in range(_ROUNDS):
        safe = 0
        for cells, count in sets.items():
            if not count:
                safe |= cells
            elif count == cells.bit_count():
                mined |= cells
        if safe:
            return safe
        if mined.bit_count() == mines and hidden & ~mined:
            return hidden & ~mined
        sets |= _narrowed(sets, mined)
    return _by_arrangements(sets, mines, hidden)


def _narrowed(sets: dict[int, int], mined: int) -> dict[int, int]:
    """Smaller sets of cells that follow: without known mines, and one without another that lies within it."""
    rest = {cells & ~mined: count - (cells & mined).bit_count() for cells, count in sets.items() if cells & ~mined}
    within = {
        cells ^ other: count - fewer
        for cells, count in rest.items()
        for other, fewer in rest.items()
        if cells & other == other != cells
    }
    return rest | within


def _by_arrangements(sets: dict[int, int], mines: int, hidden: int) -> int:
    cells = list(cells_of(hidden))
    if len(cells) > _TOGETHER:
        return 0
    possible = 0
    for chosen in combinations(cells, mines):
        arrangement = sum(1 << cell for cell in chosen)
        if all((arrangement & within).bit_count() == count for within, count in sets.items()):
            possible |= arrangement
    return hidden & ~possible
