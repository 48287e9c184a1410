"""Record format 1: what a line of `rollouts.jsonl` and `failures.jsonl` holds, as types.

A line is one agent's share of one episode. Its first fields are what a resumed run and a summary need, so that a folder
is opened by reading the start of each line (`EpisodeRecord`). The types decode rows and are the source of their JSON
Schema; readers ignore fields that they do not know. Where a format 2 has to differ, it gets types of its own.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from llmgym.chat import FinishReason, Usage
from llmgym.failures import Failure
from llmgym.trajectory import Status

#: The format that is written, and the one that is read.
FORMAT = 1

#: The first field after those of `EpisodeRecord`, as it stands in a line. Text inside of JSON has its quotes escaped,
#: so that only a field's name can look like this.
REST = b',"seed":'

#: JSON has no NaN and no infinities: they are written as text.
Number = int | float | Literal["NaN", "Infinity", "-Infinity"]


class Counts(msgspec.Struct, frozen=True, gc=False):
    """How much there is of an episode."""

    turns: Annotated[int, Meta(description="Assistant messages.")]
    sampled_tokens: Annotated[int, Meta(description="Tokens that the policy sampled; 0 where it gives no tokens.")]
    context_tokens: Annotated[int, Meta(description="All other tokens of the segments.")]
    compactions: Annotated[int, Meta(description="How often the policy was shown less of the transcript.")] = 0


class Timings(msgspec.Struct, frozen=True, gc=False):
    """Seconds of an episode that a summary adds up."""

    wall_s: float = 0.0
    engine_s: float = 0.0
    env_s: float = 0.0


class LineStart(msgspec.Struct, frozen=True, gc=False):
    """What every line says first.

    Attributes:
        format: Version of the format.
        id: Unique in a run.
        agent: Whose share of the episode.
        agents: How many agents the episode has.
        env_id: Environment, by its label or else its id.
    """

    format: int
    id: str
    agent: str
    agents: int
    env_id: str

    @property
    def episode_id(self) -> str:
        """The same for all agents of an episode."""
        return self.id if self.agents == 1 else self.id[: -len(self.agent) - 1]


class EpisodeRecord(LineStart, frozen=True, gc=False):
    """The start of a row: what a resumed run and a summary need of it.

    Attributes:
        repeat: Which of the repeats of the task.
        task_hash: Hash of the task's content; "" where that is not known.
        status: How it ended.
        reward: None where unscored.
        counts: Turns and tokens.
        timings: Seconds.
        usage: What calls of models took, by role.
        tool_errors: Errors that were answered to the policy, by type.
    """

    repeat: int
    task_hash: str
    status: Status
    reward: float | None
    counts: Counts
    timings: Timings
    usage: dict[str, Usage]
    tool_errors: dict[str, int]

    @property
    def group_id(self) -> str:
        """The same for the repeats of a task."""
        return self.episode_id.rpartition("/")[0]


class FailureRecord(LineStart, frozen=True, gc=False):
    """What a summary needs of a line of `failures.jsonl`.

    Attributes:
        status: How it ended.
        failure: What went wrong, in words that can be grouped.
        error: The same for a person.
    """

    status: Status
    failure: Failure | None = None
    error: str | None = None

    @property
    def kind(self) -> str:
        """Kind of the failure, or the status where that is all that is known."""
        return self.failure.kind if self.failure else self.status


class PartRow(msgspec.Struct, frozen=True):
    """A share of the verifier's reward: `weight * value`."""

    value: Annotated[Number | None, Meta(description="null where unscored.")]
    weight: Number


class TaskRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """The task's content."""

    id: str
    prompt: Annotated[
        str | list[dict[str, Any]] | None,
        Meta(description="Opening text of the user, or chat messages; left out where the transcript has it."),
    ] = None
    prompt_at: Annotated[
        int | None, Meta(description="Message of the opening, counted from 0, where the prompt starts; it ends it.")
    ] = None
    prompt_is_text: Annotated[
        bool, Meta(description="Whether the prompt at `prompt_at` is the text of one user message, and no list.")
    ] = True
    answer: Annotated[Any, Meta(description="What the verifier compares with.")] = None
    metadata: Annotated[dict[str, Any], Meta(description="What else the environment needs.")] = {}


class SpanRow(msgspec.Struct, frozen=True, array_like=True):
    """Weights of `version` sampled the reply's tokens [start, end)."""

    version: int
    start: int
    end: int


class TurnRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """One assistant message; a field that is left out has its default."""

    reward: Annotated[float | None, Meta(description="Reward of the step that took it; null where unscored.")] = 0.0
    finish_reason: Annotated[FinishReason, Meta(description="Why sampling stopped.")] = "stop"
    engine_s: Annotated[float, Meta(description="Seconds from request to reply.")] = 0.0
    env_s: Annotated[float, Meta(description="Seconds in the environment's step.")] = 0.0
    segment: Annotated[int, Meta(description="Segment that holds its tokens, counted from 0.")] = 0
    start: Annotated[int, Meta(description="Where its sampled tokens start in the segment.")] = 0
    end: Annotated[int, Meta(description="Where they end.")] = 0
    cached_tokens: Annotated[int, Meta(description="Prompt tokens served from a prefix cache.")] = 0
    versions: Annotated[
        list[SpanRow], Meta(description="[version, start, end): weights that sampled each span, counted from `start`.")
    ] = []
    model: Annotated[str, Meta(description="Who answered, where that is not the model that was asked for.")] = ""


class SegmentRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """Tokens that the engine consumed and sampled in one unbroken context."""

    ids: Annotated[list[int], Meta(description="Token ids: prompt, sampled replies and what came between them.")]
    sampled: Annotated[list[tuple[int, int]], Meta(description="Spans [start, end) that the policy sampled.")]
    logprobs: Annotated[
        bytes,
        Meta(description="Log-probabilities of the sampled tokens in order: base64 of float32, little-endian."),
    ]
    role: Annotated[
        str,
        Meta(description='"agent", or what it is to an agent program: "auxiliary", or "abandoned" for another reply.'),
    ] = "agent"
    delivered: Annotated[bool, Meta(description="Whether its last reply reached who had asked for it.")] = True
    messages: Annotated[
        list[dict[str, Any]] | None,
        Meta(description="Its own chat messages, where they are no part of the transcript."),
    ] = None


class CompactionRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """From a turn on, the policy is shown less of the transcript: the opening, a note, and what follows a message."""

    turn: Annotated[int, Meta(description="The first turn that was asked for so, counted from 0.")]
    start: Annotated[int, Meta(description="Message of the transcript; those between the opening and it are left out.")]
    cleared: Annotated[int, Meta(description="Results of tools before this message are shown as a note.")]
    note: Annotated[str, Meta(description="What the opening ends with in place of what is left out.")] = ""
    summary: Annotated[
        TurnRow | None, Meta(description="The policy's reply with the summary, which the environment never saw.")
    ] = None


class PlayedRow(msgspec.Struct, frozen=True):
    """An episode that a program played, as the environment saw it."""

    messages: Annotated[list[dict[str, Any]], Meta(description="Opening, calls with their results, and answer.")]
    opening: Annotated[int, Meta(description="How many of the messages were there at the beginning.")]
    tools: Annotated[list[dict[str, Any]], Meta(description="Schemas of the environment's tools, in the chat form.")]


class ModelCallRow(msgspec.Struct, frozen=True):
    """One call of a model that the environment uses, such as a judge."""

    role: Annotated[str, Meta(description='What it was for, such as "judge".')]
    model: Annotated[str, Meta(description="The model.")]
    messages: Annotated[list[dict[str, Any]], Meta(description="What it was asked, as chat messages.")]
    reply: Annotated[dict[str, Any], Meta(description="What it answered, as a chat message.")]
    usage: Usage
    seconds: float


class Row(msgspec.Struct, frozen=True):
    """One agent's share of one episode: record format 1 of llmgym.

    Each metric stands under its own name at the top level too, where no field has that name: as a number, or null
    where it is not finite.
    """

    format: Annotated[int, Meta(ge=FORMAT, le=FORMAT, description="Version of this format.")]
    id: Annotated[str, Meta(description="Unique in a run: `episode_id`, and `/agent` where there are several agents.")]
    episode_id: Annotated[str, Meta(description="`env_id/task id/repeat`.")]
    agent: Annotated[str, Meta(description="Whose share of the episode this is.")]
    agents: Annotated[int, Meta(ge=1, description="Agents of the episode, a line each, one after the other.")]
    env_id: Annotated[str, Meta(description="Environment: its label in the run, or else its id.")]
    group_id: Annotated[str, Meta(description="`env_id/task id`: the same for the repeats of a task.")]
    repeat: Annotated[int, Meta(description="Which of the repeats of the task.")]
    task_hash: Annotated[str, Meta(description='Hash of the task\'s content, whatever its id; "" where not known.')]
    status: Annotated[Status, Meta(description="How the episode ended; env_error, policy_error and timeout failed.")]
    reward: Annotated[float | None, Meta(description="Sum of the turns' rewards; null where unscored.")]
    counts: Counts
    timings: Annotated[dict[str, float], Meta(description="Seconds: wall_s, engine_s, env_s.")]
    usage: Annotated[
        dict[str, Usage], Meta(description='What calls of models took: "agent" is the policy, others the roles.')
    ]
    tool_errors: Annotated[dict[str, int], Meta(description="Errors that were answered to the policy, by type.")]
    seed: Annotated[int, Meta(description="Seed of the environment's reset.")]
    task: TaskRow
    responses_create_params: Annotated[
        dict[str, Any],
        Meta(
            description="`input` (opening, as Responses items), `tools` (in the Responses form), the sampling, and "
            "`logprobs_mode`, where there are tokens: what their log-probabilities are of."
        ),
    ]
    output: Annotated[list[dict[str, Any]], Meta(description="All that came after the opening, as Responses items.")]
    reward_parts: Annotated[dict[str, PartRow], Meta(description="What the verifier gave: the sum of weight * value.")]
    metrics: Annotated[dict[str, Number], Meta(description="Numbers that do not count, by name.")]
    turns: list[TurnRow]
    segments: Annotated[list[SegmentRow], Meta(description="Exact tokens; none with a policy that gives none.")]
    compactions: Annotated[
        list[CompactionRow], Meta(description="Where the policy was shown less of the transcript from then on.")
    ] = []
    branches: Annotated[
        list[TurnRow], Meta(description="Replies that are in no message: a program asked for them in other contexts.")
    ] = []
    played: Annotated[
        PlayedRow | None, Meta(description="What the environment saw, where an agent program played the episode.")
    ] = None
    model_calls: Annotated[list[ModelCallRow], Meta(description="Calls of the environment's model roles.")] = []
    failure: Annotated[Failure | None, Meta(description="What went wrong, in words that can be grouped.")] = None
    error: Annotated[str | None, Meta(description="The same for a person.")] = None
    attempts: Annotated[int, Meta(ge=1, description="How often the episode was tried.")] = 1
    policy: Annotated[str, Meta(description='Who played the agent, where a run has `policies`; else "".')] = ""
    trainable: Annotated[bool, Meta(description="Whether its tokens are to be trained on; an opponent's are not.")] = (
        True
    )


#: Names that a metric has only under `metrics`.
ROW_FIELDS = frozenset(Row.__struct_fields__)
