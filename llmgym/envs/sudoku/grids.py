"""Grids of Sudoku: a solver that counts solutions, and puzzles made by taking digits out.

A grid is a list of rows; 0 is an empty cell. Blocks are `height` rows by `width` columns.
"""

from __future__ import annotations

from functools import cache

import numpy as np

Grid = list[list[int]]

#: Rows and columns of a block, by the size of the grid.
BLOCKS: dict[int, tuple[int, int]] = {4: (2, 2), 6: (2, 3), 9: (3, 3)}


@cache
def units(size: int) -> tuple[tuple[int, ...], ...]:
    """Row, column and block of each cell, as numbers from 0 to `3 * size - 1`."""
    height, width = BLOCKS[size]
    return tuple(
        (row, size + column, 2 * size + row // height * height + column // width)
        for row in range(size)
        for column in range(size)
    )


def solutions(grid: Grid, most: int = 2) -> list[Grid]:
    """The solutions of a puzzle, up to a number of them."""
    size = len(grid)
    of_cell, used = units(size), [0] * (3 * size)
    cells, empty = [digit for row in grid for digit in row], list[int]()
    for cell, digit in enumerate(cells):
        if not digit:
            empty.append(cell)
            continue
        for unit in of_cell[cell]:
            if used[unit] >> digit & 1:
                return []
            used[unit] |= 1 << digit
    found: list[Grid] = []
    every = (1 << size + 1) - 2

    def fill() -> None:
        if not empty:
            found.append([cells[i : i + size] for i in range(0, size * size, size)])
            return
        best, fewest, place = 0, size + 1, 0
        for index, cell in enumerate(empty):
            row, column, block = of_cell[cell]
            open_digits = every & ~(used[row] | used[column] | used[block])
            if (count := open_digits.bit_count()) < fewest:
                best, fewest, place = open_digits, count, index
                if count < 2:
                    break
        cell = empty[place]
        empty[place] = empty[-1]
        empty.pop()
        row, column, block = of_cell[cell]
        while best and len(found) < most:
            bit = best & -best
            best ^= bit
            cells[cell] = bit.bit_length() - 1
            used[row] |= bit
            used[column] |= bit
            used[block] |= bit
            fill()
            used[row] ^= bit
            used[column] ^= bit
            used[block] ^= bit
        cells[cell] = 0
        empty.append(cell)
        empty[place], empty[-1] = empty[-1], empty[place]

    fill()
    return found


def reduced(size: int, empty: int, rng: np.random.Generator) -> Grid:
    """A puzzle with one solution and some empty cells, or fewer where no more can be taken out."""
    grid = full(size, rng)
    order = rng.permutation(size * size).tolist()
    for cell in order:
        row, column = divmod(cell, size)
        digit, grid[row][column] = grid[row][column], 0
        if len(solutions(grid)) > 1:
            grid[row][column] = digit
        elif sum(row.count(0) for row in grid) == empty:
            break
    return grid


def full(size: int, rng: np.random.Generator) -> Grid:
    """A full grid: one that a solver finds around a random first row and block."""
    grid = [[0] * size for _ in range(size)]
    height, width = BLOCKS[size]
    digits = (rng.permutation(size) + 1).tolist()
    for row in range(height):
        grid[row][:width] = digits[row * width : (row + 1) * width]
    rest = [digit for digit in (rng.permutation(size) + 1).tolist() if digit not in grid[0]]
    grid[0][width:] = rest
    found = solutions(grid, 1)
    return found[0] if found else full(size, rng)


def shuffled(grids: list[Grid], rng: np.random.Generator) -> list[Grid]:
    """The same puzzle in other clothes: digits renamed, rows and columns exchanged within and with their blocks."""
    size = len(grids[0])
    height, width = BLOCKS[size]
    names = [0, *(rng.permutation(size) + 1).tolist()]
    rows, columns = _lines(size, height, rng), _lines(size, width, rng)
    turned = height == width and rng.integers(2)
    moved = [[[names[grid[row][column]] for column in columns] for row in rows] for grid in grids]
    return [list(map(list, zip(*grid, strict=True))) for grid in moved] if turned else moved


def _lines(size: int, of_block: int, rng: np.random.Generator) -> list[int]:
    bands = rng.permutation(size // of_block).tolist()
    return [band * of_block + line for band in bands for line in rng.permutation(of_block).tolist()]


def conflict(grid: Grid, row: int, column: int, digit: int) -> str | None:
    """Where a digit occurs already that would be put into a cell: "row 3", "column 1" or "the block"."""
    size = len(grid)
    height, width = BLOCKS[size]
    top, left = row // height * height, column // width * width
    for r in range(size):
        for c in range(size):
            if (r, c) != (row, column) and grid[r][c] == digit:
                if r == row:
                    return f"row {row + 1}"
                if c == column:
                    return f"column {column + 1}"
                if top <= r < top + height and left <= c < left + width:
                    return "the block"
    return None
