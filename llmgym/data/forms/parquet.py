"""Rows of ours as Parquet, and back, equal by value, keys and float bits.

Scalars and metrics are typed, tokens are lists, and what is nested otherwise is JSON as it stands in the line, of
Parquet's JSON type; nothing stands for a field that a row lacks, such as one that is newer. `rest` has what would be
lost: fields that the types cannot hold as they are, and those that are not known; `fields` then says which the row had,
in their order.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np

from llmgym.data.forms import segments
from llmgym.data.problems import UnreadableError
from llmgym.data.scalars import ROW, floats
from llmgym.records import FORMAT

_BATCH, _GROUP = 1024, 8192  # rows that are held at once, as lines and as columns
_MOST_BYTES = 1 << 26  # of either
TEXTS = ("id", "episode_id", "agent", "env_id", "group_id", "task_hash", "status", "policy", "error")
INTEGERS = ("format", "agents", "repeat", "seed", "attempts")
FLAGS = ("trainable",)
REALS = ("reward",)
JSONS = (
    "counts", "timings", "usage", "tool_errors", "task", "responses_create_params", "output", "reward_parts",
    "metrics", "turns", "compactions", "branches", "played", "model_calls", "failure",
)  # fmt: skip
_METRICS = JSONS.index("metrics")
_OWN = {"fields", "rest", ROW}
_SEGMENTS = -3  # of the values of a row
_ORDER = (
    "format", "id", "episode_id", "agent", "agents", "env_id", "group_id", "repeat", "task_hash", "status", "reward",
    "counts", "timings", "usage", "tool_errors", "seed", "task", "responses_create_params", "output", "reward_parts",
    "metrics", "turns", "segments", "compactions", "branches", "played", "model_calls", "failure", "error",
    "attempts", "policy", "trainable",
)  # fmt: skip
_STANDARD = frozenset(_ORDER)
_NULLABLE = {"reward", "error"}
NEEDED = {*_NULLABLE, "metrics", "segments"}  # in every row of ours
_META = {b"llmgym": json.dumps({"format": FORMAT}).encode()}

_Scalar = int | float | str | bool | None
_ABSENT = math.nan  # of a metric: JSON has no number that is none
Raws = dict[str, msgspec.Raw]


_rows = msgspec.json.Decoder(Raws)
_text = msgspec.json.Decoder(str | None)
_encode = msgspec.json.encode
_INTEGER = re.compile(rb"-?(?:0|[1-9]\d{0,17})")
_FLAGS = {b"true": True, b"false": False}
_MOST = float(np.finfo(np.float64).max)


def write(lines: Iterable[bytes], path: Path, metrics: Sequence[str], told: Callable[[int], None] | None = None) -> int:
    """Write rows of ours.

    Args:
        lines: The rows.
        path: The file.
        metrics: Which fields are metrics; each has a column of its own, for whoever asks the file in SQL.
        told: Told how many rows have been written.

    Returns:
        How many rows.
    """
    import pyarrow.parquet as pq

    columns = [name for name in metrics if name not in _STANDARD | _OWN]
    takes = _Rows(columns, [name for name in metrics if name in _STANDARD])
    count = 0
    few: Any = ["env_id", "agent", "status", "fields", "task", "responses_create_params"]  # the others hardly repeat
    with pq.ParquetWriter(
        path, _schema(columns), compression="zstd", use_dictionary=few, write_statistics=few
    ) as writer:
        for group in _groups(_batch(*takes.values(batch), columns, writer.schema) for batch in _batches(lines)):
            writer.write_table(group)
            count += len(group)
            if told:
                told(count)
    return count


def _batches(lines: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Rows by so many as are held at once."""
    batch: list[bytes] = []
    size = 0
    for line in lines:
        batch.append(line)
        size += len(line)
        if len(batch) == _BATCH or size >= _MOST_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _groups(batches: Iterable[Any]) -> Iterator[Any]:
    """Batches together, by so many rows as are written at once."""
    import pyarrow as pa

    group: list[Any] = []
    rows = size = 0
    for batch in batches:
        group.append(batch)
        rows, size = rows + len(batch), size + batch.nbytes
        if rows >= _GROUP or size >= _MOST_BYTES:
            yield pa.Table.from_batches(group)
            group, rows, size = [], 0, 0
    if group:
        yield pa.Table.from_batches(group)


