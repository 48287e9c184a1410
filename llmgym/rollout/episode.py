"""One episode: an environment and a policy talk until one of them, or a limit, ends it."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

from llmgym.chat import ChatPolicy, FinishReason, Sampling
from llmgym.codec.base import ChatCodec
from llmgym.env import StepResult
from llmgym.errors import CodecError, ContextLengthExceeded, EnvironmentFailure, PolicyError
from llmgym.failures import Failure, Kind, Stage
from llmgym.messages import Message, ToolSchema, as_assistant
from llmgym.policies.base import Generation, TokenPolicy
from llmgym.tasks import Task
from llmgym.trajectory import Segment, SegmentBuilder, Status, Trajectory, Turn, parts_of
from llmgym.wrappers import AnyToolEnv


@dataclass(frozen=True, slots=True)
class Limits:
    """What ends an episode besides its environment and its policy.

    Attributes:
        max_episode_tokens: Tokens that an episode may sample.
        max_completion_length: Tokens of a segment after its first prompt, sampled or not.
        generation_timeout: Seconds for one reply.
        episode_timeout: Seconds for the episode.
    """

    max_episode_tokens: int | None = None
    max_completion_length: int | None = None
    generation_timeout: float = 600.0
    episode_timeout: float = 3600.0


@dataclass(frozen=True, slots=True)
class Reply:
    """One assistant message, and the record of how it came about.

    Attributes:
        message: What the policy said.
        finish_reason: Why it stopped.
        bound: Status of the episode if the reply was cut off.
        tokens: Where its tokens are, as fields of `Turn`.
    """

    message: Message
    finish_reason: FinishReason
    bound: Status
    tokens: dict[str, Any]


class LimitReached(Exception):
    """There is no room for another reply."""

    def __init__(self, status: Status) -> None:
        super().__init__(status)
        self.status: Status = status


class Stop:
    """Ends an episode from outside: a reply that is being sampled is aborted, and no other is asked for."""

    def __init__(self, *, verify: bool = True) -> None:
        """Nothing is asked for yet; `verify` says whether what is there then is scored."""
        self.requested, self.verify = False, verify
        self._waiting: asyncio.Timeout | None = None

    def request(self) -> None:
        """End the episode; a step that the environment is taking is waited for."""
        if self.requested:
            return
        self.requested = True
        if self._waiting is not None and not self._waiting.expired():
            self._waiting.reschedule(asyncio.get_running_loop().time())

    async def bounded(self, reply: Callable[[], Awaitable[Reply]], seconds: float) -> Reply:
        """Wait for a reply; any way that the policy fails is a `PolicyError`.

        Raises:
            LimitReached: There was no room for a reply, or the end was requested.
            PolicyError: The policy failed, or took longer.
        """
        if self.requested:
            raise LimitReached("straggler")
        deadline = self._waiting = asyncio.timeout(seconds)
        try:
            async with deadline:
                return await reply()
        except (LimitReached, PolicyError, CodecError):
            raise
        except Exception as error:
            if isinstance(error, TimeoutError) and deadline.expired():
                if self.requested:
                    raise LimitReached("straggler") from None
                raise PolicyError(f"no reply within {seconds} s") from None
            raise PolicyError(f"{type(error).__name__}: {error}") from error
        finally:
            self._waiting = None


class TokenSpeaker:
    """Speaks for a token policy and keeps the episode's exact tokens.

    The invariant: what the engine is given at a turn is the segment so far, and what it samples is
    appended as it came. Nothing is ever tokenised twice.
    """

    def __init__(self, policy: TokenPolicy, codec: ChatCodec, sampling: Sampling, limits: Limits, name: str) -> None:
        """Speak for one episode, under a name that is unique."""
        self._policy, self._codec, self._sampling, self._name = policy, codec, sampling, name
        self._left, self._max_completion = limits.max_episode_tokens, limits.max_completion_length
        self._opening = 0
        self._tools: list[ToolSchema] = []
        self._segments: list[SegmentBuilder] = []
        self._pending: Generation | None = None
        self._turn = 0

    def open(self, messages: list[Message], tools: list[ToolSchema]) -> None:
        """Start with the opening messages."""
        self._tools = tools
        self._segments.append(SegmentBuilder(self._codec.open(messages, tools)))
        self._opening = len(self._segments[-1].ids)

    async def reply(self, messages: list[Message]) -> Reply:
        """Sample the next message."""
        segment = self._segments[-1]
        start = len(segment.ids)
        sampling, bound = self._room(start)
        request_id = f"{self._name}/{self._turn}"
        try:
            # The engine reads the list only while we wait, so the history is not copied.
            generation = await self._policy.generate(
                segment.ids, sampling, request_id=request_id, session_id=self._name
            )
        except ContextLengthExceeded as error:
            raise LimitReached("context_length") from error
        sampled = len(generation.token_ids)
        if len(generation.logprobs) != sampled:
            raise PolicyError(f"{sampled} tokens came with {len(generation.logprobs)} log-probabilities")
        if not math.isfinite(sum(generation.logprobs)):
            raise PolicyError("a log-probability is not finite")
        if generation.finish_reason == "abort":
            raise PolicyError("the engine aborted the request")
        message = self._codec.parse(generation.token_ids, segment.ids, self._tools)
        self._pending = generation
        self._turn += 1
        if self._left is not None:
            self._left -= sampled
        tokens = {
            "segment": len(self._segments) - 1,
            "start": start,
            "end": start + sampled,
            "cached_tokens": generation.cached_tokens,
            "versions": generation.versions,
        }
        return Reply(message, generation.finish_reason, bound, tokens)

    def _room(self, prompt: int) -> tuple[Sampling, Status]:
        """How the next reply is sampled, and which limit ends the episode if it is cut off."""
        asked = self._sampling
        limits: list[tuple[int, Status]] = [
            (asked.max_tokens, "max_tokens"),
            (self._policy.context_length - prompt, "context_length"),
        ]
        if self._left is not None:
            limits.append((self._left, "max_tokens"))
        if self._max_completion is not None:
            limits.append((self._opening + self._max_completion - prompt, "max_tokens"))
        room, bound = min(limits, key=lambda limit: limit[0])
        if room <= 0:
            raise LimitReached(bound)
        return asked if room == asked.max_tokens else replace(asked, max_tokens=room), bound

    def hear(self, new: list[Message], messages: list[Message]) -> None:
        """Append what the environment answered, or start a segment where the template rewrites history."""
        assert self._pending is not None
        segment = self._segments[-1]
        ids = self._codec.extend(segment.ids, self._pending.token_ids, new, self._tools)
        self._commit()
        if ids is None:
            self.open(messages, self._tools)
        else:
            segment.add_context(ids)

    def _commit(self) -> None:
        if self._pending is not None:
            self._segments[-1].add_sampled(self._pending)
            self._pending = None

    def finish(self) -> list[Segment]:
        """The tokens; a segment in which nothing was sampled teaches nothing and is left out."""
        self._commit()
        return [segment.build() for segment in self._segments if segment.spans]


class ChatSpeaker:
    """Speaks for a chat policy, which gives no tokens."""

    def __init__(self, policy: ChatPolicy, sampling: Sampling, name: str) -> None:
        """Speak for one episode, under a name that is unique."""
        self._policy, self._sampling, self._name = policy, sampling, name
        self._tools: list[ToolSchema] = []
        self._turn = 0

    def open(self, messages: list[Message], tools: list[ToolSchema]) -> None:
        """Start an episode."""
        self._tools = tools

    async def reply(self, messages: list[Message]) -> Reply:
        """Ask for the next message."""
        request_id = f"{self._name}/{self._turn}"
        try:
            generation = await self._policy.chat(
                messages, self._tools, self._sampling, request_id=request_id, session_id=self._name
            )
        except ContextLengthExceeded as error:
            raise LimitReached("context_length") from error
        self._turn += 1
        return Reply(as_assistant(generation.message), generation.finish_reason, "max_tokens", {})

    def hear(self, new: list[Message], messages: list[Message]) -> None:
        """Nothing to do: the whole transcript is sent each time."""

    def finish(self) -> list[Segment]:
        """No tokens."""
        return []


async def run_episode(
    env: AnyToolEnv,
    task: Task,
    speaker: TokenSpeaker | ChatSpeaker,
    trajectory: Trajectory,
    limits: Limits,
    on_turn: Callable[[Turn], None] | None = None,
    stop: Stop | None = None,
) -> None:
    """Run one episode and fill in its trajectory.

    A failure is a status and an error text, with `reward` left None; only cancellation is raised.

    Args:
        env: The environment; taken up anew by `areset`.
        task: The task.
        speaker: The policy's side.
        trajectory: Names the task and the seed; the rest is filled in.
        limits: What ends the episode.
        on_turn: Called after each turn.
        stop: Ends it from outside.
    """
    started = time.perf_counter()
    trajectory.task = task
    deadline = asyncio.timeout(limits.episode_timeout)
    try:
        async with deadline:
            trajectory.status = await _converse(env, task, speaker, trajectory, limits, on_turn, stop or Stop())
    except (PolicyError, CodecError) as error:
        trajectory.status, trajectory.error = "policy_error", f"{type(error).__name__}: {error}"
        trajectory.failure = _failure("codec" if isinstance(error, CodecError) else "policy", "policy", error)
    except EnvironmentFailure as error:
        trajectory.status, trajectory.error = "env_error", str(error)
        trajectory.failure = _failure(error.kind, error.stage or "episode", error)
    except Exception as error:  # noqa: BLE001 -- a defect of one environment must not end the others
        if isinstance(error, TimeoutError) and deadline.expired():
            trajectory.status, trajectory.error = "timeout", f"the episode ran past {limits.episode_timeout} s"
            trajectory.failure = _failure("episode_timeout", "episode", error)
        else:
            trajectory.status, trajectory.error = "env_error", f"{type(error).__name__}: {error}"
            trajectory.failure = _failure("environment", "episode", error)
    trajectory.segments = speaker.finish()
    trajectory.messages = env.transcript
    sampled = trajectory.sampled_tokens
    trajectory.metrics = {
        **env.metrics,
        "num_turns": len(trajectory.turns),
        "num_sampled_tokens": sampled,
        "num_context_tokens": sum(len(segment.ids) for segment in trajectory.segments) - sampled,
    }
    trajectory.timings = {
        "wall_s": time.perf_counter() - started,
        "engine_s": sum(turn.engine_s for turn in trajectory.turns),
        "env_s": sum(turn.env_s for turn in trajectory.turns),
    }
    if not trajectory.finished:
        trajectory.reward = None


def _failure(kind: Kind, stage: Stage, error: Exception) -> Failure:
    return Failure(kind, stage, "possible", type(error).__name__)


async def _converse(
    env: AnyToolEnv,
    task: Task,
    speaker: TokenSpeaker | ChatSpeaker,
    trajectory: Trajectory,
    limits: Limits,
    on_turn: Callable[[Turn], None] | None,
    stop: Stop,
) -> Status:
    messages, info = await env.areset(seed=trajectory.seed, options={"task": task})
    trajectory.opening, trajectory.tools, trajectory.reward = len(messages), info["tools"], 0.0
    speaker.open(env.transcript, trajectory.tools)
    while True:
        asked = time.perf_counter()
        try:
            reply = await stop.bounded(lambda: speaker.reply(env.transcript), limits.generation_timeout)
        except LimitReached as limit:
            if stop.verify or not stop.requested:
                _credit(trajectory, await env.aend())
            return limit.status
        replied = time.perf_counter()
        cut = reply.finish_reason == "length"
        step = await (env.aend(reply.message) if cut else env.astep(reply.message))
        trajectory.turns.append(
            Turn(0.0, reply.finish_reason, replied - asked, time.perf_counter() - replied, **reply.tokens)
        )
        new, _, terminated, truncated, _ = _credit(trajectory, step)
        if on_turn is not None:
            on_turn(trajectory.turns[-1])
        if cut:
            return reply.bound
        if terminated or truncated:
            return "completed" if terminated else "max_turns"
        try:
            speaker.hear(list(new), env.transcript)
        except CodecError as error:  # some templates refuse what a policy can bring a conversation to
            trajectory.error = str(error)
            _credit(trajectory, await env.aend())
            return "template_refused"


def _credit(trajectory: Trajectory, step: StepResult) -> StepResult:
    """Add a step's reward to the episode and to its last turn; unscored (NaN, or infinite) makes both None."""
    _, reward, _, _, info = step
    value = reward if math.isfinite(reward) else None
    trajectory.reward = None if value is None or trajectory.reward is None else trajectory.reward + value
    if trajectory.turns:
        last = trajectory.turns[-1]
        last.reward = None if value is None or last.reward is None else last.reward + value
    if "reward_parts" in info:
        trajectory.reward_parts = parts_of(info)
    trajectory.tool_errors = info.get("tool_errors", trajectory.tool_errors)
    return step
