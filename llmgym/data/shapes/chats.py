"""Plain chats: `{"messages": [...]}`, with or without a reward."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmgym.data.problems import BAD
from llmgym.data.scalars import Scalars, columns, metrics
from llmgym.data.shapes.common import conversation, episode, hash_of, numbers, opening_of, read_row, reward_of
from llmgym.errors import LLMGymError
from llmgym.responses import from_tools
from llmgym.trajectory import Trajectory

__all__ = ["NAME", "columns", "decode", "fits", "metrics", "trajectory"]

NAME = "chats"
_OWN = ("reward", "repeat", "id")


def fits(row: Mapping[str, Any]) -> bool:
    """Whether a row is of this shape."""
    return isinstance(row.get("messages"), list)


def decode(data: bytes | bytearray) -> Scalars:
    """What the index keeps of a row."""
    return _scalars(read_row(data))


def _scalars(row: Mapping[str, Any]) -> Scalars:
    messages = conversation(row["messages"])
    opening = opening_of(messages)
    task_hash = hash_of(messages[:opening])
    env_id, task_id = str(row.get("env_id") or ""), str(row.get("task_id") or task_hash)
    name = row.get("id")
    return Scalars(
        id="" if name is None else str(name), episode_id="" if name is None else str(name), env_id=env_id,
        task_id=task_id, group_id=str(row.get("group_id") or f"{env_id}/{task_id}"), task_hash=task_hash,
        status="completed", reward=reward_of(row.get("reward")),
        num_turns=sum(message["role"] == "assistant" for message in messages), metrics=numbers(row, _OWN),
    )  # fmt: skip


def trajectory(data: bytes, place: str) -> Trajectory:
    """A row whole."""
    try:
        row = read_row(data)
        found = _scalars(row)
        messages = conversation(row["messages"])
        return episode(
            messages, opening_of(messages), env_id=found.env_id, task_id=found.task_id, reward=found.reward,
            tools=from_tools(row.get("tools") or []), metrics=found.metrics,
        )  # fmt: skip
    except BAD as error:
        raise LLMGymError(f"{place}: {error}") from None
