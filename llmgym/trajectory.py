"""What an episode leaves: messages, exact tokens, rewards, and how it ended."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
import orjson
from numpy.typing import NDArray

from llmgym.chat import FinishReason
from llmgym.messages import Message, ToolSchema
from llmgym.policies.base import Generation, VersionSpan

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
    """

    ids: NDArray[np.int32]
    sampled: NDArray[np.bool_]
    logprobs: NDArray[np.float32]

    @property
    def spans(self) -> list[list[int]]:
        """The runs of sampled tokens, as [start, end)."""
        edges = np.flatnonzero(np.diff(self.sampled, prepend=False, append=False))
        return edges.reshape(-1, 2).tolist()


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


class SegmentBuilder:
    """A segment that grows; appending costs what is appended, whatever there is already."""

    def __init__(self, prompt_ids: Sequence[int]) -> None:
        """Start with a prompt."""
        self.ids = list(prompt_ids)
        self.spans: list[tuple[int, int]] = []
        self._logprobs: list[float] = []

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

    def build(self) -> Segment:
        """Freeze it; context after the last reply, which no reply followed, is left out."""
        end = self.spans[-1][1] if self.spans else len(self.ids)
        return segment_of(self.ids[:end], self.spans, self._logprobs)


def segment_of(ids: Sequence[int], spans: Sequence[Sequence[int]], logprobs: Sequence[float]) -> Segment:
    """Make a segment from its ids, the spans [start, end) that were sampled, and their log-probabilities in order."""
    sampled = np.zeros(len(ids), dtype=np.bool_)
    for start, end in spans:
        sampled[start:end] = True
    full = np.zeros(len(ids), dtype=np.float32)
    full[sampled] = logprobs
    return Segment(np.asarray(ids, dtype=np.int32), sampled, full)


