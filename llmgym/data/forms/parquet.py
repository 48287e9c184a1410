"""Rows of ours as Parquet, and back, equal by value, keys and float bits.

Scalars and metrics are typed, tokens are lists, and what is nested otherwise is JSON as it stands in the line, of
Parquet's JSON type. `rest` has what would be lost: fields that the types cannot hold as they are, and those that are
not known; `fields` says which the row had, in their order.
"""

from __future__ import annotations

import json
import re
from array import array
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from llmgym.data.problems import UnreadableError
from llmgym.records import FORMAT

_BATCH = 4096  # rows
TEXTS = ("id", "episode_id", "agent", "env_id", "group_id", "task_hash", "status", "error")
INTEGERS = ("format", "agents", "repeat", "seed", "attempts")
REALS = ("reward",)
JSONS = (
    "counts", "timings", "usage", "tool_errors", "task", "responses_create_params", "output", "reward_parts",
    "metrics", "turns", "compactions", "model_calls", "failure",
)  # fmt: skip
_METRICS = JSONS.index("metrics")
_OWN = {"fields", "rest"}
_ORDER = (
    "format", "id", "episode_id", "agent", "agents", "env_id", "group_id", "repeat", "task_hash", "status", "reward",
    "counts", "timings", "usage", "tool_errors", "seed", "task", "responses_create_params", "output", "reward_parts",
    "metrics", "turns", "segments", "compactions", "model_calls", "failure", "error", "attempts",
)  # fmt: skip
_STANDARD = frozenset(_ORDER)
ROW = "row"  # of rows of others, whole
_META = {b"llmgym": json.dumps({"format": FORMAT}).encode()}

_Scalar = int | float | str | bool | None
Raws = dict[str, msgspec.Raw]


