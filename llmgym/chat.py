"""The chat protocol: messages in, a message out. What chat policies, judges and simulated users speak.

It lies below environments, so that they can use models, and knows nothing of tokens.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import msgspec

from llmgym.errors import PolicyError
from llmgym.messages import Message, ToolSchema

FinishReason = Literal["stop", "length", "abort"]


class Usage(msgspec.Struct, frozen=True, omit_defaults=True):
    """What calls of a model took.

    Attributes:
        input_tokens: Tokens of the prompts.
        output_tokens: Tokens of the replies.
        cost: US dollars; None where nobody said.
        calls: How many calls.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cost: float | None = None
    calls: int = 0

    def __add__(self, other: Usage) -> Usage:
        """Both together."""
        costs = [cost for cost in (self.cost, other.cost) if cost is not None]
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            sum(costs) if costs else None,
            self.calls + other.calls,
        )


_NO_USAGE = Usage()


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
class ChatGeneration:
    """One reply of a chat policy: a message and what it took, no tokens."""

    message: Message
    finish_reason: FinishReason
    usage: Usage = _NO_USAGE


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
class ChatPolicy(Policy, Protocol):
    """A policy that takes messages and gives messages; for evaluation, SFT and DPO data, judges and simulated users."""

    async def chat(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSchema],
        sampling: Sampling,
        *,
        request_id: str,
        session_id: str,
    ) -> ChatGeneration:
        """Give one reply.

        Args:
            messages: The conversation so far, as copies that are the policy's to change.
            tools: What it may call.
            sampling: How to sample.
            request_id: Unique per request.
            session_id: The same for all turns of an episode.

        Raises:
            ContextLengthExceeded: No room for a reply.
            PolicyUnavailable: The model is gone.
            PolicyError: The request failed.
        """
        ...
