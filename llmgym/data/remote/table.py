"""Lines of JSON objects as Parquet: `datasets` takes all files of a repository for what most of them are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec

from llmgym.errors import ConfigError

_ROWS = 1000  # of a row group
_INTEGER = re.compile(rb"-?\d{1,18}")

Kind = Literal["null", "text", "bool", "int", "float", "json"]

_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def as_parquet(source: Path, target: Path) -> None:
    """Write rows as Parquet: a column for each key, typed where all values are text or numbers, and JSON else.

    Raises:
        ConfigError: A line is no JSON object; names it.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds: dict[str, Kind] = {}
    for row in _rows(source):
        for name, raw in row.items():
            kinds[name] = _both(kinds.get(name, "null"), _kind(bytes(raw)))
    types = {"null": pa.string(), "text": pa.string(), "bool": pa.bool_(), "int": pa.int64(), "float": pa.float64()}
    schema = pa.schema([(name, types.get(kind, pa.json_(pa.utf8()))) for name, kind in kinds.items()])
    with pq.ParquetWriter(target, schema, compression="zstd") as writer:
        for rows in _batches(source):
            arrays = [
                _column([row.get(name) for row in rows], kind, schema.field(name).type) for name, kind in kinds.items()
            ]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


def _rows(source: Path) -> Iterator[dict[str, msgspec.Raw]]:
    with source.open("rb", buffering=1 << 20) as lines:
        for number, line in enumerate(lines, 1):
            try:
                yield _decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise ConfigError(f"{source}:{number}: no JSON object: {error}") from None


def _batches(source: Path) -> Iterator[list[dict[str, msgspec.Raw]]]:
    batch: list[dict[str, msgspec.Raw]] = []
    for row in _rows(source):
        batch.append(row)
        if len(batch) == _ROWS:
            yield batch
            batch = []
    if batch:
        yield batch


def _kind(raw: bytes) -> Kind:
    match raw[:1]:
        case b'"':
            return "text"
        case b"n":
            return "null"
        case b"t" | b"f":
            return "bool"
        case b"{" | b"[":
            return "json"
        case _:
            return "int" if _INTEGER.fullmatch(raw) else "json" if raw.lstrip(b"-").isdigit() else "float"


def _both(one: Kind, other: Kind) -> Kind:
    """What holds the values of two kinds."""
    if one == other or other == "null":
        return one
    if one == "null":
        return other
    return "float" if {one, other} == {"int", "float"} else "json"


def _column(values: list[msgspec.Raw | None], kind: Kind, type_: Any) -> Any:
    import pyarrow as pa

    if kind == "json":
        texts = [None if raw is None or bytes(raw) == b"null" else bytes(raw).decode() for raw in values]
        return pa.ExtensionArray.from_storage(type_, pa.array(texts, pa.utf8()))
    found = [None if raw is None else msgspec.json.decode(raw) for raw in values]
    return pa.array([float(value) if kind == "float" and value is not None else value for value in found], type_)
