"""One slot of a vector: an environment, and where its episode stands."""

from __future__ import annotations

import asyncio
import logging
import math
from typing import Any

from llmgym.concurrency import is_cancellation
from llmgym.env import Observation, StepResult
from llmgym.errors import EnvironmentFailure, VectorError
from llmgym.tasks import Task, stable_hash
from llmgym.vector.factory import Factory, end
from llmgym.wrappers.base import AnyToolEnv

Opening = tuple[Observation, dict[str, Any]]

_log = logging.getLogger("llmgym.vector")


class Slot:
    """One stream of episodes, in one environment after another if need be.

    What fails in it is told in `info["error"]`, and touches no other slot.

    Attributes:
        index: Its number.
        env: The environment.
        begun: Whether it was ever reset.
        over: Whether its episode has ended and the next is still to be begun.
        failure: Where there is no episode and one should be: the info that says why.
        discarded: Whether the environment was closed, and there is none in its place yet.
    """

    __slots__ = (
        "_astray", "_episode", "_factory", "_same_step", "_seed",
        "begun", "discarded", "env", "failure", "index", "over",
    )  # fmt: skip

    def __init__(self, index: int, env: AnyToolEnv, factory: Factory, same_step: bool) -> None:
        """Take an environment that the factory made.

        Args:
            index: The slot's number.
            env: The environment.
            factory: Makes another where one is needed.
            same_step: Whether the step that ends an episode begins the next.
        """
        self.index, self.env = index, env
        self._factory, self._same_step = factory, same_step
        self.begun = self.over = self.discarded = False
        self.failure: dict[str, Any] | None = None
        self._seed: int | None = None
        self._episode = -1  # since that seed
        self._astray = False  # whether the environment's own stream is another than the slot's

    async def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> Opening:
        """Begin an episode; one that cannot be begun has no messages."""
        self.begun, self.over = True, False
        last = self.env.task
        try:
            if self.discarded or self.env.spoiled:
                await self._replace()
            opening = await self._begin(seed, options or {})
        except BaseException as error:  # noqa: BLE001 -- one slot fails, the others go on
            task = self.env.task
            return (), self._failed(error, None if task is last else task)
        self.failure = None
        return opening

    async def step(self, action: Any) -> StepResult:
        """Take a message, or begin the next episode where one is over."""
        if self.over:
            observation, info = await self.reset()
            return observation, 0.0, False, False, info
        if self.failure is not None:
            result = (), math.nan, False, True, dict(self.failure)
        else:
            try:
                result = await self.env.astep(action)
            except BaseException as error:  # noqa: BLE001 -- one slot fails, the others go on
                result = (), math.nan, False, True, self._failed(error, self.env.task)
        if not (result[2] or result[3]):
            return result
        if not self._same_step:
            self.over = True
            return result
        return await self._roll_over(*result)

    async def _roll_over(
        self, final: Observation, reward: float, terminated: bool, truncated: bool, info: dict[str, Any]
    ) -> StepResult:
        """Show the opening of the next episode where the last has ended, and its end in `info`."""
        ended = {"final_obs": final, "final_info": info} | ({"error": info["error"]} if "error" in info else {})
        observation, info = await self.reset()
        return observation, reward, terminated, truncated, ended | info

    def _failed(self, error: BaseException, task: Task | None) -> dict[str, Any]:
        """Note a failure, and give the info that says so; what ends the running task or the program goes on."""
        text = str(error) if isinstance(error, EnvironmentFailure) else f"{type(error).__name__}: {error}"
        self.failure = {"task_id": None if task is None else task.id, "error": text}
        if is_cancellation(error) or not isinstance(error, Exception | SystemExit | asyncio.CancelledError):
            raise error
        return dict(self.failure)

    # --- environments -----------------------------------------------------------------------------

    async def _begin(self, seed: int | None, options: dict[str, Any]) -> Opening:
        if seed is not None:
            self._seed, self._episode, self._astray = seed, 0, False
        else:
            self._episode += 1
            if self._astray:
                seed, options = self._continued(options)
        return await self.env.areset(seed=seed, options=options)

    async def _replace(self) -> None:
        """Take another environment, since work that nothing could end may still touch this one."""
        if not self.discarded:
            if self._seed is None:
                self._seed = self.env.np_random_seed
            self.discarded = self._astray = True
            if (error := await end(self.env)) is not None:
                _log.warning("slot %d: closing a spoiled environment: %s: %s", self.index, type(error).__name__, error)
        env = self._factory.make()
        try:
            self._factory.check(env, self.index)
        except VectorError:
            await end(env)
            raise
        self.env, self.discarded = env, False

    def _continued(self, options: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Seed and options with which an environment that came later goes on with the slot's stream of tasks.

        Its random numbers begin anew with each episode, and are others in each.
        """
        assert self._seed is not None
        if options.get("task") is None:
            core: Any = self.env.unwrapped
            options = options | {"task": core.tasks.draw(core.split, self._seed, self._episode, scope=core.scope)}
        return stable_hash(self._seed, self._episode), options
