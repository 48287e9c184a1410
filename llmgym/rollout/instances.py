"""Where episodes happen: instances of an environment, and apart from them where its tasks come from."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium

from llmgym.chat import ChatPolicy
from llmgym.concurrency import drive, drive_in_background, is_outside
from llmgym.env.boundary import failure
from llmgym.errors import ConfigError
from llmgym.multiagent import SoloGame
from llmgym.registry import make_core
from llmgym.rollout.config import EnvConfig
from llmgym.tasks import Task, TaskSet
from llmgym.wrappers import AnyToolEnv, wrap

_log = logging.getLogger("llmgym.rollout")


@dataclass(frozen=True, slots=True)
class TaskSource:
    """Where the tasks of an environment come from; needs no instance, and can be sent to another process.

    Attributes:
        id: The environment, as episodes are named after it.
        scope: Name under which it draws.
        tasks: The tasks.
        agents: Who has a share in its episodes.
    """

    id: str
    scope: str
    tasks: TaskSet
    agents: tuple[str, ...] = ("agent",)

    def plan(self, split: str, seed: int, index: int) -> Task:
        """The task at a place of a run; see `TaskSet.plan`."""
        return self.tasks.plan(split, seed, index, scope=self.scope)

    def size(self, split: str) -> int | None:
        """How many tasks a split has; None for no end."""
        return self.tasks.size(split)


class Instances:
    """Instances of one environment, reused episode after episode.

    Attributes:
        config: The environment with its arguments and wrappers.
        source: Its tasks.
        suspends: Whether it needs an event loop.
        verifies_groups: Whether it scores the repeats of a task beside each other.
        verifies_transcripts: Whether it can score an episode by what was said alone; wrappers may pay for steps.
    """

    def __init__(
        self,
        config: EnvConfig,
        *,
        max_turns: int | None = None,
        split: str = "train",
        models: Mapping[str, ChatPolicy | str] | None = None,
        several: bool = False,
    ) -> None:
        """Make the first instance.

        Args:
            config: The environment.
            max_turns: Assistant messages per episode; None for the environment's.
            split: Split of the tasks.
            models: Models for the roles that environments have; each takes those that it knows.
            several: Whether all agents of its game are played.

        Raises:
            ConfigError: The environment does not exist, does not take its arguments, lacks a model, or is no game for
                several agents where it should be.
        """
        self.config = config
        self._kwargs = {"split": split, **config.kwargs} | ({} if max_turns is None else {"max_turns": max_turns})
        self._models = models or {}
        first = self._make()
        self._idle, self.suspends = [first], first.suspends
        self.verifies_groups = first.verifies_groups
        self.verifies_transcripts = first.verify_from == "transcript" and not config.wrappers
        agents = self._agents() if several else ("agent",)
        self.source = TaskSource(config.name, first.scope, first.tasks, agents)
        if missing := [role for role in first.roles if role not in first.models]:
            self.close()
            raise ConfigError(
                f"{config.id} needs a model for the role {missing[0]!r}: set models: {{{missing[0]}: POLICY}}, such as "
                "openai:MODEL"
            )

    def _agents(self) -> tuple[str, ...]:
        """Who plays its game."""
        core = self._idle[0].unwrapped
        if isinstance(core, SoloGame) and not self.config.wrappers:
            return tuple(core.game.agents)
        self.close()
        if isinstance(core, SoloGame):
            raise ConfigError(f"{self.config.id}: wrappers are for one agent, and a run with policies has several")
        raise ConfigError(
            f"{self.config.id} is no game for several agents: leave `policies` out, or see docs/multiagent.md"
        )

    @property
    def id(self) -> str:
        """Name of the environment, which its episodes have."""
        return self.source.id

    @property
    def sample(self) -> AnyToolEnv:
        """An instance to look at."""
        if not self._idle:
            self._idle.append(self._make())
        return self._idle[0]

    @property
    def arguments(self) -> dict[str, Any]:
        """What decides results: arguments of the environment's class, those of its registration included, and more."""
        core: Any = self.sample.unwrapped
        given = {**gymnasium.spec(self.config.env_id).kwargs, **self._kwargs}
        return {name: value for name, value in given.items() if name not in core.transport} | core.identity

    def _make(self) -> AnyToolEnv:
        env = make_core(self.config.id, **self._kwargs)
        try:
            env.cast_roles({role: model for role, model in self._models.items() if role in env.roles})
            return wrap(env, ((wrapper.name, wrapper.kwargs) for wrapper in self.config.wrappers))
        except BaseException:
            with contextlib.suppress(Exception, SystemExit):  # the first error says more
                env.close()
            raise

    async def acquire(self) -> AnyToolEnv:
        """An idle instance, or a new one.

        Raises:
            EnvironmentFailure: The constructor failed, which costs this episode and no other.
        """
        if self._idle:
            return self._idle.pop()
        try:
            return self._make()
        except Exception as error:
            raise failure(error, self.id, "construct") from error

    async def release(self, env: AnyToolEnv) -> None:
        """Take an instance back after its episode; one on which earlier work still runs is never used again."""
        if env.spoiled:
            await self.discard(env)
        else:
            self._idle.append(env)

    async def discard(self, env: AnyToolEnv) -> None:
        """End an instance; what fails in that is logged."""
        try:
            work = env.aclose()
            if work is not None:
                await work
        except BaseException as error:
            if is_outside(error):
                raise
            _log.warning("%s: closing an instance: %s: %s", self.id, type(error).__name__, error)

    async def aclose(self) -> None:
        """End all idle instances."""
        while self._idle:
            await self.discard(self._idle.pop())

    def close(self) -> None:
        """The same for synchronous callers."""
        with contextlib.suppress(RuntimeError):  # the interpreter is ending
            (drive_in_background if self.suspends else drive)(self.aclose())
