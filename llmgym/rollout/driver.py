"""The one step loop: an episode on an instance, message by message, recorded in a trajectory.

The collector, the trainers' adapters, `llmgym play` and the conformance kit differ in who says the next message. What
an episode is worth, how it ends, and what a failure becomes is decided here for all of them.
"""

from __future__ import annotations

import contextlib
import functools
import math
import time
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from llmgym.concurrency import is_outside, shielded
from llmgym.env import StepResult
from llmgym.env.boundary import failure
from llmgym.env.reading import name_calls
from llmgym.errors import CodecError, EnvironmentFailure, PolicyError, PolicyUnavailable
from llmgym.failures import Failure, Kind, Outside, Stage
from llmgym.messages import Message, ToolCall, ToolSchema, as_assistant, assistant
from llmgym.rollout.instances import Instances
from llmgym.tasks import Task
from llmgym.trajectory import Status, Trajectory, Turn, parts_of
from llmgym.wrappers import AnyToolEnv

_STATUS: dict[Kind, Status] = {
    "policy": "policy_error",
    "policy_unavailable": "policy_error",
    "policy_timeout": "policy_error",
    "policy_invalid": "policy_error",
    "codec": "policy_error",
    "episode_timeout": "timeout",
}


# Kinds of failures after which an instance is not used again.
_SPOILS: frozenset[Kind] = frozenset({"infrastructure", "timeout", "abandoned"})


class Driver:
    """One episode, which somebody else finds the messages for.

    A failure is a status and a text in the trajectory, with `reward` left None; only cancellation is raised. The driver
    keeps the transcript; nobody else holds its messages.

    Attributes:
        trajectory: The episode so far.
        done: Whether it is over.
        error: What it failed of, if it did, as it was raised.
    """

    def __init__(self, instances: Instances, task: Task, trajectory: Trajectory) -> None:
        """Name the episode.

        Args:
            instances: Where it happens.
            task: Its task.
            trajectory: Names the episode; the rest is filled in.
        """
        self._instances, self._task, self.trajectory = instances, task, trajectory
        self._env: AnyToolEnv | None = None
        self._rewards: list[float] = []
        self._began = time.perf_counter()
        self._live = False  # whether the instance is in the middle of the episode
        self.done = False
        self.error: Exception | None = None

    @property
    def instance(self) -> AnyToolEnv:
        """The instance, while the episode runs."""
        assert self._env is not None, "the episode is over, or was not opened"
        return self._env

    async def open(self) -> bool:
        """Begin the episode; whether that went well."""
        trajectory = self.trajectory
        trajectory.task = self._task
        try:
            self._env = await self._instances.acquire()
            given, info = await self._env.areset(seed=trajectory.seed, options={"task": self._task})
            self._live = True
            messages, tools = _messages(given), _shared(msgspec.json.encode(info["tools"]))
        except BaseException as error:  # whatever an environment or a wrapper raises, or gives
            if is_outside(error):
                raise
            await self.fail(failure(error, self._instances.id, "setup" if self._env is None else "wrapper"))
            return False
        trajectory.messages, trajectory.opening = messages, len(messages)
        trajectory.tools, trajectory.reward = tools, 0.0
        return True

    async def step(self, message: Message | str, turn: Turn | None = None, *, cut: bool = False) -> list[Message]:
        """Take an assistant message.

        Args:
            message: What the policy said.
            turn: What is known of how it came about; its reward and `env_s` are filled in.
            cut: Whether it was cut off, so that its calls do not run and the episode ends.

        Returns:
            The messages that are new, as they are in the transcript.
        """
        assert self._env is not None, "open the episode first"
        assert not self.done, "the episode is over"
        turn = turn or Turn(0.0, "length" if cut else "stop", 0.0, 0.0)
        try:
            said = as_assistant(message)
        except ValueError as error:
            await self.fail(PolicyError(str(error)), "policy_invalid")
            return []
        name_calls(said, len(self.trajectory.turns))
        self.trajectory.messages.append(said)
        self.trajectory.turns.append(turn)
        env = self._env
        return await self._take(turn, lambda: env.aend(said) if cut else env.astep(said))

    async def call(self, call: ToolCall, *, same: bool) -> list[Message]:
        """Take one call of a message whose calls come one by one, from a trainer that runs them itself.

        Args:
            call: The call.
            same: Whether it belongs to the message of the last call; else it begins another one, for which there may
                be no turn left.

        Returns:
            As `step`.
        """
        assert self._env is not None, "open the episode first"
        env, messages, turns = self._env, self.trajectory.messages, self.trajectory.turns
        same = same and bool(turns)
        if not same:
            if len(turns) >= env.max_turns:
                await self.end("max_turns")
                return []
            messages.append(assistant(""))
            turns.append(Turn(0.0, "stop", 0.0, 0.0))
        last = next(message for message in reversed(messages) if message["role"] == "assistant")
        last.setdefault("tool_calls", []).append(call)
        name_calls(last, len(turns) - 1)
        return await self._take(turns[-1], lambda: env.acall(call, same=same))

    async def _take(self, turn: Turn, act: Callable[[], Awaitable[StepResult]]) -> list[Message]:
        """Have the instance take a message, and record what comes of it."""
        began = time.perf_counter()
        try:
            given, _, terminated, truncated, _ = self._credit(await act())
            new = _messages(given)
        except BaseException as error:  # whatever an environment or a wrapper raises, or gives
            if is_outside(error):
                raise
            turn.env_s, turn.reward = turn.env_s + time.perf_counter() - began, None
            await self.fail(failure(error, self._instances.id, "wrapper"))
            return []
        turn.env_s += time.perf_counter() - began
        self.trajectory.messages += new
        if terminated or truncated:
            self._live = False
            self.trajectory.status = "completed" if terminated else "max_turns"
            await self._conclude()
        return list(new)

    async def end(self, status: Status, *, verify: bool = True) -> None:
        """End the episode at a limit, and score it as it is.

        Args:
            status: Which limit.
            verify: Whether to score it; else it has no reward.
        """
        if self.done:
            return
        assert self._env is not None, "open the episode first"
        self._live = False
        try:
            self._credit(await self._env.aend(verify=verify))
        except BaseException as error:  # whatever an environment or a wrapper raises, or gives
            if is_outside(error):
                raise
            await self.fail(failure(error, self._instances.id, "wrapper"))
            return
        self.trajectory.status = status
        await self._conclude()

    async def fail(self, error: Exception, kind: Kind | None = None) -> None:
        """End the episode as a failure, unscored.

        Args:
            error: What went wrong.
            kind: Of what sort, where the error does not say.
        """
        if self.done:
            return
        self.error = error
        mark_failed(self.trajectory, error, kind, "none" if self._env is None else self._env.report().outside)
        await self._conclude()

    async def close(self) -> None:
        """End the episode where it is, unscored, and give its instance back; nothing happens where it is over."""
        if not self.done:
            await shielded(self._conclude())

    async def _conclude(self) -> None:
        """Take what the instance knows, and give it back."""
        self.done = True
        env, self._env = self._env, None
        trajectory = self.trajectory
        if env is not None:
            if self._live:
                with contextlib.suppress(Exception, SystemExit):  # the episode has its reason to end already
                    await env.aend(verify=False)
            report = env.report()
            trajectory.metrics = report.metrics
            trajectory.tool_errors, trajectory.model_calls = report.tool_errors, report.model_calls
            for call in report.model_calls:
                known = trajectory.usage.get(call.role)
                trajectory.usage[call.role] = call.usage if known is None else known + call.usage
            if report.held_s:
                trajectory.timings["held_s"] = max(report.held_s.values())
            if trajectory.failure is not None and trajectory.failure.kind in _SPOILS:
                await self._instances.discard(env)
            else:
                await self._instances.release(env)
        trajectory.timings["wall_s"] = time.perf_counter() - self._began
        trajectory.timings["engine_s"] = sum(turn.engine_s for turn in trajectory.turns)
        trajectory.timings["env_s"] = sum(turn.env_s for turn in trajectory.turns)

    def _credit(self, step: StepResult) -> StepResult:
        """Add a step's reward to the episode and to its last turn; unscored (NaN, or infinite) makes both None."""
        _, reward, _, _, info = step
        trajectory = self.trajectory
        self._rewards.append(reward)
        trajectory.reward = _total(self._rewards)
        if trajectory.turns:
            last = trajectory.turns[-1]
            last.reward = None if last.reward is None else _total((last.reward, reward))
        if "reward_parts" in info:
            trajectory.reward_parts = parts_of(info)
        return step


