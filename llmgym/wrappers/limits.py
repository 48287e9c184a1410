"""Limits on the length of an episode."""

from __future__ import annotations

from typing import Any

import gymnasium
from gymnasium.envs.registration import WrapperSpec
from gymnasium.utils import RecordConstructorArgs
from gymnasium.wrappers import TimeLimit

TURN_LIMIT = WrapperSpec("TurnLimit", "llmgym.wrappers.limits:TurnLimit", {})


class TurnLimit(gymnasium.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """Tell a `ToolEnv` the limit of the `TimeLimit` around it.

    Gymnasium keeps `make(id, max_episode_steps=3)` from the environment inside, which would then be
    cut off without being verified. Environments that llmgym registers are wrapped in this; others
    name it in `gymnasium.register(..., additional_wrappers=[TURN_LIMIT])`.
    """

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        """Look for a `TimeLimit` in the wrappers below."""
        RecordConstructorArgs.__init__(self)
        gymnasium.Wrapper.__init__(self, env)
        limit, below = 0, env
        while isinstance(below, gymnasium.Wrapper):
            if isinstance(below, TimeLimit):
                limit = below._max_episode_steps  # pyright: ignore[reportPrivateUsage]
            below = below.env
        below.time_limit = limit  # type: ignore[attr-defined]
