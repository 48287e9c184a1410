"""An episode as its verifier sees it, while it runs, and as it is reported."""

from __future__ import annotations

import contextvars
import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from llmgym.chat import ModelCall
from llmgym.concurrency import Leftover
from llmgym.errors import EnvironmentFailure
from llmgym.failures import Outside
from llmgym.messages import Message, ToolCall
from llmgym.rewards import Reward
from llmgym.tasks import Task
from llmgym.tools import Tool


@dataclass(frozen=True, slots=True)
class Episode:
    """What a verifier sees of an episode that has ended.

    Attributes:
        task: The task.
        messages: The whole transcript, opening messages included.
        truncated: Whether a limit ended it, rather than the policy or the environment.
        metrics: Counts that the environment kept: `tool_calls`, `tool_errors`, and its own.
        reward: What `verify` gave, for `group_verify`; None until then.
    """

    task: Task
    messages: tuple[Message, ...]
    truncated: bool
    metrics: Mapping[str, float]
    reward: Reward | None = None

    @property
    def final_text(self) -> str:
        """Text of the last assistant message; empty where it called tools, since then it was no final one."""
        last = next((message for message in reversed(self.messages) if message["role"] == "assistant"), None)
        return "" if last is None or "tool_calls" in last else last["content"]

    @property
    def tool_calls(self) -> list[ToolCall]:
        """All tool calls in order."""
        return [call for message in self.messages for call in message.get("tool_calls", ())]


@dataclass(frozen=True, slots=True)
class Report:
    """What an instance knows of an episode besides what it has told step by step, however it ended.

    Attributes:
        metrics: Numbers that do not count.
        tool_errors: How often an error was answered to the model, by type.
        model_calls: Calls of the models that the environment uses.
        outside: Whether tools may have changed anything outside.
        held_s: Longest times, in seconds, for which plain code held the event loop, by what it was.
    """

    metrics: dict[str, float] = field(default_factory=dict)
    tool_errors: dict[str, int] = field(default_factory=dict)
    model_calls: list[ModelCall] = field(default_factory=list)
    outside: Outside = "none"
    held_s: dict[str, float] = field(default_factory=dict)


class Call:
    """One call of a tool or hook that may outlive its deadline; what it does then counts no more."""

    __slots__ = ("expired",)

    def __init__(self) -> None:
        self.expired = False


#: The call on whose behalf code runs, where that is not the event loop's own.
CALL: contextvars.ContextVar[Call | None] = contextvars.ContextVar("llmgym_call", default=None)
_SHARED = threading.Lock()  # blocking tools count from several threads


class Running:
    """The state of one episode: all that an environment keeps besides what its author does.

    Attributes:
        task: The task, as a copy that is the episode's own.
        transcript: The messages so far.
        tools: What is offered in this episode, by name.
        schemas: The schemas of these as JSON.
        metrics: Counts.
        turn: Assistant messages so far.
        open: Whether a step can be taken.
        finished: Whether the environment asked for the end.
        torn: Whether the episode was torn down.
        rewards: What the running step has earned.
        calls: Calls of tools that were begun and that have ended.
    """

    __slots__ = (
        "calls_begun", "calls_ended", "finished", "held_s", "metrics", "model_calls", "open", "rewards", "schemas",
        "task", "tool_errors", "tools", "torn", "transcript", "turn",
    )  # fmt: skip

    def __init__(self, task: Task) -> None:
        self.task = task
        self.transcript: list[Message] = []
        self.tools: Mapping[str, Tool] = {}
        self.schemas = b"[]"
        self.metrics: dict[str, float] = {"tool_calls": 0.0, "tool_errors": 0.0}
        self.turn = 0
        self.open = self.finished = self.torn = False
        self.rewards: list[float] = []
        self.calls_begun = self.calls_ended = 0
        self.tool_errors: dict[str, int] = {}
        self.model_calls: list[ModelCall] = []
        self.held_s: dict[str, float] = {}

    def earn(self, value: float) -> None:
        """Add to the reward of the running step."""
        _expect_in_time()
        self.rewards.append(float(value))

    def count(self, metric: str, amount: float = 1.0) -> None:
        """Add to a metric."""
        if _expect_in_time() is None:
            self.metrics[metric] = self.metrics.get(metric, 0.0) + amount
            return
        with _SHARED:
            self.metrics[metric] = self.metrics.get(metric, 0.0) + amount

    def finish(self) -> None:
        """End the episode with the running step."""
        _expect_in_time()
        self.finished = True

    def note_error(self, kind: str) -> None:
        """Count an error that was answered to the model."""
        self.metrics["tool_errors"] += 1
        self.tool_errors[kind] = self.tool_errors.get(kind, 0) + 1

    @property
    def step_reward(self) -> float:
        """Sum of what the running step has earned, exact to the last digit."""
        try:
            return math.fsum(self.rewards)
        except (ValueError, OverflowError):  # infinities of both signs, or beyond all numbers
            return math.nan

    @property
    def outside(self) -> Outside:
        """Whether tools may have changed anything outside."""
        return "done" if self.calls_ended else "possible" if self.calls_begun else "none"

    def report(self) -> Report:
        """What is known of the episode."""
        return Report(dict(self.metrics), self.tool_errors, self.model_calls, self.outside, self.held_s)


def _expect_in_time() -> Call | None:
    call = CALL.get()
    if call is not None and call.expired:
        raise EnvironmentFailure("this call ran past its deadline; what it does counts no more", kind="abandoned")
    return call


class Leftovers:
    """Work of an instance that went on past its deadline; as long as it does, the instance must not be used."""

    __slots__ = ("_work",)

    def __init__(self) -> None:
        self._work: list[Leftover] = []

    def add(self, work: Leftover) -> None:
        """Note work that nothing could end."""
        self._work.append(work)

    @property
    def running(self) -> bool:
        """Whether any of it still runs."""
        if self._work:
            self._work = [work for work in self._work if not work.done()]
        return bool(self._work)
