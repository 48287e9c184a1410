"""Rollouts of NeMo Gym: with `response`, as 0.5 to 0.7 write them, or with `output`, as its guides have them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmgym.data.problems import BAD
from llmgym.data.scalars import Scalars, columns, metrics
from llmgym.data.shapes.common import Call, episode, hash_of, name_of, numbers, read_row, reward_of, usage_of
from llmgym.errors import LLMGymError
from llmgym.messages import Message
from llmgym.responses import from_items, from_tools
from llmgym.trajectory import Status, Trajectory

__all__ = ["NAME", "columns", "decode", "fits", "metrics", "trajectory"]

NAME = "NeMo Gym's rollouts"
_TASK, _REPEAT = "_ng_task_index", "_ng_rollout_index"
_OWN = (_TASK, _REPEAT, "reward", "mask_sample")


def fits(row: Mapping[str, Any]) -> bool:
    """Whether a row is of this shape; rows of tasks, which have no response yet, are not."""
    return isinstance(row.get("responses_create_params"), Mapping) and bool({"response", "output"} & row.keys())


def decode(data: bytes | bytearray) -> Scalars:
    """What the index keeps of a row."""
    return _scalars(read_row(data))


def _messages(row: Mapping[str, Any]) -> tuple[list[Message], list[Message]]:
    given = row["responses_create_params"].get("input") or []
    opening: list[Message] = [{"role": "user", "content": given}] if isinstance(given, str) else from_items(given)
    return opening, from_items(_items(row))


def _items(row: Mapping[str, Any]) -> list[Any]:
    items = row["output"] if "output" in row else row["response"]["output"]
    if not isinstance(items, list) or not all(isinstance(item, Mapping) for item in items):
        raise TypeError(f"the output is {items!r:.60}, which is no list of items")
    return items


def _scalars(row: Mapping[str, Any]) -> Scalars:
    agent = row.get("agent_ref") or {}
    env_id = name_of(agent.get("name")) if isinstance(agent, Mapping) else ""
    task_hash = hash_of([row["responses_create_params"].get(name) for name in ("input", "tools")])
    known = row.get(_TASK) is not None
    task_id = str(row[_TASK]) if known else task_hash
    repeat = row.get(_REPEAT)
    name = f"{env_id}/{task_id}/{repeat}" if known and repeat is not None else ""
    sampled = sum(len(item.get("generation_token_ids") or ()) for item in _items(row))
    return Scalars(
        id=name, episode_id=name, env_id=env_id, task_id=task_id, group_id=f"{env_id}/{task_id}", task_hash=task_hash,
        repeat=int(repeat or 0), status=_status(row),
        reward=None if row.get("mask_sample") else reward_of(row.get("reward")),
        num_turns=_turns(_items(row)), num_sampled_tokens=sampled,
        metrics=numbers(row, _OWN),
    )  # fmt: skip


def _turns(items: list[Any]) -> int:
    """How many replies there are: a text or reasoning begins one, unless only reasoning came before it."""
    turns, bare = 0, None  # of the reply that is open, whether it has nothing but reasoning
    for item in items:
        kind = item.get("type") or "message"
        if kind == "function_call_output" or (kind == "message" and item.get("role", "assistant") != "assistant"):
            bare = None
            continue
        turns += bare is None or (kind in ("message", "reasoning") and not bare)
        bare = kind == "reasoning"
    return turns


def _status(row: Mapping[str, Any]) -> Status:
    response = row.get("response")
    incomplete = isinstance(response, Mapping) and response.get("status") == "incomplete"
    return "max_tokens" if incomplete else "completed"


def trajectory(data: bytes, place: str) -> Trajectory:
    """A row whole."""
    try:
        row = read_row(data)
        opening, output = _messages(row)
        found = _scalars(row)
        params = {name: value for name, value in row["responses_create_params"].items() if value is not None}
        params.pop("input", None)
        return episode(
            opening + output, len(opening), env_id=found.env_id, task_id=found.task_id, repeat=found.repeat,
            status=_status(row), reward=found.reward, tools=from_tools(params.pop("tools", [])),
            metrics=found.metrics, calls=_calls(_items(row)), sampling=params,
            usage=usage_of((row.get("response") or {}).get("usage")),
        )  # fmt: skip
    except BAD as error:
        raise LLMGymError(f"{place}: {error}") from None


def _calls(items: list[Any]) -> list[Call | None]:
    """The tokens of each reply, which stand on the last of its items."""
    return [
        Call(item.get("prompt_token_ids") or [], item["generation_token_ids"], item.get("generation_log_probs") or [])
        for item in items
        if item.get("generation_token_ids")
    ]
