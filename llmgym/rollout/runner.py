"""Single episodes with a policy; one whose failure may pass is tried again."""

from __future__ import annotations

import asyncio
import importlib
import math
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Protocol, TypeVar, cast

import msgspec

from llmgym.chat import ChatPolicy, Policy
from llmgym.codec.base import ChatCodec
from llmgym.policies import OraclePolicy
from llmgym.policies.base import TokenPolicy
from llmgym.rollout.config import AgentSettings, Limits, ResponsesCreateParams
from llmgym.rollout.episode import run_episode
from llmgym.rollout.instances import Instances
from llmgym.rollout.speakers import ChatSpeaker, OracleSpeaker, Speaker, TokenSpeaker
from llmgym.rollout.stop import LimitReached, Stop
from llmgym.tasks import Task, stable_hash
from llmgym.trajectory import Status, Trajectory, Turn

T = TypeVar("T")

_RETRIED = frozenset({"policy_error", "env_error"})
_BACKOFF_S, _DOUBLINGS = 0.5, 6  # half a minute at most


class Runner(Protocol):
    """Runs single episodes; the collector has one."""

    async def run(
        self, instances: Instances, task: Task, repeat: int, *, seed: int, stop: Stop | None = None
    ) -> Trajectory:
        """Run an episode, again where something failed and that may help; never raises for it."""
        ...


@asynccontextmanager
async def running(
    agent: AgentSettings,
    policy: Policy,
    codec: ChatCodec | None,
    limits: Limits,
    params: ResponsesCreateParams,
    on_turn: Callable[[Turn], None] | None = None,
) -> AsyncGenerator[Runner]:
    """The runner of a configuration: of a policy, or of the program that asks it.

    Args:
        agent: Says which.
        policy: A started policy.
        codec: Codec of a token policy; None for a chat policy.
        limits: What ends an episode.
        params: How replies are sampled.
        on_turn: Called after each turn.

    Raises:
        ConfigError: A program has a policy without tokens.
        MissingExtraError: What a program needs is not installed.
    """
    if agent.agent_command is None:
        yield EpisodeRunner(policy, codec, limits, params, on_turn)
        return
    programs = importlib.import_module("llmgym.serve.programs")  # above this room, where servers are
    async with programs.ProgramRunner.running(
        agent.agent_command,
        policy,
        codec,
        limits,
        params,
        on_turn or (lambda turn: None),
        agent.agent_sandbox is not None,
    ) as runner:
        yield runner


class EpisodeRunner:
    """Runs single episodes with a policy; what the collector and the trainers' adapters share."""

    def __init__(
        self,
        policy: Policy,
        codec: ChatCodec | None,
        limits: Limits,
        params: ResponsesCreateParams,
        on_turn: Callable[[Turn], None] | None = None,
    ) -> None:
        """Take what all episodes have in common.

        Args:
            policy: A started policy.
            codec: Codec of a token policy; None for a chat policy.
            limits: What ends an episode.
            params: How replies are sampled.
            on_turn: Called after each turn.
        """
        self._limits, self._on_turn = limits, on_turn
        self._voice = Voice(policy, codec, params, limits)

    async def run(
        self, instances: Instances, task: Task, repeat: int, *, seed: int, stop: Stop | None = None
    ) -> Trajectory:
        """Run an episode, again where its policy or environment failed and that may help; never raises for it.

        Args:
            instances: Where it happens.
            task: Its task.
            repeat: Number of the episode in its group.
            seed: Seed of the environment's `reset`.
            stop: Ends it from outside.
        """
        stop = stop or Stop()

        async def once(attempt: int) -> Trajectory:
            voice = self._voice
            trajectory = Trajectory(instances.id, task.id, repeat, seed, sampling=voice.params, attempts=attempt)
            speaker = voice.speaker(request_name(trajectory))
            await run_episode(instances, task, speaker, trajectory, self._limits, self._on_turn, stop)
            return trajectory

        return await retried(once, lambda trajectory: trajectory.status, self._limits.max_attempts, stop)


class Voice:
    """A policy with what it is sampled with.

    Attributes:
        params: How replies are sampled, as `Trajectory.sampling` has it.
    """

    def __init__(self, policy: Policy, codec: ChatCodec | None, params: ResponsesCreateParams, limits: Limits) -> None:
        """Take what all episodes have in common; `EpisodeRunner` says what it is."""
        self._policy, self._codec, self._limits = policy, codec, limits
        self.params: dict[str, Any] = msgspec.to_builtins(params)
        if codec is not None:
            self.params["logprobs_mode"] = cast("TokenPolicy", policy).logprobs_mode
        self._sampling = params.sampling(codec.stop_token_ids if codec else ())

    def speaker(self, name: str) -> Speaker:
        """Who speaks for it in one episode, under a name that is unique."""
        if isinstance(self._policy, OraclePolicy):
            return OracleSpeaker()
        if self._codec is None:
            return ChatSpeaker(cast("ChatPolicy", self._policy), self._sampling, self._limits, name)
        policy = cast("TokenPolicy", self._policy)  # only these have a codec
        return TokenSpeaker(policy, self._codec, self._sampling, self._limits, name)


def request_name(trajectory: Trajectory) -> str:
    """What a policy knows an agent's share of one try of an episode by."""
    return f"{trajectory.id}/{trajectory.attempts}" if trajectory.attempts > 1 else trajectory.id


async def retried(once: Callable[[int], Awaitable[T]], status: Callable[[T], Status], most: int, stop: Stop) -> T:
    """Run an episode, again where what failed may pass.

    Args:
        once: Runs it, for which time, counted from 1.
        status: How it ended.
        most: How often to try.
        stop: Ends it from outside.
    """
    attempt = 1
    while True:
        result = await once(attempt)
        if status(result) not in _RETRIED or attempt == most or stop.requested:
            return result
        pause = _BACKOFF_S * 2 ** min(attempt - 1, _DOUBLINGS) * random.uniform(0.5, 1.5)
        try:
            await stop.bounded(partial(asyncio.sleep, pause), math.inf)
        except LimitReached:  # nobody waits for it any more
            return result
        attempt += 1


def episode_seed(seed: int, scope: str, task_id: str) -> int:
    """Seed of `reset`: one for all repeats of a task, so that they start alike."""
    return stable_hash(seed, scope, task_id) >> 33
