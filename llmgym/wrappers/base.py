"""The base of llmgym's wrappers: what a wrapper does is written once, for `step` and for `astep`."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal

import gymnasium
from gymnasium.utils import RecordConstructorArgs

from llmgym.chat import ModelCall, Role
from llmgym.env import Episode, Observation, Report, StepResult, ToolEnv
from llmgym.messages import Message, ToolCall, assistant
from llmgym.rewards import Reward
from llmgym.tasks import Task, TaskSet
from llmgym.tools import Tool


class ToolWrapper(gymnasium.Wrapper[Observation, Any, Observation, Any], RecordConstructorArgs):
    """Changes what an environment gives, in `on_reset` and `on_step`.

    Both are called by the synchronous surface and by the async core that the collector and `TextVectorEnv` use.
    Every other public attribute is that of the environment inside.

    Gymnasium's own wrappers have no async core: those further inside act through `reset` and `step` only.
    """

    # Of the environment inside, by `__getattr__`.
    task: Task | None
    tasks: TaskSet
    transcript: list[Message]
    metrics: dict[str, float]
    scope: str
    suspends: bool
    verifies_groups: bool
    max_turns: int
    tools: Mapping[str, Tool]
    roles: Sequence[str]
    models: Mapping[str, Role]
    spoiled: bool
    verify_from: Literal["replay", "transcript"]
    report: Callable[[], Report]
    averify_group: Callable[[Sequence[Episode | None]], Awaitable[tuple[list[Reward | None], list[ModelCall]]]]

    def __init__(self, env: gymnasium.Env[Any, Any], **arguments: Any) -> None:
        """Wrap an environment.

        Args:
            env: A `ToolEnv`, perhaps in other wrappers.
            **arguments: All arguments of the subclass, as JSON values; specs record them.

        Raises:
            TypeError: There is no `ToolEnv` inside.
        """
        RecordConstructorArgs.__init__(self, **arguments)
        gymnasium.Wrapper.__init__(self, env)
        core = env
        while not isinstance(core, ToolEnv | ToolWrapper):
            if not isinstance(core, gymnasium.Wrapper):
                raise TypeError(f"{type(self).__name__} wraps environments made from ToolEnv, not {core}")
            core = core.env
        self._core: AnyToolEnv = core

    def __getattr__(self, name: str) -> Any:
        """An attribute of the environment inside."""
        if name.startswith("_"):  # of no interest, and not there yet while a copy is made
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self._core, name)

    def on_reset(self, observation: Observation, info: dict[str, Any]) -> tuple[Observation, dict[str, Any]]:
        """What `reset` gives instead."""
        return observation, info

    def on_step(self, action: Any, result: StepResult) -> StepResult:
        """What `step` gives instead; `action` is None where a limit ended the episode without a message."""
        return result

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """See `ToolEnv.reset`."""
        return self.on_reset(*self.env.reset(seed=seed, options=options))

    def step(self, action: Any) -> StepResult:
        """See `ToolEnv.step`."""
        return self.on_step(action, self.env.step(action))  # type: ignore[arg-type]

    async def areset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """See `ToolEnv.areset`."""
        return self.on_reset(*await self._core.areset(seed=seed, options=options))

    async def astep(self, action: Any) -> StepResult:
        """See `ToolEnv.astep`."""
        return self.on_step(action, await self._core.astep(action))

    async def acall(self, call: ToolCall, *, same: bool) -> StepResult:
        """See `ToolEnv.acall`."""
        return self.on_step(assistant("", call), await self._core.acall(call, same=same))

    async def aend(self, action: Any = None, *, verify: bool = True) -> StepResult:
        """See `ToolEnv.aend`."""
        return self.on_step(action, await self._core.aend(action, verify=verify))

    async def aclose(self) -> None:
        """See `ToolEnv.aclose`."""
        work = self._core.aclose()
        if work is not None:
            await work


AnyToolEnv = ToolEnv | ToolWrapper


class RewardPart(ToolWrapper):
    """Adds a share to the reward of each step, and their sum to the reward parts of the episode."""

    _part: str
    _sum: float = 0.0

    def share(self, action: Any, reward: float) -> float:
        """What the step that was just taken earns besides.

        Args:
            action: The message; None where a limit ended the episode without one.
            reward: What it earns inside; NaN where that is unscored.
        """
        raise NotImplementedError

    def on_reset(self, observation: Observation, info: dict[str, Any]) -> tuple[Observation, dict[str, Any]]:
        """Begin the sum anew."""
        self._sum = 0.0
        return observation, info

    def on_step(self, action: Any, result: StepResult) -> StepResult:
        """Add the share; an unscored episode stays unscored."""
        observation, reward, terminated, truncated, info = result
        share = 0.0 if math.isnan(reward) else self.share(action, reward)
        self._sum += share
        if terminated or truncated:
            parts, weights = info.get("reward_parts", {}), info.get("reward_weights", {})
            known = parts.get(self._part, 0.0)  # of another that is called so
            total = None if known is None else known * weights.get(self._part, 1.0) + self._sum
            info["reward_parts"] = {**parts, self._part: total}
            info["reward_weights"] = {**weights, self._part: 1.0}
        return observation, reward + share, terminated, truncated, info
