"""Environments for TRL's own tool loop."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any, ClassVar

from llmgym.concurrency import drive_in_background
from llmgym.env import ToolEnv
from llmgym.errors import ConfigError
from llmgym.messages import Message, tool_call
from llmgym.rollout.driver import Driver
from llmgym.rollout.instances import Instances
from llmgym.tools import Tool
from llmgym.trainers.common import Episodes
from llmgym.trainers.trl.prompts import Prompt, ref_of
from llmgym.trajectory import Trajectory


class Play:
    """Episodes, one after another, whose turns TRL takes.

    TRL runs the calls of a message one by one. Where nobody says which message a call is of, all are taken for those of
    one until the completion shows how many there were.
    """

    def __init__(self, episodes: Episodes, instances: Instances) -> None:
        self._episodes, self._instances = episodes, instances
        self._driver: Driver | None = None
        self._message: Any = None

    @property
    def trajectory(self) -> Trajectory:
        """The running episode, without tokens: those are TRL's."""
        return Trajectory(self._instances.id, "", 0, 0) if self._driver is None else self._driver.trajectory

    @property
    def tools(self) -> list[Tool]:
        """The tools of the environment."""
        return list(self._instances.sample.tools.values())

    def reset(self, prompt: Prompt) -> None:
        """Start the episode that a row's prompt names; one that runs is ended, unscored."""
        if self._driver is not None:
            drive_in_background(self._driver.close())
        self._driver = self._episodes.driver(ref_of(prompt))
        drive_in_background(self._driver.open())

    def call(self, name: str, arguments: dict[str, Any], message: Any = None) -> str:
        """Take a tool call, and give its result.

        Args:
            name: The tool.
            arguments: Its arguments.
            message: What is the same for the calls of one message; None where that is not known.

        Raises:
            ValueError: The episode is over, perhaps since this call failed; the text is meant for the model.
        """
        driver = self._driver
        answers = []
        if driver is not None and not driver.done:
            same = message is None or message is self._message
            self._message = message
            answers = drive_in_background(driver.call(tool_call(name, **arguments), same=same))
        if not answers:
            raise ValueError("the episode is over; reply without a tool call")
        return answers[0]["content"]

    def end(self, completion: Sequence[dict[str, Any]], said: Message | None = None) -> Trajectory:
        """End the episode with the last message of a completion, unless it is over, and verify it.

        Args:
            completion: Messages as TRL has them.
            said: The last of them as its tokens read, where it is a single one of which TRL knows the text alone.
        """
        driver, last = self._driver, completion[-1] if completion else {}
        assert driver is not None, "reset first"
        turns = sum(message.get("role") == "assistant" for message in completion)
        # Calls in the last message were not run, for want of room or turns: it is no answer.
        answers = last.get("role") == "assistant" and not last.get("tool_calls")  # of which `said` may have some
        if not driver.done and answers and turns <= self._instances.sample.max_turns:
            drive_in_background(driver.step(said or last["content"] or ""))
        if not driver.done:
            drive_in_background(driver.end("max_turns"))
        return driver.trajectory


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
        # TRL 1.16 tells a tool nothing of the message that it is called for; a local variable of its loop does.
        return self._play.call(self.__name__, arguments, _caller().f_locals.get("tool_call_list"))


def _caller() -> FrameType:
    """The frame that called a tool."""
    frame = inspect.currentframe()
    for _ in range(2):
        assert frame is not None
        frame = frame.f_back
    assert frame is not None
    return frame


class ToolEnvironment:
    """What TRL's tool loop takes for an environment: `reset`, and a public method for each tool.

    TRL has no way to end an episode: after the last call the model is asked once more. What it says then does not
    count, though it is trained; further calls fail.

    Attributes:
        episodes: Makes the episodes.
        instances: Where they happen.
        play: The episode.
    """

    episodes: ClassVar[Episodes]
    instances: ClassVar[Instances]

    def __init__(self) -> None:
        self.play = Play(self.episodes, self.instances)
        for tool in self.play.tools:
            # TRL finds the class's method, and takes this in its place.
            setattr(self, tool.name, _Tool(tool, self.play))

    def reset(self, prompt: Prompt, **_: Any) -> None:
        """Start the episode of a row; the prompt has its opening messages already."""
        self.play.reset(prompt)


def environment_class(episodes: Episodes, instances: Instances) -> type[ToolEnvironment]:
    """Make the class for an environment.

    Raises:
        ConfigError: TRL's loop cannot run it: it answers messages without tool calls, or TRL gives the name of one of
            its tools another meaning.
    """
    env, name = instances.sample, instances.id
    core: Any = env.unwrapped
    if type(core).respond is not ToolEnv.respond:
        raise ConfigError(f"{name} answers messages without tool calls; TRL's tool loop does not: use rollout_func")
    attributes: dict[str, Any] = {"__doc__": type(core).__doc__, "episodes": episodes, "instances": instances}
    for tool_name, tool in env.tools.items():
        if tool_name.startswith("_") or hasattr(ToolEnvironment, tool_name) or tool_name in _TAKEN:
            raise ConfigError(f"{name}: TRL cannot take a method {tool_name!r} for a tool; use rollout_func")
        attributes[tool_name] = _method(tool)
    return type(re.sub(r"\W", "_", name.rpartition("/")[2]), (ToolEnvironment,), attributes)


_TAKEN = ("get_reward", "play", "episodes", "instances")


def _method(tool: Tool) -> Callable[..., str]:
    def method(self: ToolEnvironment, /, **arguments: Any) -> str:
        return self.play.call(tool.name, arguments)

    method.__name__, method.__doc__ = tool.name, tool.schema["function"]["description"]
    return method
