"""From trajectories to lines."""

from __future__ import annotations

import math
from base64 import b64encode
from typing import Any, cast

import msgspec
import numpy as np
import orjson

from llmgym.chat import ModelCall, Usage
from llmgym.errors import StoreError, TaskError
from llmgym.messages import scrub, user
from llmgym.records.row import (
    FORMAT,
    ROW_FIELDS,
    Counts,
    EpisodeRecord,
    FailureRecord,
    Number,
    TaskRow,
    Timings,
)
from llmgym.redaction import redact_text
from llmgym.responses import to_input, to_items, to_tools
from llmgym.tasks import Task
from llmgym.trajectory import Compaction, Segment, Trajectory, Turn

_encode = msgspec.json.Encoder().encode
_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE


class UnstorableError(StoreError):
    """A row cannot hold an episode, such as one with a metric that is no number."""


def dump_row(trajectory: Trajectory) -> bytes:
    """The line of a trajectory, with its newline.

    Raises:
        UnstorableError: It has what JSON cannot hold.
    """
    return dump_with_record(trajectory)[0]


def dump_with_record(trajectory: Trajectory) -> tuple[bytes, EpisodeRecord]:
    """The line of a trajectory, and the record that is its start.

    Raises:
        UnstorableError: It has what JSON cannot hold.
    """
    try:
        # A message, a schema or a metric can be whatever an environment or a policy made of it.
        record = record_of(trajectory)
        return orjson.dumps(_row(trajectory, record), option=_OPTIONS), record
    except (UnstorableError, TaskError) as error:
        raise UnstorableError(f"{trajectory.id} cannot be stored: {error}") from None
    except (TypeError, ValueError, KeyError, AttributeError, IndexError, OverflowError, RecursionError) as error:
        raise UnstorableError(f"{trajectory.id} cannot be stored: {type(error).__name__}: {error}") from error


def _row(t: Trajectory, record: EpisodeRecord) -> dict[str, Any]:
    """The row as `Row` describes it, as plain data, arrays, and JSON that is ready."""
    messages, counts, group_id, isfinite = t.messages, record.counts, t.group_id, math.isfinite
    metrics: dict[str, Number] = {
        name: value if type(value) is float and isfinite(value) else _number(value, name)
        for name, value in t.metrics.items()
    }
    return {
        "format": FORMAT,
        "id": record.id,
        "episode_id": f"{group_id}/{t.repeat}",
        "agent": t.agent,
        "agents": t.agents,
        "env_id": t.env_id,
        "group_id": group_id,
        "repeat": t.repeat,
        "task_hash": record.task_hash,
        "status": t.status,
        "reward": record.reward,
        "counts": {
            "turns": counts.turns, "sampled_tokens": counts.sampled_tokens, "context_tokens": counts.context_tokens,
            "compactions": counts.compactions,
        },
        "timings": {name: round(value * 1e6) / 1e6 for name, value in t.timings.items()},
        "usage": {role: _json(_usage(usage, role)) for role, usage in t.usage.items()},
        "tool_errors": t.tool_errors,
        "seed": t.seed,
        "task": _json(_task(t)),
        "responses_create_params": {
            "input": to_input(messages[: t.opening]),
            "tools": to_tools(t.tools),
            **{name: _checked(value, name) for name, value in t.sampling.items()},
        },
        "output": to_items(messages[t.opening :]),
        "reward_parts": {
            name: {"value": None if part.value is None else _number(part.value, name),
                   "weight": _number(part.weight, name)}
            for name, part in t.reward_parts.items()
        },
        "metrics": metrics,
        "turns": [_turn(turn) for turn in t.turns],
        "segments": [_segment(segment) for segment in t.segments],
        "compactions": [_compaction(made) for made in t.compactions],
        "branches": [_turn(turn) for turn in t.branches],
        "played": t.played,
        "model_calls": [_call(call) for call in t.model_calls],
        "failure": _json(t.failure),
        "error": None if t.error is None else redact_text(scrub(t.error)),
        "attempts": t.attempts,
        "policy": t.policy,
        "trainable": t.trainable,
        **{
            name: None if isinstance(number, str) else number
            for name, number in metrics.items() if name not in ROW_FIELDS
        },
    }  # fmt: skip


def record_of(trajectory: Trajectory) -> EpisodeRecord:
    """What a summary needs of an episode."""
    t, seconds = trajectory, trajectory.timings
    wall, engine, env = seconds.get("wall_s", 0.0), seconds.get("engine_s", 0.0), seconds.get("env_s", 0.0)
    timings = Timings(round(wall * 1e6) / 1e6, round(engine * 1e6) / 1e6, round(env * 1e6) / 1e6)
    return EpisodeRecord(
        FORMAT, t.id, t.agent, t.agents, t.env_id, t.repeat, t.task.content_hash if t.task else "", t.status,
        _reward(t.reward), _counts(t), timings, t.usage, t.tool_errors,
    )  # fmt: skip


