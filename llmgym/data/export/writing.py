"""Rows into files: Parquet with JSON columns, or lines of JSON."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any, Protocol, cast

import numpy as np

from llmgym.data.export.rows import Row, Shape, Type, json_text
from llmgym.data.output import replacing
from llmgym.messages import scrub

_ROWS, _BYTES = 1000, 32 << 20  # of a row group, so that memory does not grow with the file


class Writer(Protocol):
    """Takes rows."""

    def write(self, row: Row) -> None:
        """Take one."""
        ...

    def close(self) -> None:
        """Write what is left."""
        ...


def writer_of(path: Path, shape: Shape) -> Writer:
    """What writes rows of a shape."""
    return _Lines(path) if shape.file == "jsonl" else _Parquet(path, shape.columns)


class _Lines:
    def __init__(self, path: Path) -> None:
        self._file: IO[bytes] = path.open("wb", buffering=1 << 20)

    def write(self, row: Row) -> None:
        self._file.write(_line(row))

    def close(self) -> None:
        self._file.close()


class _Parquet:
    def __init__(self, path: Path, columns: Mapping[str, Type]) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        types = _types()
        self._columns = columns
        self._schema = pa.schema([(name, types[kind]) for name, kind in columns.items()])
        self._file = parquet.ParquetWriter(path, self._schema, compression="zstd")
        self._rows: list[Row] = []
        self._bytes = 0

    def write(self, row: Row) -> None:
        for name, kind in self._columns.items():
            if kind == "json":
                row[name] = None if row[name] is None else scrub(json_text(row[name]))
                self._bytes += len(row[name] or "")
            elif kind == "ints":
                self._bytes += 4 * len(row[name])
        self._rows.append(row)
        if len(self._rows) >= _ROWS or self._bytes >= _BYTES:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        arrays: list[Any] = []
        for field in self._schema:
            values = [row[field.name] for row in self._rows]
            if isinstance(field.type, pa.BaseExtensionType):
                arrays.append(pa.ExtensionArray.from_storage(field.type, pa.array(values, field.type.storage_type)))
            else:
                arrays.append(pa.array(values, field.type))
        self._file.write_table(pa.table(arrays, schema=self._schema))
        self._rows, self._bytes = [], 0

    def close(self) -> None:
        if self._rows:
            self._flush()
        self._file.close()


def _types() -> dict[Type, Any]:
    import pyarrow as pa

    text = pa.string()
    return {
        "json": pa.json_(),
        "text": text,
        "float": pa.float64(),
        "int": pa.int64(),
        "bool": pa.bool_(),
        "ints": pa.list_(pa.int32()),
        "chat": pa.list_(pa.struct({"role": text, "content": text})),
        "verl_reward": pa.struct({"style": text, "ground_truth": text}),
        "verl_extra": pa.struct(
            {"index": pa.int64(), "split": text, "task_id": text, "tools_kwargs": pa.struct({"llmgym": text})}
        ),
    }


def write_jsonl(rows: Iterable[Mapping[str, Any]], path: Path | str) -> None:
    """Write rows as lines of JSON, all of them or none; replaces a file that is there.

    Raises:
        ConfigError: It cannot be written.
    """
    with replacing(path, force=True) as temporary, temporary.open("wb", buffering=1 << 20) as file:
        file.writelines(map(_line, rows))


def _line(row: Mapping[str, Any]) -> bytes:
    return scrub(json_text(_finite(row))).encode() + b"\n"


def _finite(value: Any) -> Any:
    """The same with null for numbers that JSON does not have, and lists for arrays."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in cast("list[Any]", value)]
    return value
