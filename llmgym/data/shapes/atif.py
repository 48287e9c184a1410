"""ATIF trajectories (the Agent Trajectory Interchange Format of Harbor), and rows of ours as such.

A trajectory of ours has the row in `extra`, without the transcript, which the steps hold; so the row comes back from it
equal by value, keys and float bits. What a step cannot say stands in its own `extra`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec
import numpy as np
import orjson

from llmgym import __version__
from llmgym.data.problems import BAD
from llmgym.data.scalars import Scalars, columns, metrics
from llmgym.data.shapes import rollouts
from llmgym.data.shapes.common import (
    Call,
    conversation,
    episode,
    hash_of,
    name_of,
    numbers,
    opening_of,
    read_row,
    reward_of,
)
from llmgym.errors import LLMGymError
from llmgym.messages import Message, ToolCall
from llmgym.records import load_row
from llmgym.responses import from_items, from_tools, to_items
from llmgym.trajectory import Trajectory

__all__ = ["NAME", "columns", "decode", "dump", "fits", "metrics", "row_of", "trajectory"]

NAME = "ATIF trajectories"
VERSION = "ATIF-v1.7"
_OURS, _MESSAGES, _ARGUMENTS = "llmgym", "messages", "arguments"
_SOURCES = {"system": "system", "user": "user", "assistant": "agent"}
_ROLES = {source: role for role, source in _SOURCES.items()}

Step = dict[str, Any]
_raws = msgspec.json.Decoder(dict[str, msgspec.Raw])


class _Extra(msgspec.Struct):
    llmgym: msgspec.Raw = msgspec.Raw()  # empty where there is none


class _Document(msgspec.Struct):
    steps: list[Step]
    extra: _Extra | None = None

    @property
    def row(self) -> bytes:
        """The row of ours; empty where there is none."""
        return bytes(self.extra.llmgym) if self.extra is not None else b""


_documents = msgspec.json.Decoder(_Document)


def fits(row: Mapping[str, Any]) -> bool:
    """Whether a row is of this shape."""
    return str(row.get("schema_version", "")).startswith("ATIF") and "steps" in row


# --- from rows of ours -----------------------------------------------------------------------------


def dump(line: bytes, place: str = "a row") -> bytes:
    """A row of ours as an ATIF trajectory, in a line without its end; `row_of` gives the row back.

    Raises:
        StoreError: It is no row of ours.
    """
    whole = load_row(line, place)
    row = _raws.decode(line)
    steps = _steps(whole)
    said = conversation_of(steps)
    output = to_items(said[whole.opening :])
    if said == whole.messages and output == msgspec.json.decode(row["output"]):
        del row["output"]
    sampled = whole.sampled_tokens
    document = {
        "schema_version": VERSION,
        "session_id": whole.episode_id,
        "trajectory_id": whole.id,
        "agent": {"name": "llmgym", "version": __version__, "tool_definitions": whole.tools},
        "steps": steps,
        "final_metrics": {"total_steps": len(steps)} | ({"total_completion_tokens": sampled} if sampled else {}),
        "extra": {_OURS: row},
    }
    return msgspec.json.encode(document)


def _steps(whole: Trajectory) -> list[Step]:
    """A step for each message; results of tools stand at the step of their calls."""
    steps: list[Step] = []
    groups: list[list[Message]] = []
    turns = iter(range(len(whole.turns)))
    for at, message in enumerate(whole.messages):
        if message["role"] == "tool" and steps and steps[-1]["source"] == "agent":
            result = {"content": message["content"]}
            calls = {call["tool_call_id"] for call in steps[-1].get("tool_calls", ())}
            if (name := message.get("tool_call_id", "")) in calls:
                result = {"source_call_id": name, **result}
            steps[-1].setdefault("observation", {"results": []})["results"].append(result)
            groups[-1].append(message)
            continue
        step: Step = {"step_id": len(steps) + 1, "source": _SOURCES.get(message["role"], "user")}
        step["message"] = message["content"]
        if step["source"] == "agent":
            _say(step, message)
            if at >= whole.opening and (turn := next(turns, None)) is not None:
                step |= _tokens(whole, turn)
        steps.append(step)
        groups.append([message])
    for step, messages in zip(steps, groups, strict=True):
        if _read(step) != messages:
            step["extra"] = {_MESSAGES: messages}
    return steps


def _say(step: Step, message: Message) -> None:
    """What an assistant message has beside its text."""
    if "reasoning_content" in message:
        step["reasoning_content"] = message["reasoning_content"]
    calls: list[dict[str, Any]] = []
    for number, call in enumerate(message.get("tool_calls", ())):
        text = call["function"]["arguments"]
        made: dict[str, Any] = {
            "tool_call_id": call.get("id") or f"call_{step['step_id']}_{number}",
            "function_name": call["function"]["name"],
            "arguments": _object(text),
        }
        if _text(made["arguments"]) != text:
            made["extra"] = {_ARGUMENTS: text}
        calls.append(made)
    if calls:
        step["tool_calls"] = calls


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) and _is_plain(found) else {}


def _is_plain(value: Any) -> bool:
    try:
        return orjson.loads(orjson.dumps(value)) == value
    except (TypeError, ValueError):
        return False


def _text(arguments: Mapping[str, Any]) -> str:
    return json.dumps(arguments, ensure_ascii=False, separators=(",", ":"))


def _tokens(whole: Trajectory, number: int) -> Step:
    """The tokens of a turn, where there are any."""
    turn = whole.turns[number]
    if turn.end <= turn.start or turn.segment >= len(whole.segments):
        return {}
    segment = whole.segments[turn.segment]
    ids, logprobs = segment.ids[turn.start : turn.end], segment.logprobs[turn.start : turn.end]
    if not np.isfinite(logprobs).all():
        return {}
    found: dict[str, Any] = {"prompt_tokens": turn.start, "completion_tokens": len(ids)}
    found |= {"completion_token_ids": ids.tolist(), "logprobs": logprobs.astype(float).tolist()}
    return {"metrics": found}


# --- and back --------------------------------------------------------------------------------------


def row_of(data: bytes) -> bytes | None:
    """The row of ours that a trajectory was made from, as a line without its end; None for one of others."""
    document = _documents.decode(data)
    if not document.row:
        return None
    row: dict[str, Any] = dict(_raws.decode(document.row))
    if "output" in row:
        return msgspec.json.encode(row)
    params = msgspec.json.decode(row["responses_create_params"])
    opening = len(from_items(params["input"]))
    output = to_items(conversation_of(document.steps)[opening:])
    made: dict[str, Any] = {}
    for name, value in row.items():
        made[name] = value
        if name == "responses_create_params":  # which it stands behind
            made["output"] = output
    return msgspec.json.encode(made)


def conversation_of(steps: Sequence[Step]) -> list[Message]:
    """The messages of steps."""
    return [message for step in steps for message in (step.get("extra") or {}).get(_MESSAGES) or _read(step)]


def _read(step: Step) -> list[Message]:
    """The messages of a step by what it says."""
    message: Message = {"role": cast("Any", _ROLES[step["source"]]), "content": _said(step.get("message"))}
    names: dict[str, str] = {}
    if calls := step.get("tool_calls"):
        message["tool_calls"] = [_call(call) for call in calls]
        names = {call["tool_call_id"]: call["function_name"] for call in calls}
    if "reasoning_content" in step and step["reasoning_content"] is not None:
        message["reasoning_content"] = step["reasoning_content"]
    messages = [message]
    for result in (step.get("observation") or {}).get("results") or ():
        source = result.get("source_call_id")
        made: Message = {"role": "tool", "content": _said(result.get("content"))}
        if source is not None:
            made["tool_call_id"] = source
            if source in names:
                made["name"] = names[source]
        messages.append(made)
    return messages


def _call(call: Mapping[str, Any]) -> ToolCall:
    text = (call.get("extra") or {}).get(_ARGUMENTS)
    arguments = _text(call["arguments"]) if text is None else text
    function: Any = {"name": call["function_name"], "arguments": arguments}
    return {"id": call["tool_call_id"], "type": "function", "function": function}


def _said(content: Any) -> str:
    """The text of a message; pictures are left out."""
    if isinstance(content, str) or content is None:
        return content or ""
    return "".join(part.get("text") or "" for part in content)


# --- as rows -----------------------------------------------------------------------------------------


def decode(data: bytes | bytearray) -> Scalars:
    """What the index keeps of a row."""
    document = _documents.decode(data)
    if document.row:
        row = rollouts.decode(document.row)
        return Scalars(**{name: values[0] for name, values in rollouts.columns([row]).items()}, metrics=row.metrics)
    return _scalars(read_row(data))


def _scalars(row: Mapping[str, Any]) -> Scalars:
    extra, final = row.get("extra") or {}, row.get("final_metrics") or {}
    name = name_of(row.get("trajectory_id"), row.get("session_id"))
    messages = conversation_of(row["steps"])
    task_hash = hash_of(messages[: opening_of(messages)])
    task_id = name_of(extra.get("task_id"), task_hash)
    env_id = name_of(extra.get("env_id"), (row.get("agent") or {}).get("name"))
    reward = extra.get("reward", (final.get("extra") or {}).get("reward"))
    agent = [step for step in row["steps"] if step["source"] == "agent"]
    return Scalars(
        id=name, episode_id=name, env_id=env_id, task_id=task_id, group_id=f"{env_id}/{task_id}", task_hash=task_hash,
        status="completed", reward=reward_of(reward), num_turns=len(agent),
        num_sampled_tokens=int(final.get("total_completion_tokens") or 0), metrics=numbers(final),
    )  # fmt: skip


def trajectory(data: bytes, place: str) -> Trajectory:
    """A row whole."""
    try:
        if (line := row_of(data)) is not None:
            return load_row(line, place)
        row = read_row(data)
        found = _scalars(row)
        messages = conversation(conversation_of(row["steps"]))
        calls = [_sampled(step) for step in row["steps"] if step["source"] == "agent"]
        return episode(
            messages, opening_of(messages), env_id=found.env_id, task_id=found.task_id, reward=found.reward,
            tools=from_tools((row.get("agent") or {}).get("tool_definitions") or []), metrics=found.metrics,
            calls=calls,
        )  # fmt: skip
    except BAD as error:
        raise LLMGymError(f"{place}: {error}") from None


def _sampled(step: Step) -> Call | None:
    found = step.get("metrics") or {}
    ids, prompt = found.get("completion_token_ids"), found.get("prompt_token_ids")
    return Call(prompt, ids, found.get("logprobs") or []) if ids and prompt else None
