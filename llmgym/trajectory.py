"""What an episode leaves: messages, exact tokens, rewards, and how it ended."""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from llmgym.chat import FinishReason, ModelCall, Usage
from llmgym.failures import Failure
from llmgym.messages import Message, ToolSchema, user
from llmgym.policies.base import Generation, VersionSpan
from llmgym.rewards import Part
from llmgym.tasks import Task

Status = Literal[
    "completed",
    "max_turns",
    "max_tokens",
    "context_length",
    "template_refused",
    "straggler",
    "timeout",
    "env_error",
    "policy_error",
]

#: Statuses of episodes that ran to an end, their own or a limit's. All others are failures: unscored, not kept.
FINISHED: frozenset[Status] = frozenset(
    {"completed", "max_turns", "max_tokens", "context_length", "template_refused", "straggler"}
)


@dataclass(frozen=True, slots=True)
class Segment:
    """Tokens that the engine consumed and sampled in one unbroken context.

    Attributes:
        ids: int32[L]; prompt, sampled replies and what came between them.
        sampled: bool[L]; true where the policy sampled the token. This is the loss mask.
        logprobs: float32[L]; log-probability (nats) of each sampled token, 0 elsewhere.
        role: "agent", or what the context is to an agent program: "auxiliary", such as for a title, or "abandoned",
            where it dropped the last reply for another.
        delivered: Whether its last reply reached the program that had asked for it.
        messages: Its own conversation, where that is not a part of the trajectory's.
    """

    ids: NDArray[np.int32]
    sampled: NDArray[np.bool_]
    logprobs: NDArray[np.float32]
    role: str = "agent"
    delivered: bool = True
    messages: list[Message] | None = None

    @property
    def trained(self) -> bool:
        """Whether there is something to train on: sampled in the agent's own context, and not lost on its way."""
        return self.role == "agent" and self.delivered and bool(self.sampled.any())

    @property
    def spans(self) -> list[list[int]]:
        """The runs of sampled tokens, as [start, end)."""
        sampled = self.sampled
        if not len(sampled):
            return []
        edges = (np.flatnonzero(sampled[1:] != sampled[:-1]) + 1).tolist()  # several times as fast as `np.diff`
        if sampled[0]:
            edges.insert(0, 0)
        if sampled[-1]:
            edges.append(len(sampled))
        return [[start, end] for start, end in zip(edges[::2], edges[1::2], strict=True)]


@dataclass(slots=True)
class Turn:
    """One assistant message.

    Attributes:
        reward: Reward of the step that took it; None where unscored.
        finish_reason: Why sampling stopped.
        engine_s: Seconds from request to reply.
        env_s: Seconds in the environment's step.
        segment: Index of the segment that holds its tokens.
        start: Where its sampled tokens start in the segment.
        end: Where they end.
        cached_tokens: Prompt tokens served from a prefix cache.
        versions: Weights that sampled each span of the reply, counted from `start`.
        model: Who answered, as the server calls it, where that is not the model that was asked for.
    """

    reward: float | None
    finish_reason: FinishReason
    engine_s: float
    env_s: float
    segment: int = 0
    start: int = 0
    end: int = 0
    cached_tokens: int = 0
    versions: tuple[VersionSpan, ...] = ()
    model: str = ""


@dataclass(frozen=True, slots=True)
class Compaction:
    """From a turn on, the policy is shown less of the transcript, so that its context holds what is to come.

    Attributes:
        turn: The first turn that it was asked for so, counted from 0.
        start: Messages between the opening and this one are left out.
        cleared: Results of tools before this message are shown as a note.
        note: What the opening ends with in place of what is left out.
        summary: Where the policy wrote the note: its reply, which the environment never saw.
    """

    turn: int
    start: int
    cleared: int
    note: str = ""
    summary: Turn | None = None

    def shown(self, messages: Sequence[Message], opening: int) -> list[Message]:
        """What the policy is shown of a transcript whose first `opening` messages are the opening."""
        first = list(messages[:opening])
        if self.note:  # in a message that is there, since many templates want user and assistant by turns
            last = first.pop() if first else user("")
            first.append({**last, "content": f"{last['content']}\n\n{self.note}".lstrip()})
        rest = enumerate(messages[self.start :], self.start)
        return first + [cleared(message) if at < self.cleared else message for at, message in rest]


