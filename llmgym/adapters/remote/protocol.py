"""What clients and servers of environments say to each other, by HTTP and by WebSocket alike: JSON of these forms.

A session is an instance of an environment. Its requests are numbered, and the one that was answered last may be sent
again: the server gives the same answer and does nothing. So a lost connection costs nothing, and neither does a client
that does not know whether its request has arrived.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from llmgym.chat import ModelCall
from llmgym.env.episode import Episode, Report
from llmgym.failures import Kind, Stage
from llmgym.messages import Message, ToolSchema
from llmgym.rewards import Part, Reward
from llmgym.tasks import Task
from llmgym.tasks.task import settled

#: Version of these forms; a server names its own.
VERSION: Final = 1

_Natural = Annotated[int, Meta(ge=0)]


class _Form(msgspec.Struct, frozen=True, kw_only=True):
    """What is sent."""


class _Request(_Form, frozen=True, kw_only=True, omit_defaults=True, tag_field="op", forbid_unknown_fields=True):
    """Something that a session is asked for.

    Attributes:
        session: The session; empty to begin one.
        turn: Number of the request in its session, the first 0; None for the next, which cannot be repeated safely.
    """

    session: str = ""
    turn: _Natural | None = None


class Reset(_Request, frozen=True, kw_only=True, tag="reset"):
    """Begin an episode, in a new session or in one that goes on.

    Attributes:
        env: The environment of a new session.
        seed: Seeds the environment, and draws the task where nothing names one; None for any.
        split: Split that the task is drawn from.
        index: Takes the task at this place of a run with the seed, in which a finite split comes once before it comes
            again.
        task_id: Takes the task with this id.
        task: Takes this task.
        options: Reset options of the environment.
    """

    env: str = ""
    seed: _Natural | None = None
    split: str = "train"
    index: _Natural | None = None
    task_id: str | None = None
    task: Task | None = None
    options: dict[str, Any] = {}


class Step(_Request, frozen=True, kw_only=True, tag="step"):
    """Take an assistant message, in OpenAI's chat format or as text."""

    action: Any


class Call(_Request, frozen=True, kw_only=True, tag="call"):
    """Run one call of a message whose calls come one by one; see `ToolEnv.acall`."""

    call: dict[str, Any]
    same: bool = False


class End(_Request, frozen=True, kw_only=True, tag="end"):
    """End the episode at a limit of the client's; see `ToolEnv.aend`."""

    action: Any = None
    verify: bool = True


class Graded(_Form, frozen=True, kw_only=True):
    """What a verifier found; see `llmgym.rewards.Reward`."""

    parts: dict[str, Part]
    metrics: dict[str, float] = {}

    @classmethod
    def of(cls, reward: Reward) -> Graded:
        """A reward, to be sent."""
        return cls(parts=reward.parts, metrics=reward.metrics)

    @property
    def reward(self) -> Reward:
        """What was sent."""
        return Reward(metrics=self.metrics, **self.parts)


class Ended(_Form, frozen=True, kw_only=True):
    """An episode that has ended, as the verifier of its group sees it; see `llmgym.env.Episode`."""

    task: Task
    messages: tuple[Message, ...]
    truncated: bool
    metrics: dict[str, float]
    reward: Graded

    @classmethod
    def of(cls, episode: Episode) -> Ended:
        """An episode, to be sent."""
        graded = Graded.of(episode.reward or Reward())
        return cls(task=episode.task, messages=episode.messages, truncated=episode.truncated,
                   metrics=dict(episode.metrics), reward=graded)  # fmt: skip

    @property
    def episode(self) -> Episode:
        """What was sent."""
        return Episode(settled(self.task), self.messages, self.truncated, self.metrics, self.reward.reward)


class Group(_Request, frozen=True, kw_only=True, tag="group"):
    """Score the repeats of a task beside each other, null where unscored; needs no session, and may be sent again."""

    env: str
    episodes: list[Ended | None]


class Oracle(_Request, frozen=True, kw_only=True, tag="oracle"):
    """Ask for the next message of a correct solution."""


class Close(_Request, frozen=True, kw_only=True, tag="close"):
    """End the session."""


OfSession = Reset | Step | Call | End | Oracle | Close
Request = OfSession | Group


