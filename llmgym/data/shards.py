"""The files of an index: rows of numbers in Parquet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from llmgym.data.scalars import FIXED, PLACES, Number

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
        self._tables: list[Any] = []
        self._count = 0

    def __len__(self) -> int:
        """How many rows there are."""
        return self._count

    def add(self, columns: Mapping[str, Sequence[Any]], metrics: Mapping[str, Sequence[Number]]) -> None:
        """Append rows, by columns; at once as Arrow has them, for Python objects that live long cost the collector."""
        import pyarrow as pa

        made = {str: _texts, int: _integers, float: _numbers}
        arrays: dict[str, Any] = {name: made[kind](columns[name]) for name, kind in _KINDS.items()}
        arrays |= {name: _numbers(values) for name, values in metrics.items()}
        self._tables.append(pa.table(arrays))
        self._count += len(columns["id"])

    def write(self, path: Path) -> None:
        """Write the rows into a file."""
        import pyarrow as pa

        _write(pa.concat_tables(self._tables, promote_options="default"), path)


def _texts(values: Sequence[str]) -> Any:
    """A column of texts, in a third of the time that Arrow takes to look at each."""
    import pyarrow as pa

    joined, count = "".join(values).encode(), len(values)
    offsets = np.zeros(count + 1, np.int32)
    if values.count(values[0]) == count:
        offsets[1:] = len(values[0].encode())
    else:
        offsets[1:] = np.fromiter(map(len, values), np.int32, count)
    if offsets.sum() != len(joined):  # not all of them are ASCII
        offsets[1:] = [len(value.encode()) for value in values]
    offsets = offsets.cumsum(dtype=np.int32)
    return pa.StringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(joined))


def _integers(values: Sequence[int]) -> Any:
    """A column of integers, without Pandas, which Arrow imports where it is given a list."""
    import pyarrow as pa

    return pa.Array.from_buffers(pa.int64(), len(values), [None, pa.py_buffer(np.asarray(values, np.int64))])


def _numbers(values: Sequence[Number]) -> Any:
    """A column of numbers. NaN is none there: SQL takes it to be greater than any."""
    import pyarrow as pa

    try:
        found = np.fromiter(values, np.float64, len(values))
    except TypeError:  # None is among them
        found = np.array(values, np.float64)
    missing = np.isnan(found)
    valid = pa.py_buffer(np.packbits(~missing, bitorder="little")) if missing.any() else None
    return pa.Array.from_buffers(pa.float64(), len(values), [valid, pa.py_buffer(found)])


def merged(folder: Path, shards: list[Shard], full: int, small: int) -> tuple[list[Shard], bool]:
    """Make one of the last shards, where these have become many, and see whether each id is there once.

    Args:
        folder: Where they are.
        shards: All of them.
        full: From how many rows a shard stays as it is.
        small: How many that are not full may be there.
    """
    import pyarrow as pa

    ids = pa.concat_tables([_read(folder / shard.name, ["id"]) for shard in shards])["id"]
    unique = len(ids.unique()) == len(ids)
    tail: list[Shard] = []
    for shard in reversed(shards):
        if shard.rows >= full:
            break
        tail.insert(0, shard)
    if len(tail) <= small:
        return shards, unique
    table = pa.concat_tables([_read(folder / shard.name) for shard in tail], promote_options="default")
    whole = Shard(f"m{tail[-1].name}", len(table))
    _write(table, folder / whole.name)
    for shard in tail:
        (folder / shard.name).unlink()
    return [*shards[: -len(tail)], whole], unique


def _read(path: Path, columns: list[str] | None = None) -> Any:
    """The rows of a file, without Pandas, which Arrow's `read_table` imports."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        return file.read(columns)


def _write(table: Any, path: Path) -> None:
    import pyarrow.parquet as pq

    pq.write_table(table, path, compression="zstd", use_dictionary=_FEW, write_statistics=False)  # pyright: ignore[reportArgumentType] -- the stubs know no names