@dataclass(frozen=True, slots=True)
class Played:
    """An episode that a program played, as the environment saw it; the transcript is what the policy saw.

    Attributes:
        messages: How it opened, each call that the program made with its result, and the answer.
        opening: How many of the messages were there at the beginning.
        tools: Schemas of the environment's tools.
    """

    messages: list[Message]
    opening: int
    tools: list[ToolSchema]


_CLEARED = "[This result was cleared to save context.]"


def cleared(message: Message) -> Message:
    """A message without the result of a tool, where that is longer than the note in its place."""
    if message["role"] != "tool" or len(message["content"]) <= len(_CLEARED):
        return message
    return {**message, "content": _CLEARED}


class SegmentBuilder:
    """A segment that grows; appending costs what is appended, whatever there is already."""

    def __init__(self, prompt_ids: Sequence[int]) -> None:
        """Start with a prompt."""
        self.ids = list(prompt_ids)
        self.spans: list[tuple[int, int]] = []
        self._logprobs = array("f")  # a list would keep an object alive for each

    def add_sampled(self, generation: Generation) -> tuple[int, int]:
        """Append a sampled reply; returns its span."""
        start = len(self.ids)
        self.ids.extend(generation.token_ids)
        self._logprobs.extend(generation.logprobs)
        self.spans.append((start, len(self.ids)))
        return self.spans[-1]

    def add_context(self, ids: Sequence[int]) -> None:
        """Append tokens that the policy did not sample."""
        self.ids.extend(ids)

    def drop_context(self) -> None:
        """Take away what follows the last reply."""
        del self.ids[self.spans[-1][1] :]

    def build(self) -> Segment:
        """Freeze it; context after the last reply, which no reply followed, is left out."""
        end = self.spans[-1][1] if self.spans else len(self.ids)
        ids = np.array(array("I", self.ids[:end])).view(np.int32)  # from a list, NumPy takes three times as long
        return segment_of(ids, self.spans, np.array(self._logprobs))


def segment_of(
    ids: Sequence[int] | NDArray[np.int32],
    spans: Sequence[Sequence[int]],
    logprobs: Sequence[float] | NDArray[np.float32],
    *,
    role: str = "agent",
    delivered: bool = True,
    messages: list[Message] | None = None,
) -> Segment:
    """Make a segment from its ids, the spans [start, end) that were sampled, and their log-probabilities in order."""
    sampled = np.zeros(len(ids), dtype=np.bool_)
    for start, end in spans:
        sampled[start:end] = True
    full = np.zeros(len(ids), dtype=np.float32)
    full[sampled] = logprobs
    return Segment(np.asarray(ids, dtype=np.int32), sampled, full, role, delivered, messages)


def parts_of(info: Mapping[str, Any]) -> dict[str, Part]:
    """The reward's parts that the `info` of an episode's last step names, each with its weight."""
    weights = info.get("reward_weights", {})
    return {name: Part(value, weights.get(name, 1.0)) for name, value in info.get("reward_parts", {}).items()}


