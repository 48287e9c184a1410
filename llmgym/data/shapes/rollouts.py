"""Rows of our own, of format 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from llmgym.data.scalars import FIXED, Number
from llmgym.failures import Failure
from llmgym.records import FORMAT, load_row
from llmgym.records.row import Counts, Timings
from llmgym.trajectory import Trajectory

NAME = "llmgym's rollouts"


class _Versioned(msgspec.Struct):
    format: int


class _Row(msgspec.Struct, gc=False):
    """What is taken of a row; the decoder skips the rest at the speed of a scan."""

    format: Literal[1]
    id: str
    agent: str
    agents: int
    env_id: str
    group_id: str
    repeat: int
    task_hash: str
    status: str
    reward: float | None
    counts: Counts
    timings: Timings
    tool_errors: dict[str, int]
    metrics: dict[str, Number]
    attempts: int = 1
    failure: Failure | None = None


_decoder = msgspec.json.Decoder(_Row)
_version_decoder = msgspec.json.Decoder(_Versioned)


def fits(row: Mapping[str, Any]) -> bool:
    """Whether a row is of this shape."""
    return "format" in row and "group_id" in row and "responses_create_params" in row


def decode(data: bytes | bytearray) -> _Row:
    """What the index wants of a row."""
    try:
        return _decoder.decode(data)
    except msgspec.ValidationError:
        if (version := _version_decoder.decode(data).format) != FORMAT:
            text = f"a row of format {version}; this version of llmgym reads format {FORMAT}"
            raise ValueError(text) from None
        raise


def decode_lines(block: bytearray) -> list[_Row]:
    """The same of many lines, in less time than one by one."""
    return _decoder.decode_lines(block)


def columns(rows: Sequence[_Row]) -> dict[str, Sequence[Any]]:
    """The columns of rows."""
    found = dict(zip(_Row.__struct_fields__, zip(*map(msgspec.structs.astuple, rows), strict=True), strict=True))
    turns, sampled, context, _ = zip(*map(msgspec.structs.astuple, found["counts"]), strict=True)
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


def metrics(rows: Sequence[_Row]) -> list[Mapping[str, Number]]:
    """The metrics of rows."""
    return [row.metrics for row in rows]


def trajectory(data: bytes, place: str) -> Trajectory:
    """A row whole."""
    return load_row(data, place)
