"""The files of an index: rows of numbers in Parquet."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from llmgym.data.scalars import FIXED, PLACES, floats

_KINDS = FIXED | dict.fromkeys(PLACES, int)
_FEW = ["env_id", "task_hash", "agent", "status", "failure", "agents", "repeat", "attempts", "num_turns"]  # values


class Shard(msgspec.Struct, frozen=True, array_like=True):
    """A file of an index.

    Attributes:
        name: Of the file; never used again, as others may be reading it.
        rows: How many it has.
    """

    name: str
    rows: int


class Rows:
    """Rows on their way into a shard."""

    def __init__(self) -> None:
        """Start without rows."""
        self._columns: dict[str, list[Any]] = {name: [] for name in _KINDS}
        self._metrics: dict[str, list[tuple[int, NDArray[np.float64]]]] = {}
        self._count = 0

    def __len__(self) -> int:
        """How many rows there are."""
        return self._count

    def add(self, columns: Mapping[str, Sequence[Any]], metrics: Mapping[str, NDArray[np.float64]]) -> None:
        """Append rows, by columns; they are arrays at once, while their objects are in the cache."""
        for name, kind in _KINDS.items():
            self._columns[name].append(_MADE[kind](columns[name]))
        for name, values in metrics.items():
            self._metrics.setdefault(name, []).append((self._count, values))
        self._count += len(columns["id"])

    def write(self, path: Path) -> None:
        """Write the rows into a file."""
        import pyarrow as pa

        arrays = {name: _COLUMNS[kind](self._columns[name]) for name, kind in _KINDS.items()}
        for name, parts in self._metrics.items():
            values = np.full(self._count, np.nan)
            for start, part in parts:
                values[start : start + len(part)] = part
            arrays[name] = _real_column([values])
        _write(pa.table(arrays), path)


class _Texts(NamedTuple):
    """Texts behind each other, and the bytes that each has."""

    data: bytes
    lengths: NDArray[np.int64]


def _texts(values: Sequence[str]) -> _Texts:
    data, lengths = "".join(values).encode(), np.fromiter(map(len, values), np.int64, len(values))
    if lengths.sum() != len(data):  # not all of them are ASCII
        lengths = np.array([len(value.encode()) for value in values])
    return _Texts(data, lengths)


def _integers(values: Any) -> NDArray[np.int64]:
    if isinstance(values, np.ndarray):
        return values
    return np.frombuffer(struct.pack(f"{len(values)}q", *values), np.int64)  # in half of the time that NumPy takes


def _text_column(parts: Sequence[_Texts]) -> Any:
    """A column of texts; Arrow, which imports Pandas where it is given a list, would look at each."""
    import pyarrow as pa

    offsets = np.cumsum(np.concatenate([[0], *(part.lengths for part in parts)]))
    data = pa.py_buffer(b"".join(part.data for part in parts))
    return pa.LargeStringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), data)


def _integer_column(parts: Sequence[NDArray[np.int64]]) -> Any:
    import pyarrow as pa

    values = np.concatenate(parts)
    return pa.Array.from_buffers(pa.int64(), len(values), [None, pa.py_buffer(values)])


def _real_column(parts: Sequence[NDArray[np.float64]]) -> Any:
    """A column of numbers. NaN is none there: SQL takes it to be greater than any."""
    import pyarrow as pa

    values = np.concatenate(parts)
    missing = np.isnan(values)
    valid = pa.py_buffer(np.packbits(~missing, bitorder="little")) if missing.any() else None
    return pa.Array.from_buffers(pa.float64(), len(values), [valid, pa.py_buffer(values)])


_MADE = {str: _texts, int: _integers, float: floats}
_COLUMNS = {str: _text_column, int: _integer_column, float: _real_column}


def have_unique_ids(folder: Path, shards: list[Shard]) -> bool:
    """Whether each id is there once; what they hash to says so in a quarter of the time that the ids take."""
    import pyarrow as pa

    files = [folder / shard.name for shard in shards]
    ids = (read_shard(file, ["id"])["id"].to_pylist() for file in files)
    hashes = np.sort(np.concatenate([np.fromiter(map(hash, some), np.int64, len(some)) for some in ids]))
    if (hashes[1:] != hashes[:-1]).all():
        return True
    table = pa.concat_tables([read_shard(file, ["id"]) for file in files])
    return len(table["id"].unique()) == len(table)


def merged(folder: Path, shards: list[Shard], full: int, small: int) -> list[Shard]:
    """Make one of the last shards, where these have become many.

    Args:
        folder: Where they are.
        shards: All of them.
        full: From how many rows a shard stays as it is.
        small: How many that are not full may be there.
    """
    import pyarrow as pa

    tail: list[Shard] = []
    for shard in reversed(shards):
        if shard.rows >= full:
            break
        tail.insert(0, shard)
    if len(tail) <= small:
        return shards
    table = pa.concat_tables([read_shard(folder / shard.name) for shard in tail], promote_options="default")
    whole = Shard(f"m{tail[-1].name}", len(table))
    _write(table, folder / whole.name)
    for shard in tail:
        (folder / shard.name).unlink()
    return [*shards[: -len(tail)], whole]


def read_shard(path: Path, columns: list[str] | None = None) -> Any:
    """The rows of a file, without Pandas, which Arrow's `read_table` imports."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        return file.read(columns)


def _write(table: Any, path: Path) -> None:
    import pyarrow.parquet as pq

    pq.write_table(table, path, compression="zstd", use_dictionary=_FEW, write_statistics=False)  # pyright: ignore[reportArgumentType] -- the stubs know no names
