"""Results of verifiers, version 0: a line of `results.jsonl` for each rollout."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmgym.data.problems import BAD
from llmgym.data.scalars import Scalars, columns, metrics
from llmgym.data.shapes.common import conversation, episode, hash_of, name_of, numbers, read_row, reward_of, usage_of
from llmgym.errors import LLMGymError
from llmgym.messages import Message
from llmgym.responses import from_tools
from llmgym.trajectory import Status, Trajectory

__all__ = ["NAME", "columns", "decode", "fits", "metrics", "trajectory"]

NAME = "verifiers' results"


def fits(row: Mapping[str, Any]) -> bool:
    """Whether a row is of this shape."""
    return {"example_id", "prompt", "completion"} <= row.keys()


def decode(data: bytes | bytearray) -> Scalars:
    """What the index keeps of a row."""
    row = read_row(data)
    return _scalars(row, *_messages(row))


def _messages(row: Mapping[str, Any]) -> tuple[list[Message], list[Message]]:
    said = row["completion"]
    reply: list[Message] = [{"role": "assistant", "content": said}] if isinstance(said, str) else conversation(said)
    return conversation(row["prompt"]), reply


def _scalars(row: Mapping[str, Any], prompt: list[Message], completion: list[Message]) -> Scalars:
    env_id, task_id = name_of(row.get("env_id"), row.get("task")), str(row["example_id"])
    usage = row.get("token_usage") or {}
    return Scalars(
        id="", episode_id="", env_id=env_id, task_id=task_id, group_id=f"{env_id}/{task_id}",
        task_hash=hash_of([prompt, row.get("answer")]), status=_status(row), reward=_reward(row),
        num_turns=sum(message["role"] == "assistant" for message in completion),
        num_sampled_tokens=int(usage.get("output_tokens") or 0), wall_s=_seconds(row),
        failure="error" if row.get("error") else "", metrics=numbers(row.get("metrics") or {}),
    )  # fmt: skip


def _reward(row: Mapping[str, Any]) -> float | None:
    """The reward; a function that raised has scored 0, so that 0 says nothing where there is an error."""
    reward = reward_of(row.get("reward"))
    return None if row.get("error") and not reward else reward


def _seconds(row: Mapping[str, Any]) -> float | None:
    timing = row.get("timing")
    milliseconds = timing.get("total_ms") if isinstance(timing, Mapping) else None
    return milliseconds / 1e3 if isinstance(milliseconds, int | float) else None


def _status(row: Mapping[str, Any]) -> Status:
    return "env_error" if row.get("error") else "max_tokens" if row.get("is_truncated") else "completed"


def trajectory(data: bytes, place: str) -> Trajectory:
    """A row whole."""
    try:
        row = read_row(data)
        prompt, completion = _messages(row)
        found = _scalars(row, prompt, completion)
        error = row.get("error")
        return episode(
            prompt + completion, len(prompt), env_id=found.env_id, task_id=found.task_id, status=_status(row),
            reward=found.reward, tools=from_tools(row.get("tool_defs") or []), metrics=found.metrics,
            error=None if error is None else str(error), usage=usage_of(row.get("token_usage")),
        )  # fmt: skip
    except BAD as error:
        raise LLMGymError(f"{place}: {error}") from None
