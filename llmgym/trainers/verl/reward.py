"""A reward function for verl's own agent loops, which do not run environments: it has the environment judge a reply."""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from llmgym.errors import EnvironmentFailure
from llmgym.messages import Message, assistant
from llmgym.rollout.thresholds import reaches
from llmgym.tasks import Task
from llmgym.trainers.common import Episodes
from llmgym.trainers.verl.data import task_of
from llmgym.wrappers import AnyToolEnv

_log = logging.getLogger("llmgym.trainers")


@functools.cache
def episodes() -> Episodes:
    """The environments of this process's tools and reward function."""
    return Episodes()


async def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: str | None = None,
    extra_info: Mapping[str, Any] | None = None,
    **_: Any,
) -> dict[str, float]:
    """Score a reply; for `reward.custom_reward_function`.

    verl's `single_turn_agent` gives the reply's text. Its `tool_agent` gives a whole conversation, if a tool of
    `LLMGymTool` was called in it: its assistant messages are then taken again, in an environment that starts alike.

    Args:
        data_source: Not used.
        solution_str: Text of the reply.
        ground_truth: Not used; the task knows.
        extra_info: `extra_info` of the row.
        **_: Whatever else verl gives.

    Returns:
        `score`, `acc` and `llmgym_unscored`. A reply that could not be scored counts as 0.0, since verl has no way to
        leave it out here; the agent loop does.

    Raises:
        ConfigError: The row is not from `write_parquet`.
    """
    info = extra_info or {}
    ref = task_of(info.get("tools_kwargs"))
    pool = episodes().pool(ref.env)
    talk = (info.get("extras") or {}).get("llmgym")
    env = pool.take()
    try:
        reward = await _judge(env, pool.tasks.get(ref.task_id), ref.seed, talk, solution_str)
    except EnvironmentFailure as error:
        _log.warning("%s, task %s: %s", ref.env.id, ref.task_id, error)
        reward = math.nan
    finally:
        pool.give(env)
    scored = math.isfinite(reward)
    threshold = episodes().config.success_threshold
    return {
        "score": reward if scored else 0.0,
        "acc": float(scored and reaches(reward, threshold)),
        "llmgym_unscored": float(not scored),
    }


async def _judge(env: AnyToolEnv, task: Task, seed: int, talk: Sequence[Any] | None, text: str) -> float:
    """Reward of an episode of what was said, which ends where the environment or what was said ends."""
    opening, _ = await env.areset(seed=seed, options={"task": task})
    replies = [_read(message) for message in (talk or ())[len(opening) :] if message["role"] == "assistant"]
    total = 0.0
    for message in replies or [text]:
        _, reward, terminated, truncated, _ = await env.astep(message)
        total += reward
        if terminated or truncated:
            return total
    return total + (await env.aend())[1]


def _read(message: Mapping[str, Any]) -> Message:
    """An assistant message of verl's, whose tool calls hold arguments as data where they are valid."""
    read = assistant(message["content"])
    if calls := message.get("tool_calls"):
        read["tool_calls"] = [
            {"type": "function", "function": {"name": c["function"]["name"], "arguments": _text(c["function"])}}
            for c in calls
        ]
    return read


def _text(function: Mapping[str, Any]) -> str:
    arguments = function["arguments"]
    return arguments if isinstance(arguments, str) else orjson.dumps(arguments).decode()