@dataclass(slots=True)
class Trajectory:
    """One episode, as trainers and the store take it.

    Attributes:
        env_id: Environment.
        task_id: Task.
        repeat: Which of the repeats of the task; those of one task are a group.
        seed: Seed of the environment's `reset`.
        status: How it ended.
        messages: Whole transcript, the terminal observation included.
        opening: How many of the messages were there before the first turn.
        tools: Schemas that the policy was offered.
        sampling: How replies were sampled, under the names of `responses_create_params`.
        turns: One per assistant message.
        segments: Exact tokens; more than one where the template rewrote history; none with a
            policy that gives no tokens.
        reward: Sum of the turns' rewards; None means unscored.
        reward_parts: The verifier's parts by name.
        metrics: Numbers that do not count.
        timings: Seconds: `wall_s`, `engine_s`, `env_s`.
        error: What went wrong, for a failure.
        attempts: How often the episode was tried.
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
    reward: float | None = None
    reward_parts: dict[str, float | None] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)
    error: str | None = None
    attempts: int = 1

    @property
    def id(self) -> str:
        """Unique in a run: `env_id/task_id/repeat`."""
        return f"{self.group_id}/{self.repeat}"

    @property
    def group_id(self) -> str:
        """The same for the repeats of one task: `env_id/task_id`."""
        return f"{self.env_id}/{self.task_id}"

    @property
    def finished(self) -> bool:
        """Whether the episode ran to an end, its own or a limit's."""
        return self.status in FINISHED

    @property
    def sampled_tokens(self) -> int:
        """Tokens that the policy sampled."""
        return sum(turn.end - turn.start for turn in self.turns)

    def token_rewards(self) -> list[NDArray[np.float64]]:
        """For each segment float64[L]; each turn's reward on the last token that was sampled in it.

        That of an empty reply is on the last token sampled before it, so that they sum to the reward of the episode.
        """
        if not self.segments:
            return []
        ends = np.cumsum([len(segment.ids) for segment in self.segments])
        places = np.flatnonzero(np.concatenate([segment.sampled for segment in self.segments]))
        rewards = np.zeros(ends[-1])
        for turn in self.turns:
            if turn.reward and len(places):
                end = turn.end + (ends[turn.segment - 1] if turn.segment else 0)
                rewards[places[max(np.searchsorted(places, end) - 1, 0)]] += turn.reward
        return np.split(rewards, ends[:-1])

    def to_row(self) -> dict[str, Any]:
        """The line of `rollouts.jsonl`, as JSON data with NumPy arrays.

        `responses_create_params`, `output`, `reward` and one field per metric are as NeMo Gym's
        rollouts have them. A segment's `sampled` is a list of spans [start, end), and its
        `logprobs` are those of the sampled tokens only.
        """
        return {
            **self.metrics,
            "id": self.id,
            "env_id": self.env_id,
            "task_id": self.task_id,
            "group_id": self.group_id,
            "repeat": self.repeat,
            "seed": self.seed,
            "status": self.status,
            "reward": self.reward,
            "reward_parts": self.reward_parts,
            "responses_create_params": {
                "input": [{"role": m["role"], "content": m["content"]} for m in self.messages[: self.opening]],
                "tools": [{"type": "function", **tool["function"]} for tool in self.tools],
                **self.sampling,
            },
            "output": [item for message in self.messages[self.opening :] for item in responses_items(message)],
            "messages": self.messages,
            "opening": self.opening,
            "turns": [asdict(turn) if turn.versions else _turn_row(turn) for turn in self.turns],
            "segments": [{"ids": s.ids, "sampled": s.spans, "logprobs": s.logprobs[s.sampled]} for s in self.segments],
            "timings": self.timings,
            "error": self.error,
            "attempts": self.attempts,
        }

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Trajectory:
        """Read a line of `rollouts.jsonl` back."""
        params = dict(row["responses_create_params"])
        del params["input"]
        tools = [
            {"type": "function", "function": {k: v for k, v in tool.items() if k != "type"}}
            for tool in params.pop("tools")
        ]
        same = ("env_id", "task_id", "repeat", "seed", "status", "messages", "opening", "reward")
        return cls(
            **{key: row[key] for key in (*same, "reward_parts", "timings", "error", "attempts")},
            tools=tools,  # type: ignore[arg-type]
            sampling=params,
            turns=[_turn(turn) for turn in row["turns"]],
            segments=[segment_of(s["ids"], s["sampled"], s["logprobs"]) for s in row["segments"]],
            # JSON has no NaN: it was written as null.
            metrics={k: math.nan if v is None else v for k, v in row.items() if k not in ROW_FIELDS},
        )


def _turn_row(turn: Turn) -> dict[str, Any]:
    """`asdict` without its deep copies, which are most of its time."""
    return {name: getattr(turn, name) for name in Turn.__slots__ if name != "versions"}


def _turn(row: Mapping[str, Any]) -> Turn:
    versions = tuple(VersionSpan(**span) for span in row.get("versions", ()))
    fields: dict[str, Any] = {**row, "versions": versions}
    return Turn(**fields)


def responses_items(message: Message) -> list[dict[str, Any]]:
    """A chat message as items of OpenAI's Responses format."""
    match message["role"]:
        case "tool":
            call_id = message.get("tool_call_id", "")
            return [{"type": "function_call_output", "call_id": call_id, "output": message["content"]}]
        case "assistant":
            return _assistant_items(message)
        case role:
            content = [{"type": "input_text", "text": message["content"]}]
            return [{"type": "message", "role": role, "content": content}]


def _assistant_items(message: Message) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    if reasoning := message.get("reasoning_content"):
        items.append({"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": reasoning}]})
    calls = message.get("tool_calls", ())
    if message["content"] or not calls:
        content = [{"type": "output_text", "text": message["content"]}]
        items.append({"type": "message", "role": "assistant", "content": content})
    items += [{"type": "function_call", "call_id": call.get("id", ""), **call["function"]} for call in calls]
    return items


def dump_row(trajectory: Trajectory) -> bytes:
    """The JSON text of a row, with its newline."""
    return orjson.dumps(trajectory.to_row(), option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE)


#: Names that a metric cannot have, since rows have fields of these names.
ROW_FIELDS = frozenset(Trajectory("", "", 0, 0).to_row())