def failure_of(trajectory: Trajectory) -> FailureRecord:
    """What a summary needs of an episode that failed."""
    t = trajectory
    return FailureRecord(FORMAT, t.id, t.agent, t.agents, t.env_id, t.status, t.failure, t.error)


def _counts(t: Trajectory) -> Counts:
    sampled = t.sampled_tokens
    context = sum(len(segment.ids) for segment in t.segments) - sampled
    return Counts(len(t.turns), sampled, context, len(t.compactions))


def _usage(usage: Usage, role: str) -> Usage:
    _checked(usage.cost, f"the cost of {role}")
    return usage


def _task(t: Trajectory) -> TaskRow:
    """The task, without its prompt where that ends the opening, as it mostly does."""
    if t.task is None:
        return TaskRow(t.task_id)
    task: Task = t.task
    prompt, metadata = task.prompt, task.metadata or {}  # an empty one of any class is left out
    messages = [user(prompt)] if isinstance(prompt, str) else prompt
    at = t.opening - len(messages)
    if messages and at >= 0 and t.messages[at : t.opening] == messages:
        is_text = isinstance(prompt, str)
        return TaskRow(task.id, None, at, is_text, task.answer, metadata)
    return TaskRow(task.id, cast("str | list[dict[str, Any]]", prompt), answer=task.answer, metadata=metadata)


def _turn(turn: Turn) -> dict[str, Any]:
    """What is not as `TurnRow` has it by default."""
    reward = turn.reward
    row: dict[str, Any] = {} if reward == 0 else {"reward": _reward(reward)}
    if turn.finish_reason != "stop":
        row["finish_reason"] = turn.finish_reason
    row["engine_s"] = round(turn.engine_s * 1e6) / 1e6
    row["env_s"] = round(turn.env_s * 1e6) / 1e6
    if turn.segment:
        row["segment"] = turn.segment
    if turn.start:
        row["start"] = turn.start
    if turn.end:
        row["end"] = turn.end
    if turn.cached_tokens:
        row["cached_tokens"] = turn.cached_tokens
    if turn.versions:
        row["versions"] = [(span.version, span.start, span.end) for span in turn.versions]
    if turn.model:
        row["model"] = turn.model
    return row


def _compaction(made: Compaction) -> dict[str, Any]:
    row: dict[str, Any] = {"turn": made.turn, "start": made.start, "cleared": made.cleared}
    if made.note:
        row["note"] = made.note
    if made.summary is not None:
        row["summary"] = _turn(made.summary)
    return row


def _segment(segment: Segment) -> dict[str, Any]:
    row: dict[str, Any] = {
        "ids": np.ascontiguousarray(segment.ids, np.int32),
        "sampled": segment.spans,
        "logprobs": b64encode(segment.logprobs[segment.sampled].astype("<f4").tobytes()).decode(),
    }
    if segment.role != "agent":
        row["role"] = segment.role
    if not segment.delivered:
        row["delivered"] = False
    if segment.messages is not None:
        row["messages"] = segment.messages
    return row


def _call(call: ModelCall) -> dict[str, Any]:
    return {
        "role": call.role,
        "model": call.model,
        "messages": call.messages,
        "reply": call.reply,
        "usage": _json(_usage(call.usage, call.role)),
        "seconds": round(call.seconds * 1e6) / 1e6,
    }


def _json(data: object) -> orjson.Fragment:
    """Structs as JSON; tasks may hold integers of any size."""
    return orjson.Fragment(_encode(data))


def _checked(value: Any, name: str) -> Any:
    """The value, unless it is a number that JSON does not have."""
    if isinstance(value, float) and not math.isfinite(value):
        raise UnstorableError(f"{name} is {value}")
    return value


def _reward(value: float | None) -> float | None:
    if type(value) is float and math.isfinite(value):
        return value
    number = None if value is None else _number(value, "a reward")
    if isinstance(number, str):
        raise UnstorableError(f"a reward is {number}; it is None where an episode is unscored")
    return None if number is None else float(number)


def _number(value: object, name: str) -> Number:
    """A number as JSON has it; what is none, such as text or a complex one, is refused."""
    if type(value) is float and math.isfinite(value):
        return value
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, int):
        return int(value) if -(1 << 63) <= value < 1 << 63 else float(value)
    if not isinstance(value, float):
        raise UnstorableError(f"{name} is {value!r:.100}, which is no number")
    if math.isfinite(value):
        return float(value)
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