class _Segment(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    ids: list[int]
    sampled: list[tuple[int, int]]
    logprobs: str


_rows = msgspec.json.Decoder(Raws)
_segments = msgspec.json.Decoder(list[_Segment])
_scalars = msgspec.json.Decoder(dict[str, _Scalar])
_text = msgspec.json.Decoder(str | None)
_encode = msgspec.json.encode
_INTEGER = re.compile(rb"-?(?:0|[1-9]\d{0,17})")
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
    takes = _Rows(columns)
    count, source = 0, iter(lines)
    few: Any = ["env_id", "agent", "status", "fields", "task", "responses_create_params"]  # the others hardly repeat
    with pq.ParquetWriter(
        path, _schema(columns), compression="zstd", use_dictionary=few, write_statistics=few
    ) as writer:
        while batch := list(islice(source, _BATCH)):
            writer.write_batch(_batch(list(map(takes.values, batch)), columns, writer.schema))
            count += len(batch)
            if told:
                told(count)
    return count


def _schema(metrics: Sequence[str]) -> Any:
    import pyarrow as pa

    json_ = pa.json_(pa.utf8())
    segment = pa.struct(
        [
            ("ids", pa.list_(pa.int32())),
            ("sampled", pa.list_(pa.list_(pa.int32()))),
            ("logprobs", pa.list_(pa.float32())),
        ]
    )
    fields = [(name, pa.string()) for name in TEXTS]
    fields += [(name, pa.int64()) for name in INTEGERS]
    fields += [(name, pa.float64()) for name in (*REALS, *metrics)]
    fields += [(name, json_) for name in JSONS]
    fields += [("segments", pa.list_(segment)), ("fields", pa.string()), ("rest", json_)]
    return pa.schema(fields, metadata=_META)


class _Rows:
    """Takes rows apart into values of the columns: texts, integers, reals, metrics, JSON, segments, fields, rest."""

    def __init__(self, metrics: Sequence[str]) -> None:
        fields: list[Any] = [(f"f{number}", str) for number in range(len(TEXTS) - 1)] + [("error", str | None)]
        fields += [(f"i{number}", int) for number in range(len(INTEGERS))]
        fields += [(f"r{number}", int | float | None) for number in range(len(REALS))]
        fields += [(f"j{number}", msgspec.Raw) for number in range(len(JSONS))] + [("segments", list[_Segment])]
        names = [*TEXTS, *INTEGERS, *REALS, *JSONS, "segments"]
        fields += [(f"m{number}", _Scalar | msgspec.UnsetType, msgspec.UNSET) for number in range(len(metrics))]
        rename = dict(zip([field[0] for field in fields], [*names, *metrics], strict=True))
        usual = msgspec.defstruct("Usual", fields, rename=rename, forbid_unknown_fields=True, gc=False)
        self._usual = msgspec.json.Decoder(usual)
        self._metrics = metrics
        self._typed = len(TEXTS) + len(INTEGERS) + len(REALS)

    def values(self, line: bytes) -> tuple[Any, ...]:
        """The values of a row; as our writer has it that takes a third of the time of one that is odd."""
        try:
            row = msgspec.structs.astuple(self._usual.decode(line))
        except msgspec.ValidationError:
            return self._odd(_rows.decode(line))
        typed, count = self._typed, self._typed + len(JSONS)
        jsons, metrics = row[typed:count], row[count + 1 :]
        tokens = _columns_of(row[count])
        if tokens is None or int in map(type, row[typed - len(REALS) : typed]) or not self._same(jsons, metrics):
            return self._odd(_rows.decode(line))
        return *row[:typed], *metrics, *map(bytes, jsons), tokens, None, None

    def _same(self, jsons: tuple[msgspec.Raw, ...], given: tuple[Any, ...]) -> bool:
        """Whether the metrics beside the fields are those of `metrics`, so that they need not be kept twice."""
        found = _scalars.decode(jsons[_METRICS])
        expected = {name: None if type(v) is str else v for name, v in found.items() if name not in _STANDARD}
        there = {name: v for name, v in zip(self._metrics, given, strict=True) if v is not msgspec.UNSET}
        types = [*map(type, map(there.get, expected))]
        return expected == there and types == [*map(type, expected.values())]

    def _odd(self, row: Raws) -> tuple[Any, ...]:
        """The values of any row; what a column cannot give back as it was goes to `rest`."""
        rest = {name: raw for name, raw in row.items() if name not in _STANDARD}
        values: list[Any] = []
        for names, convert in ((TEXTS, _as_text), (INTEGERS, _as_integer), (REALS, _as_real)):
            for name in names:
                raw = bytes(row.get(name, b"null"))
                values.append(None if raw == b"null" else convert(raw))
                if values[-1] is None and raw != b"null":
                    rest[name] = row[name]
        values += [_metric(row.get(name)) for name in self._metrics]
        values += [None if name not in row else bytes(row[name]) for name in JSONS]
        segments = _read_segments(row["segments"]) if "segments" in row else None
        if segments is None and "segments" in row:
            rest["segments"] = row["segments"]
        return *values, segments, json.dumps(list(row)), _encode(rest) if rest else None


def _batch(rows: Sequence[tuple[Any, ...]], metrics: Sequence[str], schema: Any) -> Any:
    import pyarrow as pa

    columns = iter(zip(*rows, strict=True))
    arrays: list[Any] = [pa.array(values, pa.string()) for values in islice(columns, len(TEXTS))]
    arrays += [pa.array(values, pa.int64()) for values in islice(columns, len(INTEGERS))]
    arrays += [_reals(values) for values in islice(columns, len(REALS) + len(metrics))]
    arrays += [_json(values) for values in islice(columns, len(JSONS))]
    segments, fields, rest = columns
    arrays += [_tokens(segments, schema.field("segments").type), pa.array(fields, pa.string()), _json(rest)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _reals(values: Sequence[Any]) -> Any:
    """A column of numbers; None for what is none."""
    import pyarrow as pa

    numbers = [
        value if type(value) is float else float(value) if isinstance(value, int) and abs(value) <= _MOST else None
        for value in values
    ]
    return pa.array(numbers, pa.float64())


def _json(texts: Sequence[bytes | None]) -> Any:
    import pyarrow as pa

    storage = pa.array(texts, pa.binary()).cast(pa.string())
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
            table = table.append_column(ROW, _json(list(islice(source, len(table)))))
            table = table.replace_schema_metadata(_META)
            writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
            writer.write_table(table)
            count += len(table)
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


class _Tokens(NamedTuple):
    """A segment as columns have it."""

    ids: array[int]
    places: array[int]  # start and end of each span
    logprobs: bytes


def _tokens(rows: Sequence[list[_Tokens] | None], type_: Any) -> Any:
    """The segments of rows as nested lists."""
    import pyarrow as pa

    flat = [segment for row in rows for segment in row or ()]
    ids, places, logprobs = (b"".join(parts) for parts in zip(*flat, strict=True)) if flat else (b"", b"", b"")
    spans = _lists([2] * (len(places) // 8), pa.array(np.frombuffer(places, np.int32)))
    lists = [
        _lists([len(segment.ids) for segment in flat], pa.array(np.frombuffer(ids, np.int32))),
        _lists([len(segment.places) // 2 for segment in flat], spans),
        _lists([len(segment.logprobs) // 4 for segment in flat], pa.array(np.frombuffer(logprobs, "<f4"))),
    ]
    counts = [None if row is None else len(row) for row in rows]
    return _lists(counts, pa.StructArray.from_arrays(lists, fields=list(type_.value_type)))


def _read_segments(raw: msgspec.Raw) -> list[_Tokens] | None:
    try:
        return _columns_of(_segments.decode(raw))
    except msgspec.DecodeError:
        return None


def _columns_of(segments: list[_Segment]) -> list[_Tokens] | None:
    """Segments as columns have them; None where these would not give them back as they are."""
    found: list[_Tokens] = []
    for segment in segments:
        try:
            data = a2b_base64(segment.logprobs)
            ids, places = array("i", segment.ids), array("i", [place for span in segment.sampled for place in span])
        except (ValueError, OverflowError):
            return None
        if len(data) % 4 or b2a_base64(data, newline=False).decode() != segment.logprobs:
            return None
        found.append(_Tokens(ids, places, data))
    return found


def _lists(lengths: Sequence[int | None], values: Any) -> Any:
    """Lists of so many of the values each, one behind the other; None for one that is not there."""
    import pyarrow as pa

    counts = np.array([0 if length is None else length for length in lengths], np.int32)
    offsets = pa.array(np.concatenate([np.zeros(1, np.int32), np.cumsum(counts, dtype=np.int32)]))
    missing = pa.array([length is None for length in lengths], pa.bool_()) if None in lengths else None
    return pa.ListArray.from_arrays(offsets, values, mask=missing)


# --- and back ------------------------------------------------------------------------------------


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
                yield from _whole(batch) if ROW in names else _lines(batch)
    except (pa.ArrowException, OSError) as error:
        raise UnreadableError(path, str(error)) from error


def _whole(batch: Any) -> Iterator[bytes]:
    for text in _plain(batch.column(ROW)).to_pylist():
        yield text.encode()


def _lines(batch: Any) -> Iterator[bytes]:
    columns: dict[str, list[bytes]] = {}
    for names, convert in ((TEXTS, _encode), (INTEGERS, _encode), (REALS, _encode), (JSONS, _kept)):
        for name in names:
            columns[name] = [convert(value) for value in _plain(batch.column(name)).to_pylist()]
    columns["segments"] = _segment_texts(batch.column("segments"))
    columns = {name: columns[name] for name in _ORDER}
    rests = _plain(batch.column("rest")).to_pylist()
    for at, fields in enumerate(batch.column("fields").to_pylist()):
        rest = _rows.decode(rests[at]) if rests[at] is not None else {}
        texts = {name: values[at] for name, values in columns.items()}
        if fields is None:
            texts |= _beside(texts["metrics"])
            names = list(texts)
        else:
            texts |= {name: bytes(raw) for name, raw in rest.items()}
            names = json.loads(fields)
        yield b"{" + b",".join(_encode(name) + b":" + texts[name] for name in names) + b"}"


def _beside(metrics: bytes) -> dict[str, bytes]:
    """Metrics as they stand beside the fields of a row."""
    found = {name: bytes(raw) for name, raw in _rows.decode(metrics).items() if name not in _STANDARD}
    return {name: b"null" if raw.startswith(b'"') else raw for name, raw in found.items()}


def _plain(array: Any) -> Any:
    """The texts of a column of JSON."""
    return getattr(array, "storage", array)


def _kept(text: str | None) -> bytes:
    return b"null" if text is None else text.encode()


def _segment_texts(array: Any) -> list[bytes]:
    """Lists of segments as JSON; log-probabilities by their bits."""
    flat = array.flatten()
    ids, sampled, logprobs = flat.flatten()
    numbers = logprobs.flatten().to_numpy(zero_copy_only=False).astype("<f4", copy=False)
    ends = np.cumsum([0, *logprobs.value_lengths().to_pylist()])
    texts: list[bytes] = []
    for at, (own, spans) in enumerate(zip(ids.to_pylist(), sampled.to_pylist(), strict=True)):
        data = b2a_base64(numbers[ends[at] : ends[at + 1]].tobytes(), newline=False).decode()
        texts.append(_encode({"ids": own, "sampled": spans, "logprobs": data}))
    source = iter(texts)
    return [b"[" + b",".join(islice(source, length or 0)) + b"]" for length in array.value_lengths().to_pylist()]
