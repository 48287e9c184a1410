"""Plain chats: `{"messages": [...]}`, with or without a reward."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from llmgym.data.problems import BAD
from llmgym.data.scalars import Scalars, columns, metrics
from llmgym.data.shapes.common import (
    conversation,
    episode,
    hash_of,
    name_of,
    numbers,
    opening_of,
    read_row,
    reward_of,
    task_of,
)
from llmgym.errors import LLMGymError
from llmgym.responses import from_tools
from llmgym.trajectory import Trajectory

__all__ = ["NAME", "columns", "decode", "fits", "metrics", "trajectory"]

NAME = "chats"
_OWN = ("reward", "repeat")
_NUMBER = re.compile(r"0|[1-9]\d{0,8}", re.ASCII)


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
    env_id, task_id = name_of(row.get("env_id")), name_of(row.get("task_id"), task_hash)
    name, group_id = name_of(row.get("id")), name_of(row.get("group_id"), f"{env_id}/{task_id}")
    return Scalars(
        id=name, episode_id=name, env_id=env_id, task_id=task_id, group_id=group_id, task_hash=task_hash,
        repeat=_repeat(row.get("repeat"), name, group_id), status="completed", reward=reward_of(row.get("reward")),
        num_turns=sum(message["role"] == "assistant" for message in messages), metrics=numbers(row, _OWN),
    )  # fmt: skip


def _repeat(given: Any, name: str, group_id: str) -> int:
    """Which of the repeats a row is, where it says so: itself, or by an id as rows of ours have them."""
    group, _, number = name.rpartition("/")
    said = str(given) if given is not None else number if group == group_id else ""
    return int(said) if _NUMBER.fullmatch(said) else 0


def trajectory(data: bytes, place: str) -> Trajectory:
    """A row whole."""
    try:
        row = read_row(data)
        found = _scalars(row)
        messages = conversation(row["messages"])
        return episode(
            messages, opening_of(messages), env_id=found.env_id, task_id=task_of(found), repeat=found.repeat,
            reward=found.reward, tools=from_tools(row.get("tools") or []), metrics=found.metrics,
        )  # fmt: skip
    except BAD as error:
        raise LLMGymError(f"{place}: {error}") from None
