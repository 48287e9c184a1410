"""A reward function for verl's own agent loops, which do not run environments: it has the environment judge a reply."""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from llmgym.messages import Message
from llmgym.policies.models import load_tokenizer, resolve
from llmgym.rollout.driver import Driver
from llmgym.rollout.thresholds import reaches
from llmgym.trainers.common import Episodes
from llmgym.trainers.verl.data import task_of

_log = logging.getLogger("llmgym.trainers")


@functools.cache
def episodes(tokenizer: str | None) -> Episodes:
    """The environments of this process's tools and reward function."""
    return Episodes(None if tokenizer is None else load_tokenizer(resolve(tokenizer), "verl's reward function"))


async def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: str | None = None,
    extra_info: Mapping[str, Any] | None = None,
    tokenizer: str | None = None,
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
        tokenizer: Name or folder of the model, from `custom_reward_function.reward_kwargs`: with it, reasoning that the
            chat template opens, and calls in forms other than Hermes, are read as in rollouts.
        **_: Whatever else verl gives.

    Returns:
        `score`, `acc` and `llmgym_unscored`. A reply that could not be scored counts as 0.0, since verl has no way to
        leave it out here; the agent loop does.

    Raises:
        ConfigError: The row is not from `write_parquet`.
        CodecError: The tokenizer's chat template cannot be used.
    """
    info = extra_info or {}
    runs = episodes(tokenizer)
    driver = runs.driver(task_of(info.get("tools_kwargs")))
    talk = (info.get("extras") or {}).get("llmgym")
    await _replay(runs, driver, talk, solution_str)
    trajectory = driver.trajectory
    if trajectory.error is not None:
        _log.warning("%s, task %s: %s", trajectory.env_id, trajectory.task_id, trajectory.error)
    reward = trajectory.reward
    threshold = runs.config.groups.success_threshold
    return {
        "score": 0.0 if reward is None else reward,
        "acc": float(reward is not None and reaches(reward, threshold)),
        "llmgym_unscored": float(reward is None),
    }


async def _replay(runs: Episodes, driver: Driver, talk: Sequence[Any] | None, text: str) -> None:
    """An episode of what was said, which ends where the environment or what was said ends."""
    if not await driver.open():
        return
    trajectory = driver.trajectory
    prompt_ids = runs.prompt_ids(trajectory)
    said = [message for message in (talk or ())[trajectory.opening :] if message["role"] == "assistant"]
    for message in said or [{"content": text}]:
        reply = runs.read(message["content"], prompt_ids, trajectory.tools)
        await driver.step(_with_calls(reply, message) if said else reply)
        if driver.done:
            return
    await driver.end("max_turns")


def _with_calls(reply: Message, message: Mapping[str, Any]) -> Message:
    """A reply with the calls that verl has read in it and run, whose arguments are data where they are valid."""
    reply.pop("tool_calls", None)
    if calls := message.get("tool_calls"):
        reply["tool_calls"] = [
            {"type": "function", "function": {"name": c["function"]["name"], "arguments": _text(c["function"])}}
            for c in calls
        ]
    return reply


def _text(function: Mapping[str, Any]) -> str:
    arguments = function["arguments"]
    return arguments if isinstance(arguments, str) else orjson.dumps(arguments).decode()
