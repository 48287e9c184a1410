"""Rows of our own, of format 1."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import chain, groupby
from typing import Any, Generic, Literal, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from llmgym.data.scalars import FIXED, Count, Number, by_name, floats
from llmgym.failures import Failure
from llmgym.records import FORMAT, load_row
from llmgym.trajectory import Status, Trajectory

NAME = "llmgym's rollouts"
_MOST_METRICS = 64  # fields that are looked for one by one

M = TypeVar("M")


class _Versioned(msgspec.Struct):
    format: int


class _Counts(msgspec.Struct, gc=False):
    turns: Count
    sampled_tokens: Count
    context_tokens: Count


class _Timings(msgspec.Struct, gc=False):
    wall_s: float = 0.0


class _Row(msgspec.Struct, Generic[M], gc=False):
    """What is taken of a row; the decoder skips the rest at the speed of a scan."""

    format: Literal[1]
    id: str
    agent: str
    agents: Count
    env_id: str
    group_id: str
    repeat: Count
    task_hash: str
    status: Status
    reward: float | None
    counts: _Counts
    timings: _Timings
    tool_errors: dict[str, Count]
    metrics: M
    attempts: Count = 1
    failure: Failure | None = None


_decoder = msgspec.json.Decoder(_Row[dict[str, Number]])
_version_decoder = msgspec.json.Decoder(_Versioned)


def fits(row: Mapping[str, Any]) -> bool:
    """Whether a row is of this shape."""
    return "format" in row and "group_id" in row and "responses_create_params" in row


def decode(data: bytes | bytearray) -> _Row[dict[str, Number]]:
    """What the index wants of a row."""
    try:
        return _decoder.decode(data)
    except msgspec.ValidationError:
        if (version := _version_decoder.decode(data).format) != FORMAT:
            text = f"a row of format {version}; this version of llmgym reads format {FORMAT}"
            raise ValueError(text) from None
        raise


class Lines:
    """Decodes many lines at once, in less time than one by one: metrics that were seen are fields of a struct."""

    def __init__(self) -> None:
        """Start without metrics."""
        self._names: dict[str, None] = {}
        self._decoder: msgspec.json.Decoder[_Row[Any]] = _typed([])

    def decode(self, block: bytearray) -> list[_Row[Any]]:
        """What the index wants of rows.

        Raises:
            ValueError: One of them is none of this shape.
        """
        try:
            return self._decoder.decode_lines(block)
        except msgspec.ValidationError:
            rows = _decoder.decode_lines(block)
        self._names |= dict.fromkeys(chain.from_iterable(row.metrics for row in rows))
        self._decoder = _typed(list(self._names))
        return rows


def _typed(metrics: Sequence[str]) -> msgspec.json.Decoder[_Row[Any]]:
    """A decoder of rows that have these metrics, or some of them, and no others; of all rows where that is too much."""
    if len(metrics) > _MOST_METRICS:
        return _decoder
    names = {f"metric_{at}": name for at, name in enumerate(metrics)}
    fields = [(name, Number, math.nan) for name in names]
    try:
        kind = msgspec.defstruct("Metrics", fields, rename=names, forbid_unknown_fields=True, gc=False)
    except ValueError:  # a field cannot have a name with a quote in it
        return _decoder
    return msgspec.json.Decoder(_Row[kind])  # pyright: ignore[reportInvalidTypeArguments] -- it is made here


def columns(rows: Sequence[_Row[Any]]) -> dict[str, Sequence[Any]]:
    """The columns of rows."""
    found = dict(zip(_Row.__struct_fields__, zip(*map(msgspec.structs.astuple, rows), strict=True), strict=True))
    turns, sampled, context = zip(*map(msgspec.structs.astuple, found["counts"]), strict=True)
    alone = found["agents"].count(1) == len(rows)
    made: dict[str, Sequence[Any]] = {name: found[name] for name in FIXED if name in found}
    return made | {
        "episode_id": found["id"] if alone else [
            row.id if row.agents == 1 else row.id[: -len(row.agent) - 1] for row in rows
        ],
        "task_id": [group[len(env) + 1 :] for group, env in zip(found["group_id"], found["env_id"], strict=True)],
        "num_turns": turns,
        "num_sampled_tokens": sampled,
        "num_context_tokens": context,
        "num_tool_errors": [sum(errors.values()) if errors else 0 for errors in found["tool_errors"]],
        "wall_s": [timings.wall_s for timings in found["timings"]],
        "failure": [failure.kind if failure else "" for failure in found["failure"]],
    }  # fmt: skip


def metrics(rows: Sequence[_Row[Any]]) -> Mapping[str, NDArray[np.float64]]:
    """The metrics of rows, by name; NaN where a row has none of a name."""
    found: dict[str, NDArray[np.float64]] = {}
    start = 0
    for kind, group in groupby([row.metrics for row in rows], type):
        members = list(group)
        end = start + len(members)
        for name, values in _by_name(kind, members).items():
            found.setdefault(name, np.full(len(rows), math.nan))[start:end] = values
        start = end
    return found


def _by_name(kind: type, members: Sequence[Any]) -> Mapping[str, NDArray[np.float64]]:
    if kind is dict:
        return by_name(members)
    names = kind.__struct_encode_fields__  # pyright: ignore[reportAttributeAccessIssue] -- it is a struct
    values = floats(list(chain.from_iterable(map(msgspec.structs.astuple, members))))
    return dict(zip(names, values.reshape(len(members), -1).T, strict=True))


def trajectory(data: bytes, place: str) -> Trajectory:
    """A row whole."""
    return load_row(data, place)
