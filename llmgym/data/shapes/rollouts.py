"""Rows of our own, of format 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from llmgym.data.scalars import Number
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


def decode(data: bytes) -> _Row:
    """What the index wants of a row."""
    try:
        return _decoder.decode(data)
    except msgspec.ValidationError:
        if (version := _version_decoder.decode(data).format) != FORMAT:
            text = f"a row of format {version}; this version of llmgym reads format {FORMAT}"
            raise ValueError(text) from None
        raise


def columns(rows: Sequence[_Row]) -> dict[str, list[Any]]:
    """The columns of rows."""
    counts = [row.counts for row in rows]
    return {
        "id": [row.id for row in rows],
        "episode_id": [row.id if row.agents == 1 else row.id[: -len(row.agent) - 1] for row in rows],
        "env_id": [row.env_id for row in rows],
        "task_id": [row.group_id[len(row.env_id) + 1 :] for row in rows],
        "group_id": [row.group_id for row in rows],
        "task_hash": [row.task_hash for row in rows],
        "repeat": [row.repeat for row in rows],
        "agent": [row.agent for row in rows],
        "agents": [row.agents for row in rows],
        "status": [row.status for row in rows],
        "reward": [row.reward for row in rows],
        "attempts": [row.attempts for row in rows],
        "num_turns": [count.turns for count in counts],
        "num_sampled_tokens": [count.sampled_tokens for count in counts],
        "num_context_tokens": [count.context_tokens for count in counts],
        "num_tool_errors": [sum(row.tool_errors.values()) for row in rows],
        "wall_s": [row.timings.wall_s for row in rows],
        "failure": [row.failure.kind if row.failure else "" for row in rows],
    }


def metrics(rows: Sequence[_Row]) -> list[Mapping[str, Number]]:
    """The metrics of rows."""
    return [row.metrics for row in rows]


def trajectory(data: bytes, place: str) -> Trajectory:
    """A row whole."""
    return load_row(data, place)
