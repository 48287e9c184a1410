"""Rows of ours as Parquet, and back, equal by value, keys and float bits.

Scalars and metrics are typed, tokens are lists, and what is nested otherwise is JSON as it stands in the line, of
Parquet's JSON type. `rest` has what would be lost: fields that the types cannot hold as they are, and those that are
not known; `fields` says which the row had, in their order.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Annotated, Any

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
_OWN = ("segments", "fields", "rest")
ROW = "row"  # of rows of others, whole
_META = {b"llmgym": json.dumps({"format": FORMAT}).encode()}

_Place = Annotated[int, msgspec.Meta(ge=0, lt=1 << 31)]
Raws = dict[str, msgspec.Raw]


class _Segment(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    ids: list[Annotated[int, msgspec.Meta(ge=-(1 << 31), lt=1 << 31)]]
    sampled: list[tuple[_Place, _Place]]
    logprobs: str


_rows = msgspec.json.Decoder(Raws)
_segments = msgspec.json.Decoder(list[_Segment])
_text = msgspec.json.Decoder(str | None)
_encode = msgspec.json.encode
_INTEGER = re.compile(rb"-?(?:0|[1-9]\d{0,17})")


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

    columns = [name for name in metrics if name not in {*TEXTS, *INTEGERS, *REALS, *JSONS, *_OWN}]
    count, source = 0, iter(lines)
    few: Any = ["env_id", "agent", "status", "fields", "task", "responses_create_params"]  # the others hardly repeat
    with pq.ParquetWriter(path, _schema(columns), compression="zstd", use_dictionary=few) as writer:
        while batch := list(islice(source, _BATCH)):
            writer.write_batch(_batch([_rows.decode(line) for line in batch], columns, writer.schema))
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


def _batch(rows: list[Raws], metrics: Sequence[str], schema: Any) -> Any:
    """Rows by columns; what a column cannot give back as it was goes to `rest`."""
    import pyarrow as pa

    rests: list[dict[str, msgspec.Raw]] = [{} for _ in rows]
    typed = ((TEXTS, _as_text, pa.string()), (INTEGERS, _as_integer, pa.int64()), (REALS, _as_real, pa.float64()))
    columns: list[Any] = [
        pa.array(_column(rows, rests, name, convert), kind) for names, convert, kind in typed for name in names
    ]
    columns += [pa.array([_metric(row.get(name)) for row in rows], pa.float64()) for name in metrics]
    columns += [_json([None if (raw := row.get(name)) is None else bytes(raw) for row in rows]) for name in JSONS]
    columns.append(_tokens(rows, rests, schema.field("segments").type))
    known = {*TEXTS, *INTEGERS, *REALS, *JSONS, "segments"}
    for row, rest in zip(rows, rests, strict=True):
        rest |= {name: raw for name, raw in row.items() if name not in known}
    columns.append(pa.array([json.dumps(list(row)) for row in rows], pa.string()))
    columns.append(_json([_encode(rest) if rest else None for rest in rests]))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _json(texts: list[bytes | None]) -> Any:
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


def _column(rows: list[Raws], rests: list[Raws], name: str, convert: Callable[[bytes], Any]) -> list[Any]:
    """The values of a field; where one does not give the raw one back, that stays in the row's rest."""
    raws = [row.get(name) for row in rows]
    values: list[Any] = []
    for at, raw in enumerate(raws):
        value = None if raw is None else convert(bytes(raw))
        if value is None and raw is not None and bytes(raw) != b"null":
            rests[at][name] = rows[at][name]
        values.append(value)
    return values


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


_MOST = float(np.finfo(np.float64).max)


def _tokens(rows: list[Raws], rests: list[Raws], type_: Any) -> Any:
    """The segments of rows as nested lists."""
    import pyarrow as pa

    flat: list[_Segment] = []
    numbers: list[bytes] = []
    counts: list[int | None] = []
    for row, rest in zip(rows, rests, strict=True):
        raw = row.get("segments")
        read = None if raw is None else _read_segments(raw)
        if read is None:
            rest |= {} if raw is None else {"segments": raw}
            counts.append(None)
            continue
        flat += read[0]
        numbers += read[1]
        counts.append(len(read[0]))
    spans = [span for segment in flat for span in segment.sampled]
    places = pa.array(chain.from_iterable(spans), pa.int32(), size=2 * len(spans))
    total = sum(len(segment.ids) for segment in flat)
    ids = pa.array(chain.from_iterable(segment.ids for segment in flat), pa.int32(), size=total)
    lists = [
        _lists([len(segment.ids) for segment in flat], ids),
        _lists([len(segment.sampled) for segment in flat], _lists([2] * len(spans), places)),
        _lists([len(data) // 4 for data in numbers], pa.array(np.frombuffer(b"".join(numbers), "<f4"))),
    ]
    return _lists(counts, pa.StructArray.from_arrays(lists, fields=list(type_.value_type)))


def _read_segments(raw: msgspec.Raw) -> tuple[list[_Segment], list[bytes]] | None:
    """Segments and their log-probabilities; None where lists would not give them back as they are."""
    try:
        segments = _segments.decode(raw)
        numbers = [base64.b64decode(segment.logprobs) for segment in segments]
    except (msgspec.DecodeError, ValueError):
        return None
    same = (base64.b64encode(data).decode() == one.logprobs for data, one in zip(numbers, segments, strict=True))
    return (segments, numbers) if all(same) and not any(len(data) % 4 for data in numbers) else None


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
    rests = _plain(batch.column("rest")).to_pylist()
    for at, fields in enumerate(batch.column("fields").to_pylist()):
        rest = _rows.decode(rests[at]) if rests[at] is not None else {}
        parts = (
            _encode(name) + b":" + (bytes(rest[name]) if name in rest else columns[name][at])
            for name in json.loads(fields)
        )
        yield b"{" + b",".join(parts) + b"}"


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
        data = base64.b64encode(numbers[ends[at] : ends[at + 1]].tobytes()).decode()
        texts.append(_encode({"ids": own, "sampled": spans, "logprobs": data}))
    source = iter(texts)
    return [b"[" + b",".join(islice(source, length or 0)) + b"]" for length in array.value_lengths().to_pylist()]
