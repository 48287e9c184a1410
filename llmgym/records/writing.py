"""From trajectories to lines."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import Any, cast

import msgspec
import numpy as np
import orjson

from llmgym.chat import Usage
from llmgym.errors import StoreError
from llmgym.messages import scrub, user
from llmgym.records.row import (
    FORMAT,
    ROW_FIELDS,
    ZERO,
    Counts,
    EpisodeRecord,
    FailureRecord,
    ModelCallRow,
    Number,
    PartRow,
    Row,
    SegmentRow,
    SpanRow,
    TaskRow,
    Timings,
    TurnRow,
)
from llmgym.redaction import redact_text
from llmgym.responses import to_input, to_items, to_tools
from llmgym.rewards import Part
from llmgym.tasks import Task
from llmgym.trajectory import Segment, Trajectory, Turn

_encode = msgspec.json.Encoder().encode


class UnstorableError(StoreError):
    """A row cannot hold an episode, such as one with a metric that is no number."""


def dump_row(trajectory: Trajectory) -> bytes:
    """The line of a trajectory, with its newline.

    Raises:
        UnstorableError: It has what JSON cannot hold.
    """
    try:
        # A message, a schema or a metric can be whatever an environment or a policy made of it.
        row = _row(trajectory)
        return _encode(row)[:-1] + _top_level(row.metrics) + b"}\n"
    except (TypeError, ValueError, KeyError, AttributeError, IndexError, OverflowError, RecursionError) as error:
        said = error if isinstance(error, UnstorableError) else f"{type(error).__name__}: {error}"
        raise UnstorableError(f"{trajectory.id} cannot be stored: {said}") from error


def _row(t: Trajectory) -> Row:
    """The row; what is only written, and long, is JSON already."""
    calls: Any = [
        ModelCallRow(call.role, _plain(call.messages), _plain(call.reply), call.usage, _seconds(call.seconds))
        for call in t.model_calls
    ]
    return Row(
        format=FORMAT,
        id=t.id,
        episode_id=t.episode_id,
        agent=t.agent,
        agents=t.agents,
        env_id=t.env_id,
        group_id=t.group_id,
        repeat=t.repeat,
        task_hash=_task_hash(t),
        status=t.status,
        reward=_reward(t.reward),
        counts=_counts(t),
        timings={name: _seconds(value) for name, value in t.timings.items()},
        usage=_usage(t.usage) if t.usage else t.usage,
        tool_errors=t.tool_errors,
        seed=t.seed,
        task=_task(t),
        responses_create_params={
            "input": _json(to_input(t.messages[: t.opening])),
            "tools": _json(to_tools(t.tools)),
            **{name: _checked(value, name) for name, value in t.sampling.items()},
        },
        output=_json(to_items(t.messages[t.opening :])),
        reward_parts={name: _part(part, name) for name, part in t.reward_parts.items()},
        metrics={name: _number(value, name) for name, value in t.metrics.items()},
        turns=[_turn(turn) for turn in t.turns],
        segments=[_segment(segment) for segment in t.segments],
        model_calls=calls,
        failure=t.failure,
        error=None if t.error is None else redact_text(scrub(t.error)),
        attempts=t.attempts,
    )


def record_of(trajectory: Trajectory) -> EpisodeRecord:
    """What a summary needs of an episode that is not stored."""
    t = trajectory
    timings = Timings(*(t.timings.get(name, 0.0) for name in Timings.__struct_fields__))
    return EpisodeRecord(
        FORMAT, t.id, t.agent, t.agents, t.env_id, t.repeat, _task_hash(t), t.status, t.reward, _counts(t), timings,
        t.usage, t.tool_errors,
    )  # fmt: skip


def failure_of(trajectory: Trajectory) -> FailureRecord:
    """What a summary needs of an episode that failed."""
    t = trajectory
    return FailureRecord(FORMAT, t.id, t.agent, t.agents, t.env_id, t.status, t.failure, t.error)


def _task_hash(t: Trajectory) -> str:
    return t.task.content_hash if t.task else ""


def _counts(t: Trajectory) -> Counts:
    sampled = t.sampled_tokens
    return Counts(len(t.turns), sampled, sum(len(segment.ids) for segment in t.segments) - sampled)


def _usage(usage: Mapping[str, Usage]) -> dict[str, Usage]:
    for role, used in usage.items():
        _checked(used.cost, f"the cost of {role}")
    return dict(usage)


def _task(t: Trajectory) -> TaskRow:
    """The task, without its prompt where that ends the opening, as it mostly does."""
    if t.task is None:
        return TaskRow(t.task_id)
    task: Task = t.task
    prompt = task.prompt
    messages = [user(prompt)] if isinstance(prompt, str) else prompt
    at = t.opening - len(messages)
    if messages and at >= 0 and t.messages[at : t.opening] == messages:
        is_text = isinstance(prompt, str)
        return TaskRow(task.id, None, at, is_text, task.answer, task.metadata)
    return TaskRow(task.id, cast("str | list[dict[str, Any]]", prompt), answer=task.answer, metadata=task.metadata)


def _part(part: Part, name: str) -> PartRow:
    return PartRow(None if part.value is None else _number(part.value, name), _number(part.weight, name))


def _turn(turn: Turn) -> TurnRow:
    reward = turn.reward
    return TurnRow(
        reward if reward is None else _reward(reward) or ZERO,
        _reason(turn.finish_reason),
        _seconds(turn.engine_s),
        _seconds(turn.env_s),
        turn.segment,
        turn.start,
        turn.end,
        turn.cached_tokens,
        [SpanRow(span.version, span.start, span.end) for span in turn.versions] if turn.versions else [],
    )


def _segment(segment: Segment) -> SegmentRow:
    ids = np.ascontiguousarray(segment.ids, np.int32)
    return SegmentRow(
        _json(ids),
        _plain(segment.spans),
        segment.logprobs[segment.sampled].astype("<f4").tobytes(),
        sys.intern(segment.role),
        segment.delivered,
        _plain(segment.messages),
    )


def _json(data: Any) -> Any:
    """What the encoder passes on as it is: orjson is faster with long text, and knows arrays."""
    return msgspec.Raw(orjson.dumps(data, option=orjson.OPT_SERIALIZE_NUMPY))


def _plain(data: Any) -> Any:
    """Messages, typed as what they are in JSON."""
    return data


def _reason(reason: str) -> Any:
    """The same text as the default's, where it is equal."""
    return sys.intern(reason)


def _seconds(value: float) -> float:
    """Rounded to microseconds."""
    return round(value * 1e6) / 1e6 or ZERO


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


def _top_level(metrics: Mapping[str, Number]) -> bytes:
    """Each metric under its own name, as fields that follow others."""
    own = {
        name: None if isinstance(number, str) else number for name, number in metrics.items() if name not in ROW_FIELDS
    }
    return b"," + _encode(own)[1:-1] if own else b""
