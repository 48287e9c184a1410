"""From lines to trajectories, and to what a summary needs of them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, TypeVar, cast

import msgspec
import numpy as np

from llmgym.chat import ModelCall
from llmgym.errors import StoreError
from llmgym.messages import Message, ToolSchema
from llmgym.policies.base import VersionSpan
from llmgym.records.row import (
    FORMAT,
    REST,
    CompactionRow,
    EpisodeRecord,
    FailureRecord,
    PlayedRow,
    Row,
    SegmentRow,
    TaskRow,
    TurnRow,
)
from llmgym.responses import from_items, from_tools
from llmgym.rewards import Part
from llmgym.tasks import Task
from llmgym.trajectory import Compaction, Played, Segment, Trajectory, Turn, segment_of

_BAD = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class _Versioned(msgspec.Struct):
    format: int


class _Training(msgspec.Struct):
    trainable: bool = True


_row_decoder = msgspec.json.Decoder(Row)
_record_decoder = msgspec.json.Decoder(EpisodeRecord)
_records_decoder = msgspec.json.Decoder(list[EpisodeRecord])
_failure_decoder = msgspec.json.Decoder(FailureRecord)
_version_decoder = msgspec.json.Decoder(_Versioned)
_training_decoder = msgspec.json.Decoder(_Training)

T = TypeVar("T", Row, EpisodeRecord, FailureRecord)


def load_row(line: bytes, place: str = "a row") -> Trajectory:
    """The trajectory of a line; fields that this version does not know are left out.

    Args:
        line: A line of `rollouts.jsonl` or `failures.jsonl`.
        place: Names it in errors, as "file:line".

    Raises:
        StoreError: It is no row of format 1; names what is missing.
    """
    row = _decode(_row_decoder, line, place)
    try:
        return _trajectory(row)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        missing = f"missing field {error}" if isinstance(error, KeyError) else f"{type(error).__name__}: {error}"
        raise StoreError(f"{place}: not a rollout: {missing}") from None


def read_record(line: bytes, place: str = "a row") -> EpisodeRecord:
    """What a summary needs of a line, read from its start where the line is one of ours.

    Raises:
        StoreError: It is no row of format 1; names what is missing.
    """
    cut = line.find(REST)
    if cut >= 0:
        try:
            return _known(_record_decoder.decode(line[:cut] + b"}"), place)
        except _BAD:
            pass  # cut in the middle of a field that holds such a name, or not a row: the whole line says which
    return _decode(_record_decoder, line, place)


def read_records(starts: Sequence[bytes | memoryview]) -> list[EpisodeRecord] | None:
    """The records of many lines of which each is cut before `REST`, fast; None where one of them is odd."""
    try:
        records = _records_decoder.decode(b"[" + b"},".join(starts) + b"}]")
    except _BAD:
        return None
    return records if len(records) == len(starts) and all(record.format == FORMAT for record in records) else None


def read_failure(line: bytes, place: str = "a row") -> FailureRecord:
    """What a summary needs of a line of `failures.jsonl`.

    Raises:
        StoreError: It is no row of format 1; names what is missing.
    """
    return _decode(_failure_decoder, line, place)


def is_trainable(line: bytes) -> bool:
    """Whether the tokens of a row are to be trained on; read without all else of it."""
    return _training_decoder.decode(line).trainable


def _decode(decoder: msgspec.json.Decoder[T], line: bytes, place: str) -> T:
    try:
        row = decoder.decode(line)
    except _BAD as error:
        with suppress(*_BAD):  # no version: the first says more
            _known(_version_decoder.decode(line), place)
        raise StoreError(f"{place}: not a rollout: {_without_dots(error)}") from None
    return _known(row, place)


V = TypeVar("V", Row, EpisodeRecord, FailureRecord, _Versioned)


def _known(row: V, place: str) -> V:
    if row.format != FORMAT:
        raise StoreError(
            f"{place}: a row of format {row.format}; this version of llmgym reads format {FORMAT}: use the one that "
            "wrote it, or a newer one"
        )
    return row


def _without_dots(error: Exception) -> str:
    """The decoder's message; it says `$` for the row."""
    return str(error).replace(" - at `$.", " - at `")


def _trajectory(row: Row) -> Trajectory:
    params = dict(row.responses_create_params)
    opening = from_items(params.pop("input"))
    return Trajectory(
        env_id=row.env_id,
        task_id=row.group_id[len(row.env_id) + 1 :],
        repeat=row.repeat,
        seed=row.seed,
        status=row.status,
        messages=opening + from_items(row.output),
        opening=len(opening),
        tools=from_tools(params.pop("tools")),
        sampling=params,
        turns=[_turn(turn) for turn in row.turns],
        segments=[_segment(segment) for segment in row.segments],
        compactions=[_compaction(made) for made in row.compactions],
        branches=[_turn(turn) for turn in row.branches],
        played=None if row.played is None else _played(row.played),
        reward=row.reward,
        reward_parts={
            name: Part(None if part.value is None else _float(part.value), _float(part.weight))
            for name, part in row.reward_parts.items()
        },
        metrics={name: _float(value) for name, value in row.metrics.items()},
        timings=row.timings,
        error=row.error,
        attempts=row.attempts,
        task=_task(row.task, opening),
        failure=row.failure,
        agent=row.agent,
        agents=row.agents,
        policy=row.policy,
        trainable=row.trainable,
        usage=row.usage,
        model_calls=[
            ModelCall(
                call.role,
                call.model,
                cast("list[Message]", call.messages),
                cast("Message", call.reply),
                call.usage,
                call.seconds,
            )
            for call in row.model_calls
        ],
        tool_errors=row.tool_errors,
    )


def _float(value: float | str) -> float:
    return float(value) if isinstance(value, str) else value


def _task(row: TaskRow, opening: list[Message]) -> Task | None:
    prompt: Any = row.prompt
    if row.prompt_at is not None:
        said = [message.copy() for message in opening[row.prompt_at :]]
        prompt = said[0]["content"] if row.prompt_is_text else said
    if prompt is None:
        return None
    return Task(id=row.id, prompt=prompt, answer=row.answer, metadata=row.metadata)


def _turn(row: TurnRow) -> Turn:
    return Turn(
        row.reward, row.finish_reason, row.engine_s, row.env_s, row.segment, row.start, row.end, row.cached_tokens,
        tuple(VersionSpan(span.version, span.start, span.end) for span in row.versions), row.model,
    )  # fmt: skip


def _compaction(row: CompactionRow) -> Compaction:
    return Compaction(row.turn, row.start, row.cleared, row.note, None if row.summary is None else _turn(row.summary))


def _played(row: PlayedRow) -> Played:
    return Played(cast("list[Message]", row.messages), row.opening, cast("list[ToolSchema]", row.tools))


def _segment(row: SegmentRow) -> Segment:
    logprobs = np.frombuffer(row.logprobs, "<f4").astype(np.float32)
    messages = cast("list[Message] | None", row.messages)
    return segment_of(row.ids, row.sampled, logprobs, role=row.role, delivered=row.delivered, messages=messages)
