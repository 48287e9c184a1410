"""Rows of our own, of format 1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from llmgym.data.scalars import Scalars
from llmgym.failures import Failure
from llmgym.records import FORMAT, load_row
from llmgym.records.row import Counts, Timings
from llmgym.trajectory import Trajectory

NAME = "llmgym's rollouts"


class _Row(msgspec.Struct, gc=False):
    """What is taken of a row; the decoder skips the rest at the speed of a scan."""

    format: int
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
    metrics: dict[str, float | str | None]
    attempts: int = 1
    failure: Failure | None = None


#: Of these numbers, which stand among the metrics too, the index has columns of its own.
_COUNTED = frozenset({"num_turns", "num_sampled_tokens", "num_context_tokens"})

_decoder = msgspec.json.Decoder(_Row)


def fits(row: Mapping[str, Any]) -> bool:
    """Whether a row is of this shape."""
    return "format" in row and "group_id" in row and "responses_create_params" in row


def scalars(data: bytes) -> Scalars:
    """What the index keeps of a row."""
    row = _decoder.decode(data)
    if row.format != FORMAT:
        raise ValueError(f"a row of format {row.format}; this version of llmgym reads format {FORMAT}")
    episode_id = row.id if row.agents == 1 else row.id[: -len(row.agent) - 1]
    counts = row.counts
    return Scalars(
        row.id, episode_id, row.env_id, row.group_id[len(row.env_id) + 1 :], row.group_id, row.task_hash, row.repeat,
        row.agent, row.agents, row.status, row.reward, row.attempts, counts.turns, counts.sampled_tokens,
        counts.context_tokens, sum(row.tool_errors.values()), row.timings.wall_s,
        row.failure.kind if row.failure else "",
        {name: _number(value) for name, value in row.metrics.items() if name not in _COUNTED},
    )  # fmt: skip


def _number(value: float | str | None) -> float | None:
    return value if not isinstance(value, str) else None if value == "NaN" else float(value)


def trajectory(data: bytes, place: str) -> Trajectory:
    """A row whole."""
    return load_row(data, place)
