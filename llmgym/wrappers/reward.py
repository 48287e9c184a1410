"""Wrappers that shape the reward."""

from __future__ import annotations

import math
import re
from typing import Any, Literal

import gymnasium

from llmgym.errors import ConfigError
from llmgym.messages import as_assistant
from llmgym.wrappers.base import RewardPart


class ScaleReward(RewardPart):
    """Gives `reward * scale + shift`, not below `low` nor above `high`, at each step; unscored stays unscored.

    The part `scale_reward` holds what that changes in an episode.

    Args:
        env: The environment.
        scale: Factor.
        shift: Added after it, at each step.
        low: Least reward of a step.
        high: Greatest reward of a step.
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        scale: float = 1.0,
        shift: float = 0.0,
        low: float | None = None,
        high: float | None = None,
    ) -> None:
        super().__init__(env, scale=scale, shift=shift, low=low, high=high)
        self._scale, self._shift, self._part = scale, shift, "scale_reward"
        self._low, self._high = -math.inf if low is None else low, math.inf if high is None else high
        if self._low > self._high:
            raise ConfigError(f"ScaleReward: low must be at most high; they are {low} and {high}")

    def share(self, action: Any, reward: float) -> float:
        """What the scaling adds."""
        return min(max(reward * self._scale + self._shift, self._low), self._high) - reward


class FormatReward(RewardPart):
    r"""Rewards each message whose text holds a pattern, and each that does not.

    Args:
        env: The environment.
        pattern: Regular expression that is looked for; anchor it by `\A` and `\Z` for the whole text.
        match: Reward of a message that has it.
        miss: Reward of one that has not.
        name: Name of the part of the reward.
        messages: "all", or only those that call no tool: "text".
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        pattern: str,
        match: float = 1.0,
        miss: float = 0.0,
        name: str = "format",
        messages: Literal["all", "text"] = "all",
    ) -> None:
        super().__init__(env, pattern=pattern, match=match, miss=miss, name=name, messages=messages)
        try:
            self._pattern = re.compile(pattern, re.DOTALL)
        except re.error as error:
            raise ConfigError(f"FormatReward: {pattern!r} is no regular expression: {error}") from None
        self._match, self._miss, self._part, self._all = match, miss, name, messages == "all"

    def share(self, action: Any, reward: float) -> float:
        """Reward of one message."""
        if action is None:
            return 0.0
        message = as_assistant(action)
        if "tool_calls" in message and not self._all:
            return 0.0
        return self._match if self._pattern.search(message["content"]) else self._miss


class ToolPenalty(RewardPart):
    """Takes something off for each tool call, and for each that is answered by an error.

    Args:
        env: The environment.
        per_call: For a call that was run.
        per_error: For an error, besides.
        name: Name of the part of the reward.
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        per_call: float = 0.0,
        per_error: float = 0.0,
        name: str = "tool_penalty",
    ) -> None:
        super().__init__(env, per_call=per_call, per_error=per_error, name=name)
        self._per_call, self._per_error, self._part = per_call, per_error, name

    def share(self, action: Any, reward: float) -> float:
        """What the calls so far cost beyond those already paid for."""
        metrics = self.metrics
        cost = self._per_call * metrics["tool_calls"] + self._per_error * metrics["tool_errors"]
        return -cost - self._sum
