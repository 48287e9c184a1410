"""Traces of verifiers, version 1: a line of `traces.jsonl` is an episode, whose messages are a tree.

A row is the first trace of an episode, from its root to its last message; how many traces and leaves there are besides
stands among the metrics.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llmgym.data.problems import BAD
from llmgym.data.scalars import Number, Scalars, columns, metrics
from llmgym.data.shapes.common import (
    Call,
    conversation,
    episode,
    hash_of,
    name_of,
    numbers,
    opening_of,
    read_row,
    task_of,
)
from llmgym.errors import LLMGymError
from llmgym.messages import Message
from llmgym.responses import from_tools
from llmgym.trajectory import Status, Trajectory

__all__ = ["NAME", "columns", "decode", "fits", "metrics", "trajectory"]

NAME = "verifiers' traces"

Node = Mapping[str, Any]


def fits(row: Mapping[str, Any]) -> bool:
    """Whether a row is of this shape."""
    return isinstance(row.get("traces"), list) and "task" in row


def decode(data: bytes | bytearray) -> Scalars:
    """What the index keeps of a row."""
    row = read_row(data)
    return _scalars(row, _path(row))


def _path(row: Mapping[str, Any]) -> list[Node]:
    """The nodes from the root to the last one."""
    nodes: Sequence[Node] = row["traces"][0].get("nodes") or [] if row["traces"] else []
    path: list[Node] = []
    at = len(nodes) - 1 if nodes else None
    while at is not None:
        path.append(nodes[at])
        parent = nodes[at].get("parent")
        if parent is not None and not 0 <= parent < at:
            raise ValueError(f"node {at} has the parent {parent}, which does not come before it")
        at = parent
    return path[::-1]


def _scalars(row: Mapping[str, Any], path: Sequence[Node]) -> Scalars:
    trace: Mapping[str, Any] = row["traces"][0] if row["traces"] else {}
    task, env = row["task"], row.get("env") or {}
    name, env_id = name_of(row.get("id")), name_of(env.get("id"), env.get("name"))
    task_hash = name_of(task.get("hash")) or hash_of(task.get("data"))
    task_id = name_of(task.get("key"), task_hash)
    group_id = name_of((row.get("group") or {}).get("id"), f"{env_id}/{task_id}")
    found: dict[str, Number] = {**numbers(trace.get("metrics") or {}), "num_traces": float(len(row["traces"]))}
    found["num_leaves"] = float(_leaves(trace.get("nodes") or []))
    tokens = [sum(_mask(node)) for node in path]
    return Scalars(
        id=name, episode_id=name, env_id=env_id, task_id=task_id,
        group_id=group_id, task_hash=task_hash, status=_status(row),
        reward=_reward(trace), num_turns=sum(bool(node.get("sampled")) for node in path),
        num_sampled_tokens=sum(tokens), num_context_tokens=sum(len(node.get("token_ids") or ()) for node in path)
        - sum(tokens), failure="error" if row.get("errors") else "", metrics=found,
    )  # fmt: skip


def _leaves(nodes: Sequence[Node]) -> int:
    parents = {node.get("parent") for node in nodes}
    return sum(at not in parents for at in range(len(nodes)))


def _mask(node: Node) -> list[bool]:
    """Which tokens of a node were sampled."""
    ids = node.get("token_ids") or []
    mask = node.get("mask")
    return [bool(node.get("sampled"))] * len(ids) if mask is None else [bool(own) for own in mask]


def _reward(trace: Mapping[str, Any]) -> float | None:
    """The sum of what each function gave; None where one could not say."""
    parts = trace.get("rewards") or {}
    if not parts or any(part is None or part.get("score") is None for part in parts.values()):
        return None
    return float(sum(part["score"] * part.get("weight", 1.0) for part in parts.values()))


def _status(row: Mapping[str, Any]) -> Status:
    stop = row["traces"][0].get("stop_condition") if row["traces"] else None
    return "env_error" if row.get("errors") else "max_tokens" if stop == "max_tokens" else "completed"


def trajectory(data: bytes, place: str) -> Trajectory:
    """A row whole."""
    try:
        row = read_row(data)
        path = _path(row)
        found = _scalars(row, path)
        messages = conversation([_message(node["message"]) for node in path])
        errors = row.get("errors")
        return episode(
            messages, opening_of(messages), env_id=found.env_id, task_id=task_of(found), status=_status(row),
            reward=found.reward, tools=from_tools(row["traces"][0].get("tools") or [] if row["traces"] else []),
            metrics=found.metrics, calls=_calls(path), error=str(errors) if errors else None,
        )  # fmt: skip
    except BAD as error:
        raise LLMGymError(f"{place}: {error}") from None


def _message(message: Mapping[str, Any]) -> Message:
    """A message whose calls are as the chat format has them."""
    calls: list[Any] = [
        {
            "id": call.get("id", ""),
            "type": "function",
            "function": {"name": call["name"], "arguments": call["arguments"]},
        }
        for call in message.get("tool_calls") or ()
    ]
    rest: Any = {name: value for name, value in message.items() if name != "tool_calls"}
    return rest | {"tool_calls": calls} if calls else rest


def _calls(path: Sequence[Node]) -> list[Call | None]:
    """The tokens of each reply; the prompt is all before it."""
    calls: list[Call | None] = []
    ids: list[int] = []
    for node in path:
        own, mask = list(node.get("token_ids") or ()), _mask(node)
        if node.get("sampled"):
            start = mask.index(True) if True in mask else len(own)
            end = start + sum(mask)
            whole = all(mask[start:end]) and len(mask) == len(own)
            logprobs = list(node.get("logprobs") or ())
            logprobs = logprobs[start:end] if len(logprobs) == len(own) else logprobs
            calls.append(Call(ids + own[:start], own[start:end], logprobs) if own and whole else None)
        ids += own
    return calls
