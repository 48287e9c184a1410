"""Keys and values of the running batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

#: Keys and values by layer, each [rows, cells, heads, dim].
Rows = dict[int, tuple["Tensor", "Tensor"]]

_LENGTH_STEP = 256  # cells are allocated in multiples of this
_SPARE_ROWS = 8


class Store:
    """Keys and values of all rows; models take it for a `transformers.Cache`.

    Attributes:
        length: Cells that each row has room for.
        bytes_per_cell: Memory of one token, known after the first pass.
    """

    is_compileable = False

    def __init__(self, context_length: int, max_cells: int) -> None:
        self._context_length = context_length
        self._max_cells = max_cells
        self._layers: Rows = {}
        self._capacity = 0
        self.length = 0
        self.bytes_per_cell = 0

    @property
    def cells(self) -> int:
        """Cells that there is room for in all rows together."""
        return self._capacity * self.length

    def reserve(self, rows: int, length: int) -> None:
        """Make room for the first rows and cells, keeping what is there.

        There is room to spare where it fits into `max_cells`. What is there for more rows or longer ones, and does
        not, is given back: otherwise many short rows and later one long one would add up to many long ones.
        """
        if rows <= self._capacity and length <= self.length:
            return
        least = min(-(-length // _LENGTH_STEP) * _LENGTH_STEP, self._context_length)
        capacity = self._capacity if rows <= self._capacity else max(rows, min(2 * self._capacity, rows + _SPARE_ROWS))
        cells = max(least, self.length)
        if capacity * cells > self._max_cells:
            capacity, cells = max(rows, min(capacity, self._max_cells // least)), least
        self._capacity, self.length = capacity, cells
        for layer, (keys, values) in self._layers.items():
            self._layers[layer] = self._resized(keys), self._resized(values)

    def clear(self) -> None:
        """Free everything."""
        self._layers = {}
        self._capacity = self.length = 0

    def move(self, source: int, target: int, cells: int) -> None:
        """Copy the first cells of one row to another."""
        for pair in self._layers.values():
            for tensor in pair:
                tensor[target, :cells] = tensor[source, :cells]

    def wipe(self, row: int) -> None:
        """Set all cells of a row to zero."""
        for pair in self._layers.values():
            for tensor in pair:
                tensor[row] = 0

    def get(self, row: int, cells: int) -> Rows:
        """Return a copy of the first cells of a row."""
        return {
            layer: (keys[row : row + 1, :cells].clone(), values[row : row + 1, :cells].clone())
            for layer, (keys, values) in self._layers.items()
        }

    def put(self, row: int, source: Rows, cells: int) -> None:
        """Write the first cells of a copy to a row."""
        for layer, pair in source.items():
            for tensor, copy in zip(self._layer(layer, *pair), pair, strict=True):
                tensor[row, :cells] = copy[0, :cells]

    def aim(self, first: int, positions: Tensor, end: int) -> None:
        """Set the cells that the next pass writes, [rows, width] from row `first` on, and where its reading ends."""
        import torch

        last = first + positions.shape[0]
        self._write = torch.arange(first, last, device=positions.device)[:, None], positions
        self._read = slice(first, last), slice(end)

    def update(
        self, keys: Tensor, values: Tensor, layer_idx: int, *_args: object, **_kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Write what a layer computed, [rows, heads, width, dim], and return all it attends to; models call it."""
        # Mixed precision turns keys in float32, and would cast all of them to what values are in each pass.
        new = keys.to(values.dtype).transpose(1, 2), values.transpose(1, 2)
        stored = self._layer(layer_idx, *new)
        for tensor, cells in zip(stored, new, strict=True):
            tensor[self._write] = cells
        return stored[0][self._read].transpose(1, 2), stored[1][self._read].transpose(1, 2)

    def get_seq_length(self, _layer_idx: int = 0) -> int:
        """Return how many cells the pass reads; some models call it."""
        return self._read[1].stop

    def _layer(self, layer: int, *like: Tensor) -> tuple[Tensor, Tensor]:
        """Return the tensors of a layer, allocated when first needed for cells shaped like these."""
        if layer not in self._layers:
            keys, values = like
            self._layers[layer] = self._empty(keys), self._empty(values)
            self.bytes_per_cell = sum(
                tensor[0, 0].numel() * tensor.element_size() for pair in self._layers.values() for tensor in pair
            )
        return self._layers[layer]

    def _empty(self, like: Tensor) -> Tensor:
        # Zeros, because rubbish in a masked cell may be NaN, and NaN times zero attention is NaN.
        return like.new_zeros(self._capacity, self.length, *like.shape[2:])

    def _resized(self, old: Tensor) -> Tensor:
        new = self._empty(old)
        rows, cells = min(self._capacity, old.shape[0]), min(self.length, old.shape[1])
        new[:rows, :cells] = old[:rows, :cells]
        return new