def _messages(given: Sequence[Message]) -> list[Message]:
    """The messages of an observation, which a wrapper may have made into anything."""
    messages = list(given)
    if not all(isinstance(message, dict) and "role" in message for message in messages):
        raise TypeError(f"the observation is {given!r:.100}, which are no messages")
    return messages


def _total(rewards: Sequence[float]) -> float | None:
    """The sum of rewards; None where one is unscored (NaN, or infinite), or the sum is beyond all numbers."""
    try:
        total = math.fsum(rewards)
    except (OverflowError, ValueError):  # ValueError: infinities of both signs
        return None
    return total if math.isfinite(total) else None


def mark_failed(trajectory: Trajectory, error: Exception, kind: Kind | None, outside: Outside) -> None:
    """Make a trajectory that of a failure, unscored.

    Args:
        trajectory: The episode.
        error: What went wrong.
        kind: Of what sort, where the error does not say.
        outside: Whether anything may have been done outside.
    """
    kind, stage, text = _read(error, kind)
    trajectory.status = _STATUS.get(kind, "env_error")
    trajectory.error, trajectory.reward = text, None
    trajectory.failure = Failure(kind, stage, outside, type(error.__cause__ or error).__name__)


@functools.lru_cache(1024)
def _shared(tools: bytes) -> list[ToolSchema]:
    """Schemas of tools, once for all episodes that are offered the same: they take more than a short transcript."""
    return msgspec.json.decode(tools)


def _read(error: Exception, kind: Kind | None) -> tuple[Kind, Stage, str]:
    """Of what sort an error is, where it happened, and what it says."""
    if isinstance(error, EnvironmentFailure):
        return error.kind, error.stage or "episode", str(error)
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, CodecError):
        return "codec", "codec", text
    if kind == "episode_timeout":
        return kind, "episode", str(error)
    if isinstance(error, PolicyUnavailable):
        return "policy_unavailable", "policy", text
    return kind or "policy", "policy", text