def _schema(metrics: Sequence[str]) -> Any:
    import pyarrow as pa

    json_ = pa.json_(pa.utf8())
    fields = [(name, pa.string()) for name in TEXTS]
    fields += [(name, pa.int64()) for name in INTEGERS]
    fields += [(name, pa.bool_()) for name in FLAGS]
    fields += [(name, pa.float64()) for name in (*REALS, *metrics)]
    fields += [(name, json_) for name in JSONS]
    fields += [("segments", segments.type_()), ("fields", pa.string()), ("rest", json_)]
    return pa.schema(fields, metadata=_META)


def _decoder_of(fields: Iterable[tuple[Any, ...]]) -> msgspec.json.Decoder[Any]:
    """A decoder of objects that have these fields and no others; of none where one cannot be called so."""
    named = [(f"f{number}", *rest) for number, (_, *rest) in enumerate(fields)]
    rename = {f"f{number}": name for number, (name, *_) in enumerate(fields)}
    try:
        kind = msgspec.defstruct("Fields", named, rename=rename, forbid_unknown_fields=True, kw_only=True, gc=False)
    except ValueError:  # a field cannot have a name with a quote in it
        return msgspec.json.Decoder(int)  # which no object is
    return msgspec.json.Decoder(kind)


def _fields(types: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Fields of ours; None stands for one that a row has not, as it is no value of its type."""
    return [(name, kind) if name in NEEDED else (name, kind, None) for name, kind in types.items()]


def _optional(metrics: Iterable[str]) -> list[tuple[Any, ...]]:
    return [(name, _Scalar, _ABSENT) for name in metrics]


class _Rows:
    """Takes rows apart into values of columns: texts, integers, flags, reals, metrics, JSON, segments, fields, rest."""

    def __init__(self, metrics: Sequence[str], clashing: Sequence[str]) -> None:
        small = Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
        types: dict[str, Any] = dict.fromkeys(TEXTS, str) | {"error": str | None} | dict.fromkeys(INTEGERS, small)
        types |= dict.fromkeys(FLAGS, bool) | dict.fromkeys(REALS, int | float | None)
        nested: dict[str, Any] = dict.fromkeys(JSONS, msgspec.Raw) | {"segments": list[segments.Segment]}
        self._typed = len(types)
        self._usual = _decoder_of([*_fields(types), *_optional(metrics), *_fields(nested)])
        self._inner = _decoder_of(_optional([*metrics, *clashing]))
        self._metrics = metrics

    def values(self, lines: Sequence[bytes]) -> tuple[list[tuple[Any, ...]], segments.Ids]:
        """The values of rows, and the ids of all their segments."""
        rows = list(map(self._values, lines))
        ids = segments.ids_of(row[_SEGMENTS] for row in rows)
        if ids is None:  # of one of them at least they are none that a column can hold
            rows = [
                self._odd(_rows.decode(line)) if segments.ids_of([row[_SEGMENTS]]) is None else row
                for row, line in zip(rows, lines, strict=True)
            ]
            ids = segments.ids_of(row[_SEGMENTS] for row in rows)
            assert ids is not None
        return rows, ids

    def _values(self, line: bytes) -> tuple[Any, ...]:
        """The values of a row; as our writer has it that takes a third of the time of one that is odd."""
        try:
            row = msgspec.structs.astuple(self._usual.decode(line))
        except msgspec.ValidationError:
            return self._odd(_rows.decode(line))
        typed, count = self._typed, self._typed + len(self._metrics)
        tokens = segments.tokens_of(row[-1])
        if (
            tokens is None
            or int in map(type, row[typed - len(REALS) : typed])
            or not self._same(row[count + _METRICS], row[typed:count])
        ):
            return self._odd(_rows.decode(line))
        return *row[:-1], tokens, None, None

    def _same(self, text: msgspec.Raw, given: tuple[Any, ...]) -> bool:
        """Whether the metrics beside the fields are those of `metrics`, so that they need not be kept twice."""
        try:
            inner = msgspec.structs.astuple(self._inner.decode(text))[: len(given)]
        except msgspec.ValidationError:
            return False
        types = [*map(type, inner)]
        if inner == given and str not in types and types == [*map(type, given)]:
            return True
        expected = tuple(None if type(value) is str else value for value in inner)
        return expected == given and [*map(type, expected)] == [*map(type, given)]

    def _odd(self, row: Raws) -> tuple[Any, ...]:
        """The values of any row; what a column cannot give back as it was goes to `rest`."""
        rest = {name: raw for name, raw in row.items() if name not in _STANDARD}
        values: list[Any] = []
        typed = ((TEXTS, _as_text), (INTEGERS, _as_integer), (FLAGS, _FLAGS.get), (REALS, _as_real))
        for names, convert in typed:
            for name in names:
                raw = bytes(row.get(name, b"null"))
                values.append(None if raw == b"null" else convert(raw))
                if values[-1] is None and raw != b"null":
                    rest[name] = row[name]
        values += [_metric(row.get(name)) for name in self._metrics]
        values += [None if name not in row else bytes(row[name]) for name in JSONS]
        tokens = segments.read(row["segments"]) if "segments" in row else None
        if tokens is None and "segments" in row:
            rest["segments"] = row["segments"]
        return *values, tokens, json.dumps(list(row)), _encode(rest) if rest else None


def _batch(rows: Sequence[tuple[Any, ...]], ids: segments.Ids, metrics: Sequence[str], schema: Any) -> Any:
    import pyarrow as pa

    columns = iter(zip(*rows, strict=True))
    arrays: list[Any] = [pa.array(values, pa.string()) for values in islice(columns, len(TEXTS))]
    arrays += [pa.array(values, pa.int64()) for values in islice(columns, len(INTEGERS))]
    arrays += [pa.array(values, pa.bool_()) for values in islice(columns, len(FLAGS))]
    arrays += [_reals(values) for values in islice(columns, len(REALS) + len(metrics))]
    arrays += [_json(values) for values in islice(columns, len(JSONS))]
    tokens, fields, rest = columns
    arrays += [segments.column(tokens, ids), pa.array(fields, pa.string()), _json(rest)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _reals(values: Sequence[Any]) -> Any:
    """A column of numbers; None for what is none."""
    import pyarrow as pa

    if {*map(type, values)} == {float}:
        return pa.array(floats(values), from_pandas=True)  # where NaN is none
    numbers = [
        value if type(value) is float else float(value) if isinstance(value, int) and abs(value) <= _MOST else None
        for value in values
    ]
    return pa.array(numbers, pa.float64())


def _json(texts: Sequence[msgspec.Raw | bytes | None]) -> Any:
    import pyarrow as pa

    missing = None
    try:
        joined = pa.py_buffer(b"".join(texts))  # pyright: ignore[reportArgumentType] -- raw JSON without a copy of each
    except TypeError:
        missing = pa.py_buffer(np.packbits([text is not None for text in texts], bitorder="little"))
        texts = [b"" if text is None else text for text in texts]
        joined = pa.py_buffer(b"".join(texts))
    ends = np.zeros(len(texts) + 1, np.int32)
    np.cumsum(np.fromiter(map(len, texts), np.int32, len(texts)), out=ends[1:])  # pyright: ignore[reportArgumentType]
    storage = pa.StringArray.from_buffers(len(texts), pa.py_buffer(ends), joined, missing)
    return pa.ExtensionArray.from_storage(pa.json_(pa.utf8()), storage)


def write_others(
    lines: Iterable[bytes], scalars: Iterator[Any], path: Path, told: Callable[[int], None] | None = None
) -> int:
    """Write rows of others: what the index knows of them, and the row as JSON.

    Args:
        lines: The rows.
        scalars: Tables of so much of them as the index knows, in their order.
        path: The file.
        told: Told how many rows have been written.

    Returns:
        How many rows.
    """
    import pyarrow.parquet as pq

    count, source, writer = 0, iter(lines), None
    try:
        for table in scalars:
            at = 0
            for batch in _batches(islice(source, len(table))):
                part = table.slice(at, len(batch)).append_column(ROW, _json(batch)).replace_schema_metadata(_META)
                writer = writer or pq.ParquetWriter(path, part.schema, compression="zstd")
                writer.write_table(part)
                at += len(batch)
            count += at
            if told:
                told(count)
    finally:
        if writer is not None:
            writer.close()
    return count


def _as_text(raw: bytes) -> str | None:
    try:
        return _text.decode(raw)
    except msgspec.ValidationError:
        return None


def _as_integer(raw: bytes) -> int | None:
    return int(raw) if _INTEGER.fullmatch(raw) else None


def _as_real(raw: bytes) -> float | None:
    """A number that is written as none of the integers."""
    return None if raw.isalpha() or raw.lstrip(b"-").isdigit() else _metric(raw)


def _metric(raw: msgspec.Raw | bytes | None) -> float | None:
    """A number as a column has it; None for what is none, or is beyond its range."""
    text = b"" if raw is None else bytes(raw)
    try:
        value = float(text)
    except ValueError:
        return float(text == b"true") if text in (b"true", b"false") else None
    return value if abs(value) <= _MOST else None


def read(path: Path) -> Iterator[bytes]:
    """The rows of a file that `write` or `write_others` wrote, as lines without their ends.

    Raises:
        UnreadableError: It is none.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            if b"llmgym" not in (file.schema_arrow.metadata or {}):
                raise UnreadableError(path, "it was not written by `llmgym data convert`, so its rows are not known")
            for batch in file.iter_batches(_BATCH):
                yield from map(str.encode, _column(batch, ROW)) if ROW in names else _lines(batch)
    except (pa.ArrowException, OSError) as error:
        raise UnreadableError(path, str(error)) from error


def _lines(batch: Any) -> Iterator[bytes]:
    columns: dict[str, Sequence[bytes | None]] = {}
    for names, convert in (
        (TEXTS, _encode),
        (INTEGERS, _encode),
        (FLAGS, _encode),
        (REALS, _encode),
        (JSONS, str.encode),
    ):
        for name in names:
            null = b"null" if name in _NULLABLE else None
            columns[name] = [null if value is None else convert(value) for value in _column(batch, name)]
    columns["segments"] = segments.texts(batch.column("segments"))
    columns = {name: columns[name] for name in _ORDER}
    rests = _column(batch, "rest")
    for at, fields in enumerate(_column(batch, "fields")):
        rest = _rows.decode(rests[at]) if rests[at] is not None else {}
        texts = {name: text for name, values in columns.items() if (text := values[at]) is not None}
        if fields is None:
            texts |= _beside(texts["metrics"])
            names = list(texts)
        else:
            texts |= {name: bytes(raw) for name, raw in rest.items()}
            names = json.loads(fields)
        yield b"{" + b",".join(_encode(name) + b":" + texts.get(name, b"null") for name in names) + b"}"


def _beside(metrics: bytes) -> dict[str, bytes]:
    """Metrics as they stand beside the fields of a row."""
    found = {name: bytes(raw) for name, raw in _rows.decode(metrics).items() if name not in _STANDARD}
    return {name: b"null" if raw.startswith(b'"') else raw for name, raw in found.items()}


def _column(batch: Any, name: str) -> list[Any]:
    """The values of a column; JSON as its texts. Files of earlier versions may not have it."""
    if name not in batch.schema.names:
        return [None] * len(batch)
    array = batch.column(name)
    return getattr(array, "storage", array).to_pylist()