@dataclass(slots=True)
class Trajectory:
    """One episode, or one agent's share of it, as trainers and the store take it.

    Attributes:
        env_id: Environment, by its label in the run or else its id.
        task_id: Task.
        repeat: Which of the repeats of the task; those of one task are a group.
        seed: Seed of the environment's `reset`.
        status: How it ended.
        messages: Whole transcript, the terminal observation included; `shown` says what of it the policy saw.
        opening: How many of the messages were there before the first turn.
        tools: Schemas that the policy was offered; one list for all episodes with the same.
        sampling: How replies were sampled, under the names of `responses_create_params`, and `logprobs_mode`: what the
            log-probabilities are of.
        turns: One per assistant message.
        segments: Exact tokens; more than one where the template rewrote history or the context was compacted; none
            with a policy that gives no tokens.
        compactions: Where the policy was shown less of the transcript from then on.
        branches: Replies that are in no message of the transcript: an agent program asked for them in other contexts.
        played: What the environment saw of it, where an agent program played.
        reward: Sum of the turns' rewards; None means unscored.
        reward_parts: The verifier's parts by name, with their weights.
        metrics: Numbers that do not count.
        timings: Seconds: `wall_s`, `engine_s`, `env_s`.
        error: What went wrong, for a failure.
        attempts: How often the episode was tried.
        task: Content of the task; None where it is not known.
        failure: What went wrong, in words that can be grouped.
        agent: Whose share of the episode this is.
        agents: How many agents the episode has, each with a trajectory.
        policy: Who played the agent, where a run has `policies`.
        trainable: Whether its tokens are to be trained on; those of an opponent are not.
        usage: What calls of models took: "agent" is the policy, others are roles of the environment.
        model_calls: Calls of those roles.
        tool_errors: How many errors were answered to the policy, by type.
    """

    env_id: str
    task_id: str
    repeat: int
    seed: int
    status: Status = "completed"
    messages: list[Message] = field(default_factory=list)
    opening: int = 0
    tools: list[ToolSchema] = field(default_factory=list)
    sampling: dict[str, Any] = field(default_factory=dict)
    turns: list[Turn] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)
    compactions: list[Compaction] = field(default_factory=list)
    branches: list[Turn] = field(default_factory=list)
    played: Played | None = None
    reward: float | None = None
    reward_parts: dict[str, Part] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)
    error: str | None = None
    attempts: int = 1
    task: Task | None = None
    failure: Failure | None = None
    agent: str = "agent"
    agents: int = 1
    policy: str = ""
    trainable: bool = True
    usage: dict[str, Usage] = field(default_factory=dict)
    model_calls: list[ModelCall] = field(default_factory=list)
    tool_errors: dict[str, int] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Unique in a run: `env_id/task_id/repeat`, and `/agent` where there are several."""
        return self.episode_id if self.agents == 1 else f"{self.episode_id}/{self.agent}"

    @property
    def episode_id(self) -> str:
        """The same for all agents of an episode: `env_id/task_id/repeat`."""
        return f"{self.group_id}/{self.repeat}"

    @property
    def group_id(self) -> str:
        """The same for the repeats of one task: `env_id/task_id`."""
        return f"{self.env_id}/{self.task_id}"

    @property
    def environment(self) -> Played:
        """What the environment saw of it: the transcript, or what an agent program made of that."""
        return self.played or Played(self.messages, self.opening, self.tools)

    @property
    def finished(self) -> bool:
        """Whether the episode ran to an end, its own or a limit's."""
        return self.status in FINISHED

    @property
    def replies(self) -> list[Turn]:
        """All that the policy sampled: the turns, summaries of its context, and replies in other contexts."""
        summaries = [made.summary for made in self.compactions if made.summary is not None]
        return [*self.turns, *summaries, *self.branches]

    @property
    def trained(self) -> bool:
        """Whether there is something to train on: it is scored, no opponent's, and one of its segments is trained."""
        return self.trainable and self.reward is not None and any(segment.trained for segment in self.segments)

    @property
    def trained_replies(self) -> list[Turn]:
        """Those of the replies whose tokens are trained, where the episode is."""
        trained = {number for number, segment in enumerate(self.segments) if segment.trained}
        return [reply for reply in self.replies if reply.segment in trained]

    @property
    def sampled_tokens(self) -> int:
        """Tokens that the policy sampled."""
        return sum(reply.end - reply.start for reply in self.replies)

    def shown(self, turn: int) -> list[Message]:
        """What the policy was shown when it was asked for a turn, counted from 0: the transcript, or what was left."""
        said = (at for at, m in enumerate(self.messages) if at >= self.opening and m["role"] == "assistant")
        before = self.messages[: next(itertools.islice(said, turn, None), len(self.messages))]
        made = [compaction for compaction in self.compactions if compaction.turn <= turn]
        return made[-1].shown(before, self.opening) if made else before

    def token_rewards(self) -> list[NDArray[np.float64]]:
        """For each segment float64[L]; each turn's reward on the last token that was sampled in it.

        That of an empty reply is on the last token sampled before it, so that those of the segments that are trained
        sum to the reward of the episode.
        """
        if not self.segments:
            return []
        ends = np.cumsum([len(segment.ids) for segment in self.segments])
        everywhere = not any(segment.trained for segment in self.segments)
        taken = [segment.sampled & (everywhere or segment.trained) for segment in self.segments]
        places = np.flatnonzero(np.concatenate(taken))
        rewards = np.zeros(ends[-1])
        for turn in self.turns:
            if turn.reward and len(places):
                end = turn.end + (ends[turn.segment - 1] if turn.segment else 0)
                rewards[places[max(np.searchsorted(places, end) - 1, 0)]] += turn.reward
        return np.split(rewards, ends[:-1])