class Opened(_Form, frozen=True, kw_only=True):
    """An episode has begun.

    Attributes:
        session: The session.
        url: Where further requests of this session go, where that is another address.
        task_id: The task.
        messages: The opening messages.
        tools: Schemas of the tools.
    """

    session: str
    url: str = ""
    task_id: str
    messages: tuple[Message, ...]
    tools: list[ToolSchema]


class Stepped(_Form, frozen=True, kw_only=True):
    """A message was taken.

    Attributes:
        messages: Those that are new.
        reward: Of this step; None where it leaves the episode unscored.
        terminated: Whether the episode has ended.
        truncated: Whether a limit ended it.
        info: As `ToolEnv.astep` gives it.
        report: What is known of an ended episode besides.
    """

    messages: tuple[Message, ...]
    reward: float | None
    terminated: bool = False
    truncated: bool = False
    info: dict[str, Any]
    report: Report | None = None


class GroupGraded(_Form, frozen=True, kw_only=True):
    """What the episodes of a group earn besides, in their order, and the calls of models that it took."""

    rewards: list[Graded | None]
    model_calls: list[ModelCall] = []


class Said(_Form, frozen=True, kw_only=True):
    """A message of the oracle; None where it has no more."""

    message: Message | str | None = None


class Closed(_Form, frozen=True, kw_only=True):
    """The session has ended."""


#: What went wrong, in words that a client can tell apart.
Wrong = Literal[
    "bad_request",  # no such form, route, environment, task or option
    "unauthorized",
    "unknown_session",  # ended, idle for too long, or of a server that was started again since
    "conflict",  # the turn is neither the next nor the last
    "too_large",
    "too_slow",  # the request took too long to arrive
    "overloaded",  # no room for another session
    "ended",  # the episode is over
    "environment",  # what the environment runs failed
    "internal",
]

STATUS: Final[dict[Wrong, int]] = {
    "bad_request": 400,
    "unauthorized": 401,
    "unknown_session": 404,
    "conflict": 409,
    "too_large": 413,
    "too_slow": 408,
    "overloaded": 503,
    "ended": 400,
    "environment": 500,
    "internal": 500,
}


class Error(_Form, frozen=True, kw_only=True, omit_defaults=True):
    """A request was not done.

    Attributes:
        wrong: What went wrong.
        message: The same for people, with the next step.
        kind: Of a failure of the environment: whose fault, of what sort.
        stage: Where in the episode.
        report: What is known of the episode that it ended.
    """

    wrong: Wrong
    message: str
    kind: Kind | None = None
    stage: Stage | None = None
    report: Report | None = None


class Failed(_Form, frozen=True, kw_only=True):
    """The body of an answer that is an error."""

    error: Error


class EnvInfo(_Form, frozen=True, kw_only=True):
    """An environment that a server has.

    Attributes:
        name: What requests call it.
        id: Its id in the server's registry.
        summary: One line on it.
        arguments: What its class is made with, which decides results.
        wrappers: What is wrapped around it, each with its name and arguments.
        models: Who plays the roles that it has.
        scope: Name that its tasks are drawn with.
        splits: Splits of its tasks, with their sizes; None for no end.
        outcomes: How many different tasks there are at most; None where nobody knows.
        tools: Schemas of its tools, where episodes do not have their own.
        max_turns: Assistant messages before an episode is truncated.
        oracle: Of what kind its oracle is, if it has one.
        groups: Whether it scores the repeats of a task beside each other.
    """

    name: str
    id: str
    summary: str = ""
    arguments: dict[str, Any] = {}
    wrappers: list[dict[str, Any]] = []
    models: dict[str, str] = {}
    scope: str
    splits: dict[str, int | None]
    outcomes: int | None = None
    tools: list[ToolSchema] = []
    max_turns: int
    oracle: Literal["optimal", "reference"] = "optimal"
    groups: bool = False


class ServerInfo(_Form, frozen=True, kw_only=True):
    """What a server is.

    Attributes:
        server: Name and version of the program.
        protocol: `VERSION` of these forms.
        environments: What it has.
        workers: Addresses of processes that share the work; a session belongs to one.
        body_limit: Most bytes of a request; None where it does not say.
    """

    server: str
    protocol: int = VERSION
    environments: list[EnvInfo]
    workers: list[str] = []
    body_limit: int | None = None


class Tasks(_Form, frozen=True, kw_only=True):
    """Tasks, in the order that was asked for."""

    tasks: list[Task]
