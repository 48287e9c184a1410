"""Whole episodes in packs that a page loads when it shows one of them.

A pack is gzip of four bytes with the length of what follows, JSON, blanks up to a multiple of four bytes, the ids of
all tokens as uint32, and their log-probabilities as uint16, in thousandths below 0 (`UNKNOWN` where there is none).
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from llmgym.report.vocabulary import Vocabulary
from llmgym.trajectory import Segment, Trajectory, Turn

#: Rows of a pack.
ROWS = 200
UNKNOWN = 0xFFFF

_LEVEL = 6


def pack(rows: Sequence[Trajectory], vocabularies: Sequence[Vocabulary]) -> bytes:
    """Pack rows.

    Args:
        rows: At most `ROWS` of them.
        vocabularies: For each row, that of its run.
    """
    ids: list[NDArray[np.int32]] = []
    logprobs: list[NDArray[np.float32]] = []
    tools: dict[bytes, int] = {}
    said: list[dict[str, Any]] = []
    offset = 0
    for row in rows:
        segments: list[dict[str, Any]] = []
        for segment in row.segments:
            segments.append(_segment(segment, offset))
            offset += len(segment.ids)
            ids.append(segment.ids)
            logprobs.append(np.where(segment.sampled, segment.logprobs, np.nan))
        schemas = msgspec.json.encode(row.tools)
        said.append(_row(row, segments, tools.setdefault(schemas, len(tools))))
    data: dict[str, Any] = {"rows": said, "tools": [msgspec.Raw(schemas) for schemas in tools]}
    data["texts"] = _texts(rows, vocabularies)
    body = msgspec.json.encode(data)
    body += b" " * (-len(body) % 4)
    parts = [len(body).to_bytes(4, "little"), body]
    if ids:
        parts += [np.concatenate(ids).astype("<u4").tobytes(), _thousandths(np.concatenate(logprobs)).tobytes()]
    made = zlib.compressobj(_LEVEL, wbits=31)
    return b"".join([*map(made.compress, parts), made.flush()])


def _thousandths(logprobs: NDArray[np.float32]) -> NDArray[np.uint16]:
    known = np.isfinite(logprobs)
    scaled = np.clip(np.round(np.where(known, logprobs, 0) * -1000), 0, UNKNOWN - 1)
    return np.where(known, scaled, UNKNOWN).astype("<u2")


def _texts(rows: Sequence[Trajectory], vocabularies: Sequence[Vocabulary]) -> dict[str, dict[int, str]]:
    """The texts of all ids, by the name of the model."""
    found: dict[str, dict[int, str]] = {}
    for vocabulary in {id(vocabulary): vocabulary for vocabulary in vocabularies}.values():
        own = [
            segment.ids
            for row, of in zip(rows, vocabularies, strict=True)
            if of is vocabulary
            for segment in row.segments
        ]
        if own:
            texts = vocabulary.texts(np.unique(np.concatenate(own)).tolist())
            found.setdefault(vocabulary.name, {}).update(texts)  # two runs may be of one model
    return found


def _segment(segment: Segment, offset: int) -> dict[str, Any]:
    said: dict[str, Any] = {"at": offset, "length": len(segment.ids), "spans": segment.spans}
    if segment.role != "agent":
        said["role"] = segment.role
    if not segment.delivered:
        said["delivered"] = False
    if segment.messages is not None:
        said["messages"] = segment.messages
    return said


def _row(row: Trajectory, segments: list[dict[str, Any]], tools: int) -> dict[str, Any]:
    """What a page shows of a row and its columns do not have."""
    task = row.task
    said: dict[str, Any] = {
        "id": row.id,
        "episode": row.episode_id,
        "seed": row.seed,
        "opening": row.opening,
        "messages": row.messages,
        "tools": tools,
        "turns": [_turn(turn) for turn in row.turns],
        "segments": segments,
        "parts": {name: [part.value, part.weight] for name, part in row.reward_parts.items()},
        "metrics": row.metrics,
        "timings": row.timings,
        "sampling": row.sampling,
    }
    if task is not None:
        said |= {"answer": task.answer, "metadata": task.metadata}
    if row.branches:
        said["branches"] = [_turn(turn) for turn in row.branches]
    if row.played is not None:
        said["played"] = row.played.messages
    for name in ("compactions", "failure", "error", "usage", "model_calls", "tool_errors", "policy"):
        if value := getattr(row, name):
            said[name] = value
    if row.attempts > 1:
        said["attempts"] = row.attempts
    if not row.trainable:
        said["trainable"] = False
    return said


def _turn(turn: Turn) -> dict[str, Any]:
    """A turn, without what is as usual."""
    said: dict[str, Any] = {"engine_s": round(turn.engine_s, 6), "env_s": round(turn.env_s, 6)}
    if turn.reward != 0:
        said["reward"] = turn.reward
    if turn.finish_reason != "stop":
        said["finish_reason"] = turn.finish_reason
    if turn.end > turn.start:
        said |= {"segment": turn.segment, "start": turn.start, "end": turn.end}
    if turn.versions:
        said["versions"] = [[span.version, span.start, span.end] for span in turn.versions]
    if turn.cached_tokens:
        said["cached_tokens"] = turn.cached_tokens
    if turn.model:
        said["model"] = turn.model
    return said
