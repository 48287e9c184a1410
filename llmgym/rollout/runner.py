"""Single episodes on pooled environments; one whose failure may pass is tried again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import cast

import msgspec

from llmgym.chat import ChatPolicy, Policy
from llmgym.codec.base import ChatCodec
from llmgym.policies.base import TokenPolicy
from llmgym.registry import make_core
from llmgym.rollout.config import EnvConfig, RolloutConfig
from llmgym.rollout.episode import ChatSpeaker, Limits, Stop, TokenSpeaker, run_episode
from llmgym.tasks import Task, stable_hash
from llmgym.trajectory import Trajectory, Turn
from llmgym.wrappers import AnyToolEnv, wrap

_RETRIED = frozenset({"policy_error", "env_error"})
_BACKOFF_S = 0.5


class EnvPool:
    """Instances of one environment, reused episode after episode.

    Attributes:
        id: Registered id.
        config: The environment with its arguments and wrappers.
        tasks: Its tasks.
        scope: Name under which it draws from them.
    """

    def __init__(self, config: EnvConfig, max_turns: int | None = None, split: str = "train") -> None:
        """Make the first instance.

        Raises:
            ConfigError: The environment does not exist, or does not take its arguments.
        """
        self.config = config
        self._kwargs = {"split": split, **config.kwargs} | ({} if max_turns is None else {"max_turns": max_turns})
        self.id = config.id.rpartition(":")[2]
        self._idle = [self._make()]
        self.tasks, self.scope = self._idle[0].tasks, self._idle[0].scope

    def _make(self) -> AnyToolEnv:
        env = make_core(self.config.id, **self._kwargs)
        return wrap(env, ((wrapper.name, wrapper.kwargs) for wrapper in self.config.wrappers))

    def take(self) -> AnyToolEnv:
        """An idle instance, or a new one."""
        return self._idle.pop() if self._idle else self._make()

    def give(self, env: AnyToolEnv) -> None:
        """Take an instance back, in whatever state its episode left it."""
        self._idle.append(env)

    def close(self) -> None:
        """Close the idle instances."""
        for env in self._idle:
            env.close()


class EpisodeRunner:
    """Runs single episodes with a policy; what the collector and the trainers' adapters share."""

    def __init__(
        self,
        config: RolloutConfig,
        policy: Policy,
        codec: ChatCodec | None,
        on_turn: Callable[[Turn], None] | None = None,
    ) -> None:
        """Take what all episodes have in common.

        Args:
            config: Limits, deadlines, sampling and seed.
            policy: A started policy.
            codec: Codec of a token policy; None for a chat policy.
            on_turn: Called after each turn.
        """
        # Checked once: a check against a protocol is slow, and there is a speaker for each episode.
        assert isinstance(policy, TokenPolicy | ChatPolicy)
        self._config, self._policy, self._codec, self._on_turn = config, policy, codec, on_turn
        self._limits = Limits(
            config.max_episode_tokens, config.max_completion_length, config.generation_timeout, config.episode_timeout
        )
        self._params = msgspec.to_builtins(config.responses_create_params)
        self._sampling = config.responses_create_params.sampling(codec.stop_token_ids if codec else ())

    async def run(
        self, pool: EnvPool, task: Task, repeat: int = 0, *, seed: int | None = None, stop: Stop | None = None
    ) -> Trajectory:
        """Run an episode, again where its policy or environment failed and that may help; never raises for it.

        Args:
            pool: Instances of its environment.
            task: Its task.
            repeat: Number of the episode in its group.
            seed: Seed of the environment's `reset`; None for that of the configuration.
            stop: Ends it from outside.
        """
        if seed is None:
            seed = episode_seed(self._config.seed, pool.id, task.id)
        stop = stop or Stop()
        env = pool.take()
        try:
            attempt = 1
            while True:
                trajectory = Trajectory(pool.id, task.id, repeat, seed, sampling=self._params, attempts=attempt)
                name = f"{trajectory.id}/{attempt}" if attempt > 1 else trajectory.id
                await run_episode(env, task, self._speaker(name), trajectory, self._limits, self._on_turn, stop)
                if trajectory.status not in _RETRIED or attempt == self._config.max_attempts or stop.requested:
                    return trajectory
                await asyncio.sleep(_BACKOFF_S * 2 ** (attempt - 1) * random.uniform(0.5, 1.5))
                attempt += 1
        finally:
            pool.give(env)

    def _speaker(self, name: str) -> TokenSpeaker | ChatSpeaker:
        if self._codec is None:
            return ChatSpeaker(cast("ChatPolicy", self._policy), self._sampling, name)
        policy = cast("TokenPolicy", self._policy)  # only these have a codec
        return TokenSpeaker(policy, self._codec, self._sampling, self._limits, name)


def episode_seed(seed: int, env_id: str, task_id: str) -> int:
    """Seed of `reset`: one for all repeats of a task, so that they start alike."""
    return stable_hash(seed, env_id, task_id) >> 33
