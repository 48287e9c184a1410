"""The files of an index: rows of numbers in Parquet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from llmgym.data.scalars import FIXED, PLACES, Scalars


class Shard(msgspec.Struct, frozen=True, array_like=True):
    """A file of an index.

    Attributes:
        name: Of the file; never used again, as others may be reading it.
        rows: How many it has.
    """

    name: str
    rows: int


def write_shard(
    path: Path, rows: Sequence[Scalars], places: Sequence[tuple[int, int, int]], columns: Mapping[str, str]
) -> None:
    """Write rows.

    Args:
        path: The file.
        rows: The rows.
        places: For each its line, and where it stands.
        columns: The column of each metric.
    """
    import pyarrow as pa

    types = {str: pa.string(), int: pa.int64(), float: pa.float64()}
    arrays: dict[str, Any] = {
        name: pa.array([getattr(row, name) for row in rows], types[kind]) for name, kind in FIXED.items()
    }
    for name, values in zip(PLACES, zip(*places, strict=True), strict=True):
        arrays[name] = pa.array(values, pa.int64())
    metrics = [row.metrics for row in rows]
    for name, column in columns.items():
        arrays[column] = pa.array([row.get(name) for row in metrics], pa.float64())
    _write(pa.table(arrays), path)


def merged(folder: Path, shards: list[Shard], full: int, small: int) -> tuple[list[Shard], bool]:
    """Make one of the last shards, where these have become many, and see whether each id is there once.

    Args:
        folder: Where they are.
        shards: All of them.
        full: From how many rows a shard stays as it is.
        small: How many that are not full may be there.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    ids = pa.concat_tables([pq.read_table(folder / shard.name, columns=["id"]) for shard in shards])["id"]
    unique = len(ids.unique()) == len(ids)
    tail: list[Shard] = []
    for shard in reversed(shards):
        if shard.rows >= full:
            break
        tail.insert(0, shard)
    if len(tail) <= small:
        return shards, unique
    table = pa.concat_tables([pq.read_table(folder / shard.name) for shard in tail], promote_options="default")
    whole = Shard(f"m{tail[-1].name}", len(table))
    _write(table, folder / whole.name)
    for shard in tail:
        (folder / shard.name).unlink()
    return [*shards[: -len(tail)], whole], unique


def _write(table: Any, path: Path) -> None:
    import pyarrow.parquet as pq

    pq.write_table(table, path, compression="zstd")
