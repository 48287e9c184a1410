"""Logs of Inspect: the samples of an evaluation, in one JSON document or in a zip archive with a file for each.

Events are left out when a log is unpacked: they are most of it, and say again what the messages do. The tools that
they name are kept.
"""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final

import msgspec

from llmgym.chat import Usage
from llmgym.data.problems import BAD
from llmgym.data.scalars import Number, Scalars, columns, metrics
from llmgym.data.shapes.common import conversation, episode, hash_of, name_of, opening_of, read_row
from llmgym.errors import LLMGymError
from llmgym.messages import Message
from llmgym.responses import from_tools
from llmgym.trajectory import Status, Trajectory

__all__ = ["NAME", "archived", "columns", "decode", "fits", "is_log", "metrics", "samples", "trajectory"]

NAME = "Inspect's samples"

_EVAL = "inspect_eval"
_LEFT_OUT = ("events", "events_data", "store")
_ZSTD = 93  # as zip files number ways of compression; the standard library reads it from 3.14 on
_ATTACHED = "attachment://"
#: What scorers write for right, partly right, wrong, and no answer.
_VALUES: Final = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0, "yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}
_STATUSES: Final[Mapping[str, Status]] = {"token": "max_tokens", "context": "context_length"}

Row = Mapping[str, Any]


# --- from logs to rows ---------------------------------------------------------------------------


def is_log(document: Any) -> bool:
    """Whether a JSON document is a log."""
    return isinstance(document, dict) and {"version", "eval", "samples"} <= document.keys()


def samples(log: Row) -> Iterator[Row]:
    """The rows of a log."""
    for sample in log["samples"] or ():
        yield _row(log["eval"], sample)


def archived(path: Path) -> Iterator[Row]:
    """The rows of a log that is an archive; of an evaluation that was broken off, those that there are.

    Raises:
        ValueError: It is no such archive.
    """
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        members = {info.filename: info for info in archive.infolist()}  # of what was written twice the last
        head = members.get("header.json") or members.get("_journal/start.json")
        if head is None:
            raise ValueError("it is an archive, and no log of Inspect")
        about = _read(_content(archive, file, head))["eval"]
        for name, info in members.items():
            if name.startswith("samples/"):
                yield _row(about, _read(_content(archive, file, info)))


def _content(archive: zipfile.ZipFile, file: IO[bytes], info: zipfile.ZipInfo) -> bytes:
    if info.compress_type != _ZSTD:
        return archive.read(info)
    import pyarrow as pa

    file.seek(info.header_offset + 26)  # the lengths of a name and of something more, behind which the data begins
    file.seek(sum(struct.unpack("<HH", file.read(4))), 1)
    return pa.decompress(file.read(info.compress_size), info.file_size, codec="zstd", asbytes=True)


def _read(data: bytes) -> Any:
    try:
        return msgspec.json.decode(data)
    except msgspec.DecodeError:
        return json.loads(data)  # takes NaN, for which a row is named, and not the log


def _row(about: Row, sample: Row) -> Row:
    asked = (event for event in sample.get("events") or () if event.get("event") == "model")
    return {
        _EVAL: {name: about.get(name) for name in ("eval_id", "task", "model")},
        **{name: value for name, value in sample.items() if name not in _LEFT_OUT},
        "tools": next((event.get("tools") or [] for event in asked), []),
    }


# --- as rows -------------------------------------------------------------------------------------


def fits(row: Row) -> bool:
    """Whether a row is of this shape."""
    return _EVAL in row and "messages" in row


def decode(data: bytes | bytearray) -> Scalars:
    """What the index keeps of a row."""
    row = read_row(data)
    return _scalars(row, _messages(row))


def _scalars(row: Row, messages: Sequence[Message]) -> Scalars:
    env_id, task_id = name_of(row[_EVAL].get("task")), str(row["id"])
    seconds, usage = row.get("total_time"), _usage(row)
    return Scalars(
        id=name_of(row.get("uuid")), episode_id="", env_id=env_id, task_id=task_id, group_id=f"{env_id}/{task_id}",
        task_hash=hash_of([row["input"], row.get("target"), row.get("choices")]), repeat=int(row.get("epoch") or 1) - 1,
        status=_status(row), reward=_reward(row), num_turns=sum(m["role"] == "assistant" for m in messages),
        num_sampled_tokens=usage.output_tokens, num_tool_errors=sum(bool(m.get("error")) for m in row["messages"]),
        wall_s=float(seconds) if isinstance(seconds, int | float) else None,
        failure="error" if row.get("error") else "", metrics=_metrics(row),
    )  # fmt: skip


def _status(row: Row) -> Status:
    if row.get("error"):
        return "env_error"
    limit = row.get("limit")
    return _STATUSES.get(limit["type"], "max_turns") if limit else "completed"


def _reward(row: Row) -> float | None:
    """The value of the first score that is one value; a sample that failed has none."""
    values = (_number(score["value"]) for score in (row.get("scores") or {}).values())
    return None if row.get("error") else next((value for value in values if value is not None), None)


def _metrics(row: Row) -> dict[str, Number]:
    found: dict[str, float | None] = {}
    for name, score in (row.get("scores") or {}).items():
        value = score["value"]
        parts = {f"{name}_{part}": own for part, own in value.items()} if isinstance(value, dict) else {name: value}
        found |= {part: _number(own) for part, own in parts.items()}
    return {name: value for name, value in found.items() if value is not None}


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else _VALUES.get(value) if isinstance(value, str) else None


def _usage(row: Row) -> Usage:
    calls = (row.get("model_usage") or {}).values()
    return Usage(*(sum(int(call.get(name) or 0) for call in calls) for name in ("input_tokens", "output_tokens")))


def _messages(row: Row) -> list[Message]:
    attached = row.get("attachments") or {}
    return conversation([_message(message, attached) for message in row["messages"]])


def _message(message: Row, attached: Mapping[str, str]) -> dict[str, Any]:
    content = message.get("content") or ""
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    texts = {kind: [_text(part[kind], attached) for part in parts if part["type"] == kind] for kind in _TEXTS}
    made: dict[str, Any] = {"role": message["role"], "content": "".join(texts["text"])}
    if texts["reasoning"]:
        made["reasoning_content"] = "".join(texts["reasoning"])
    if calls := message.get("tool_calls"):
        made["tool_calls"] = [_call(call) for call in calls]
    if message["role"] == "tool":
        made |= {"tool_call_id": message.get("tool_call_id"), "name": message.get("function")}
    return made


_TEXTS = ("text", "reasoning")  # pictures and sounds are left out


def _text(text: str, attached: Mapping[str, str]) -> str:
    return attached.get(text.removeprefix(_ATTACHED), text) if text.startswith(_ATTACHED) else text


def _call(call: Row) -> dict[str, Any]:
    arguments = json.dumps(call["arguments"], ensure_ascii=False)
    return {"id": call["id"], "type": "function", "function": {"name": call["function"], "arguments": arguments}}


def trajectory(data: bytes, place: str) -> Trajectory:
    """A row whole."""
    try:
        row = read_row(data)
        messages = _messages(row)
        found, error, usage = _scalars(row, messages), row.get("error"), _usage(row)
        return episode(
            messages, opening_of(messages), env_id=found.env_id, task_id=found.task_id, repeat=found.repeat,
            status=_status(row), reward=found.reward, tools=from_tools(row.get("tools") or []), metrics=found.metrics,
            error=None if error is None else str(error["message"]),
            usage={"agent": usage} if usage.input_tokens or usage.output_tokens else {},
        )  # fmt: skip
    except BAD as error:
        raise LLMGymError(f"{place}: {error}") from None
