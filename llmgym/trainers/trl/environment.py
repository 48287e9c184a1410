"""Environments for TRL's own tool loop."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, ClassVar, TypeVar

from llmgym.concurrency import drive_in_background
from llmgym.env import StepResult, ToolEnv
from llmgym.errors import ConfigError
from llmgym.messages import Message, assistant, tool_call
from llmgym.rollout.runner import EnvPool
from llmgym.tools import Tool
from llmgym.trainers.trl.prompts import Prompt, ref_of
from llmgym.trajectory import Trajectory, Turn, parts_of

T = TypeVar("T")


class Play:
    """Episodes, one after another, whose turns TRL takes.

    Attributes:
        trajectory: The running episode, without tokens: those are TRL's.
    """

    def __init__(self, pool: EnvPool) -> None:
        self._pool, self._env = pool, pool.take()
        self.trajectory = Trajectory(pool.id, "", 0, 0)
        self._open = False

    @property
    def tools(self) -> list[Tool]:
        """The tools of the environment."""
        return list(self._env.tools.values())

    def reset(self, prompt: Prompt) -> None:
        """Start the episode that a row's prompt names."""
        ref = ref_of(prompt)
        task = self._pool.tasks.get(ref.task_id)
        self.trajectory = Trajectory(self._pool.id, ref.task_id, 0, ref.seed, opening=len(prompt), reward=0.0)
        self._open = True
        self._drive(self._env.areset(seed=ref.seed, options={"task": task}))

    def call(self, name: str, arguments: dict[str, Any]) -> str:
        """Take a turn of one tool call, and give its result.

        Raises:
            ValueError: The episode is over, perhaps since this turn failed; the text is meant for the model.
        """
        answers = self._step(self._env.astep(assistant("", tool_call(name, **arguments)))) if self._open else ()
        if not answers:
            raise ValueError("the episode is over; reply without a tool call")
        return answers[0]["content"]

    def end(self, completion: Sequence[dict[str, Any]]) -> Trajectory:
        """End the episode with the last message of a completion, unless it is over, and verify it."""
        last = completion[-1] if completion else {}
        # Calls in the last message were not run, for want of room or turns: it is no answer.
        if self._open and last.get("role") == "assistant" and not last.get("tool_calls"):
            self._step(self._env.astep(last["content"] or ""))
        if self._open:
            self._step(self._env.aend())
        self.trajectory.messages = self._env.transcript
        return self.trajectory

    def _step(self, step: Coroutine[Any, Any, StepResult]) -> Sequence[Message]:
        """Take a step and its reward; give the answers, none where it failed."""
        result = self._drive(step)
        if result is None:
            return ()
        answers, reward, terminated, truncated, info = result
        episode, value = self.trajectory, reward if math.isfinite(reward) else None
        episode.reward = None if value is None or episode.reward is None else episode.reward + value
        episode.reward_parts = parts_of(info)
        episode.turns.append(Turn(value, "stop", 0.0, 0.0))
        episode.status = "max_turns" if truncated else "completed"
        self._open = not (terminated or truncated)
        return answers

    def _drive(self, coroutine: Coroutine[Any, Any, T]) -> T | None:
        """Run a part of the episode; None where it failed, which ends the episode, unscored."""
        try:
            return drive_in_background(coroutine)
        except Exception as error:  # noqa: BLE001 -- a defect of one environment must not end the others
            self._open = False
            self.trajectory.status, self.trajectory.error = "env_error", f"{type(error).__name__}: {error}"
            self.trajectory.reward = None
            return None


class _Tool(dict[str, Any]):
    """The schema of a tool, which can be called.

    TRL would derive a schema from a method's signature, which loses what Python's types do not say, so that prompts
    would differ from those of rollouts. transformers takes a dict as it is, and TRL calls whatever it is given. The one
    difference left is that TRL offers tools in the order of their names.
    """

    def __init__(self, tool: Tool, play: Play) -> None:
        super().__init__(tool.schema)
        self.__name__: str = tool.name
        self._play = play

    def __call__(self, /, **arguments: Any) -> str:
        return self._play.call(self.__name__, arguments)


class ToolEnvironment:
    """What TRL's tool loop takes for an environment: `reset`, and a public method for each tool.

    TRL has no way to end an episode: after the last call the model is asked once more. What it says then does not
    count, though it is trained; further calls fail.

    Attributes:
        pool: Instances of the environment.
        play: The episode.
    """

    pool: ClassVar[EnvPool]

    def __init__(self) -> None:
        self.play = Play(self.pool)
        for tool in self.play.tools:
            # TRL finds the class's method, and takes this in its place.
            setattr(self, tool.name, _Tool(tool, self.play))

    def reset(self, prompt: Prompt, **_: Any) -> None:
        """Start the episode of a row; the prompt has its opening messages already."""
        self.play.reset(prompt)


def environment_class(pool: EnvPool) -> type[ToolEnvironment]:
    """Make the class for an environment.

    Raises:
        ConfigError: TRL's loop cannot run it: it answers messages without tool calls, or TRL gives the name of one of
            its tools another meaning.
    """
    env = pool.take()
    pool.give(env)
    core: Any = env.unwrapped
    if type(core).respond is not ToolEnv.respond:
        raise ConfigError(f"{pool.id} answers messages without tool calls; TRL's tool loop does not: use rollout_func")
    attributes: dict[str, Any] = {"__doc__": type(core).__doc__, "pool": pool}
    for name, tool in env.tools.items():
        if name.startswith("_") or hasattr(ToolEnvironment, name) or name in ("get_reward", "play", "pool"):
            raise ConfigError(f"{pool.id}: TRL cannot take a method {name!r} for a tool; use rollout_func")
        attributes[name] = _method(tool)
    return type(re.sub(r"\W", "_", pool.id.rpartition("/")[2]), (ToolEnvironment,), attributes)


def _method(tool: Tool) -> Callable[..., str]:
    def method(self: ToolEnvironment, /, **arguments: Any) -> str:
        return self.play.call(tool.name, arguments)

    method.__name__, method.__doc__ = tool.name, tool.schema["function"]["description"]
    return method
