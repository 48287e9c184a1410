"""The tokens of rows as nested lists of numbers, and back."""

from __future__ import annotations

import warnings
from binascii import b2a_base64
from collections.abc import Iterable, Sequence
from itertools import islice, repeat
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from llmgym.data.scalars import Count

_MOST = (1 << 31) - 1
_NONE = np.zeros(0, np.uint64)


class Segment(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A segment as a row has it; its ids are read later, those of many rows at once."""

    ids: msgspec.Raw
    sampled: list[tuple[Count, Count]]
    logprobs: msgspec.Raw
    role: str | msgspec.UnsetType = msgspec.UNSET
    delivered: bool | msgspec.UnsetType = msgspec.UNSET
    messages: msgspec.Raw = msgspec.Raw()  # empty where there is none


class Ids(NamedTuple):
    """The ids of segments, one behind the other.

    Attributes:
        values: All of them.
        lengths: How many each segment has.
    """

    values: NDArray[np.int32]
    lengths: NDArray[np.int64]


class Tokens(NamedTuple):
    """A segment on its way into columns.

    Attributes:
        ids: Numbers with commas between.
        sampled: Start and end of each span.
        logprobs: float32, little-endian.
        role: None where it is the agent's.
        delivered: None where it was.
        messages: Its own, as JSON; None where it has none.
    """

    ids: bytes
    sampled: list[tuple[int, int]]
    logprobs: bytes
    role: str | None
    delivered: bool | None
    messages: str | None


_decoder = msgspec.json.Decoder(list[Segment])
_bytes = msgspec.json.Decoder(bytes)  # in half of the time that `binascii` takes


def type_() -> Any:
    """The type of the column."""
    import pyarrow as pa

    segment = pa.struct(
        [
            ("ids", pa.list_(pa.int32())),
            ("sampled", pa.list_(pa.list_(pa.int32()))),
            ("logprobs", pa.list_(pa.float32())),
            ("role", pa.string()),
            ("delivered", pa.bool_()),
            ("messages", pa.string()),
        ]
    )
    return pa.list_(segment)


def tokens_of(segments: Iterable[Segment]) -> list[Tokens] | None:
    """Segments on their way into columns; None where these would not give them back as they are.

    Ids are not looked at: `ids_of` tells whether they are such.
    """
    found: list[Tokens] = []
    for segment in segments:
        given = bytes(segment.ids)
        try:
            data = _bytes.decode(segment.logprobs)
        except ValueError:
            return None
        end = b2a_base64(data[-(len(data) % 3 or 3) :], newline=False)  # where it can be written in two ways
        if len(data) % 4 or not bytes(segment.logprobs).endswith(end + b'"') or not given.startswith(b"["):
            return None
        role = None if segment.role is msgspec.UNSET else segment.role
        delivered = None if segment.delivered is msgspec.UNSET else segment.delivered
        messages = bytes(segment.messages).decode() or None
        found.append(Tokens(given[1:-1].strip(), segment.sampled, data, role, delivered, messages))
    return found


def read(raw: msgspec.Raw) -> list[Tokens] | None:
    """The same of any JSON, ids included."""
    try:
        found = tokens_of(_decoder.decode(raw))
    except msgspec.DecodeError:
        return None
    return None if found is None or ids_of([found]) is None else found


def ids_of(rows: Iterable[Sequence[Tokens] | None]) -> Ids | None:
    """The ids of the segments of rows; None where one of them is none, or has 32 bits."""
    parts = [_NONE]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", DeprecationWarning)  # of what is no integer
            for row in rows:
                parts += [np.fromstring(one.ids, np.uint64, sep=",") if one.ids else _NONE for one in row or ()]
    except (ValueError, DeprecationWarning):
        return None
    values = np.concatenate(parts)
    if values.max(initial=0) > _MOST:
        return None
    return Ids(values.astype(np.int32), np.fromiter(map(len, parts[1:]), np.int64, len(parts) - 1))


def column(rows: Sequence[Sequence[Tokens] | None], ids: Ids) -> Any:
    """The segments of rows as nested lists.

    Args:
        rows: Of each row; None where it has none.
        ids: Those of all of them, as `ids_of` gives them.
    """
    import pyarrow as pa

    flat = [segment for row in rows for segment in row or ()]
    places = [place for segment in flat for span in segment.sampled for place in span]
    logprobs = b"".join(segment.logprobs for segment in flat)
    spans = _lists([2] * (len(places) // 2), pa.array(np.array(places, np.int32)))
    lists = [
        _lists(ids.lengths, pa.array(ids.values)),
        _lists([len(segment.sampled) for segment in flat], spans),
        _lists([len(segment.logprobs) // 4 for segment in flat], pa.array(np.frombuffer(logprobs, "<f4"))),
        pa.array([segment.role for segment in flat], pa.string()),
        pa.array([segment.delivered for segment in flat], pa.bool_()),
        pa.array([segment.messages for segment in flat], pa.string()),
    ]
    counts = [None if row is None else len(row) for row in rows]
    return _lists(counts, pa.StructArray.from_arrays(lists, fields=list(type_().value_type)))


def _lists(lengths: Sequence[int | None] | NDArray[np.int64], values: Any) -> Any:
    """Lists of so many of the values each, one behind the other; None for one that is not there."""
    import pyarrow as pa

    counts = np.array([0 if length is None else length for length in lengths], np.int32)
    offsets = pa.array(np.concatenate([np.zeros(1, np.int32), np.cumsum(counts, dtype=np.int32)]))
    missing = pa.array([length is None for length in lengths], pa.bool_()) if None in lengths else None
    return pa.ListArray.from_arrays(offsets, values, mask=missing)


def texts(column: Any) -> list[bytes]:
    """Lists of segments as JSON; log-probabilities by their bits."""
    flat = column.flatten()
    ids, sampled, logprobs, *others = flat.flatten()  # of files of earlier versions there are no others
    names = ("role", "delivered", "messages")[: len(others)]
    beside = zip(*(other.to_pylist() for other in others), strict=True) if others else repeat(())
    numbers = logprobs.flatten().to_numpy(zero_copy_only=False).astype("<f4", copy=False)
    ends = np.cumsum([0, *logprobs.value_lengths().to_pylist()])
    made: list[bytes] = []
    for at, (own, spans, values) in enumerate(zip(ids.to_pylist(), sampled.to_pylist(), beside, strict=False)):
        data = b2a_base64(numbers[ends[at] : ends[at + 1]].tobytes(), newline=False).decode()
        row: dict[str, Any] = {"ids": own, "sampled": spans, "logprobs": data}
        row |= {name: value for name, value in zip(names, values, strict=True) if value is not None}
        if "messages" in row:
            row["messages"] = msgspec.Raw(row["messages"].encode())
        made.append(msgspec.json.encode(row))
    source = iter(made)
    return [b"[" + b",".join(islice(source, length or 0)) + b"]" for length in column.value_lengths().to_pylist()]
