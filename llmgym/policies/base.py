"""What a token policy is: token ids in, token ids out. The other half, messages in and out, is `llmgym.chat`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeGuard, runtime_checkable

from llmgym.chat import FinishReason, Policy, Sampling
from llmgym.errors import ContextLengthExceeded

LogprobsMode = Literal["processed", "raw"]


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
        finish_reason: "stop" (a stop token was sampled, or the text has a stop string), "length" or "abort".
        versions: Weights that sampled each span; empty where the policy never changes.
        cached_tokens: Prompt tokens served from a prefix cache.
    """

    token_ids: Sequence[int]
    logprobs: Sequence[float]
    finish_reason: FinishReason
    versions: tuple[VersionSpan, ...] = ()
    cached_tokens: int = 0


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
class TokenPolicy(Policy, Protocol):
    """A policy that consumes and samples token ids: what rollouts for training need.

    Attributes:
        tokenizer: The Hugging Face tokenizer of the model, available after `start`.
        context_length: Most tokens of prompt and reply together.
        logprobs_mode: "processed" log-probabilities are those of the distribution that was sampled (after penalties,
            temperature, min-p, top-k and top-p), "raw" those of the model.
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


def wrong_logprob(logprobs: Sequence[float | None]) -> str | None:
    """What is wrong with the log-probabilities of sampled tokens; None where nothing is.

    What has none was not sampled, so an infinity stands for something that the engine does not know, and so do the
    numbers that engines write in its place. A trainer would take them for numbers.
    """
    value = next((value for value in logprobs if value is None or not _FLOOR < value <= _ROUNDING), 0.0)
    if value == 0:
        return None
    if value is None or math.isnan(value):
        return f"a log-probability of {value}: the engine computes none, or wrongly; try another dtype"
    if value > 0:
        return (
            f"a log-probability of {value}, above 0: are these logits? "
            "Serve with --logprobs-mode raw_logprobs or processed_logprobs"
        )
    return (
        f"a log-probability of {value}, which stands for minus infinity or for none: no token that was sampled has "
        "that. The engine reports another distribution than it samples from (logits processors, speculative "
        "decoding), or computes NaN (try another dtype)"
    )


_FLOOR = -9999.0  # what vLLM's servers write for minus infinity and NaN; others write less
_ROUNDING = 1e-3  # by which the log-probability of a certain token may exceed 0


def room_for_reply(policy: TokenPolicy, prompt_ids: Sequence[int], request_id: str, longer: str) -> int:
    """Most tokens that the reply to a prompt can have.

    Args:
        policy: Whose context it is.
        prompt_ids: Whole prompt.
        request_id: Names the request in the error.
        longer: How that policy comes to a longer context, for the error.

    Raises:
        ContextLengthExceeded: None at all.
    """
    room = policy.context_length - len(prompt_ids)
    if room < 1:
        raise ContextLengthExceeded(
            f"request {request_id}: a prompt of {len(prompt_ids)} tokens leaves no room in the {policy.context_length} "
            f"of {policy.model}; shorten the episode or {longer}"
        )
    return room


# By what `getattr` finds: from Python 3.12 on, `isinstance` with a protocol does not see what a wrapper of a policy
# passes on in `__getattr__`.


def gives_tokens(policy: object) -> TypeGuard[TokenPolicy]:
    """Whether a policy samples token ids."""
    return callable(getattr(policy, "generate", None))


def gives_load(policy: object) -> TypeGuard[MeasuredPolicy]:
    """Whether a policy knows how busy its engine is."""
    return callable(getattr(policy, "load", None))
