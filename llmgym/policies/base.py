"""What a policy is: token ids in, token ids out; or, for closed APIs, messages in and out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from llmgym.errors import PolicyError
from llmgym.messages import Message, ToolSchema

FinishReason = Literal["stop", "length", "abort"]
LogprobsMode = Literal["processed", "raw"]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to sample one reply.

    Attributes:
        temperature: Softmax temperature; 0 takes the likeliest token.
        top_p: Nucleus mass in (0, 1].
        max_tokens: Most tokens of one reply.
        stop_token_ids: Tokens that end the reply; the one sampled is part of it.
        seed: Seed of this request, or None for a fresh one.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    max_tokens: int = 256
    stop_token_ids: tuple[int, ...] = ()
    seed: int | None = None

    def check(self, request_id: str) -> None:
        """See that a request can be sampled so.

        Raises:
            PolicyError: A value makes no sense.
        """
        if not (0 <= self.temperature < math.inf and 0 < self.top_p <= 1 and self.max_tokens >= 1):
            valid = "temperature >= 0, 0 < top_p <= 1 and max_tokens >= 1"
            raise PolicyError(f"request {request_id}: {self} must have {valid}")


@dataclass(frozen=True, slots=True)
class VersionSpan:
    """Tokens [start, end) of a reply were sampled with the weights of `version`."""

    version: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Generation:
    """One sampled reply.

    Attributes:
        token_ids: Sampled ids, a sampled stop token included.
        logprobs: Log-probability (nats) of each id under the distribution named by the policy's
            `logprobs_mode`; same length.
        finish_reason: "stop" (a stop token was sampled), "length" or "abort".
        versions: Weights that sampled each span; empty where the policy never changes.
        cached_tokens: Prompt tokens served from a prefix cache.
    """

    token_ids: Sequence[int]
    logprobs: Sequence[float]
    finish_reason: FinishReason
    versions: tuple[VersionSpan, ...] = ()
    cached_tokens: int = 0


@dataclass(frozen=True, slots=True)
class ChatGeneration:
    """One reply of a closed API: a message and what it cost, no tokens."""

    message: Message
    finish_reason: FinishReason
    usage: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EngineLoad:
    """How busy an engine is; over all engines where there are several.

    Attributes:
        running: Requests that are being sampled.
        waiting: Requests that wait for room.
        kv_cache_usage: Share of the key-value cache in use, 0 to 1; the fullest engine's.
        preemptions: Requests put back for want of room, since the engine started.
    """

    running: int
    waiting: int
    kv_cache_usage: float
    preemptions: int


@runtime_checkable
class Policy(Protocol):
    """What every policy has, of either kind.

    Attributes:
        name: Short name for tables and run folders, such as "smollm2".
        model: Model that answers, as the run records it.
    """

    name: str
    model: str

    async def start(self) -> None:
        """Load the model or probe the server; calling it again does nothing."""
        ...

    async def close(self) -> None:
        """Free what `start` took; pending requests end with `PolicyError`."""
        ...


@runtime_checkable
class TokenPolicy(Policy, Protocol):
    """A policy that consumes and samples token ids: what rollouts for training need.

    Attributes:
        tokenizer: The Hugging Face tokenizer of the model, available after `start`.
        context_length: Most tokens of prompt and reply together.
        logprobs_mode: "processed" log-probabilities are those of the distribution that was sampled
            (after temperature and top-p), "raw" those of the model.
    """

    tokenizer: Any
    context_length: int
    logprobs_mode: LogprobsMode

    async def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, *, request_id: str, session_id: str
    ) -> Generation:
        """Sample one reply; cancelling the awaiting task aborts the request in the engine.

        Args:
            prompt_ids: Whole prompt.
            sampling: How to sample.
            request_id: Unique per request.
            session_id: The same for all turns of an episode, so that caches can be reused.

        Raises:
            ContextLengthExceeded: No room for a reply.
            PolicyUnavailable: The engine or server is gone.
            PolicyError: The request failed.
        """
        ...


@runtime_checkable
class MeasuredPolicy(Policy, Protocol):
    """A policy that knows how busy its engine is: what `num_samples_in_parallel="auto"` needs."""

    async def load(self) -> EngineLoad:
        """Measure; cheap enough for once a second.

        Raises:
            ConfigError: The engine was started without such measurements.
            PolicyError: It cannot be asked.
        """
        ...


@runtime_checkable
class ChatPolicy(Policy, Protocol):
    """A policy that takes messages and gives messages; for evaluation, SFT and DPO data."""

    async def chat(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSchema],
        sampling: Sampling,
        *,
        request_id: str,
        session_id: str,
    ) -> ChatGeneration:
        """Give one reply; raises as `TokenPolicy.generate` does."""
        ...
