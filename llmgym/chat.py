"""The chat protocol: messages in, a message out. What chat policies, judges and simulated users speak.

It lies below environments, so that they can use models, and knows nothing of tokens.
"""

from __future__ import annotations

import importlib
import math
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, get_args, runtime_checkable

import msgspec

from llmgym.concurrency import is_outside
from llmgym.errors import EnvironmentFailure, LLMGymError, PolicyError
from llmgym.messages import Message, ToolSchema, as_assistant

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
        stop: Strings that end the reply where its text has come to hold one; their tokens are part of it.
        top_k: Of how many likeliest tokens to take one; 0 for all.
        min_p: Least probability of a token that may be taken, as a share of the likeliest one's.
        repetition_penalty: Divides positive logits of tokens that prompt or reply has, and multiplies others; 1 is off.
        presence_penalty: Taken from the logits of tokens that the reply has; 0 is off.
        frequency_penalty: The same for each time that it has them.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    max_tokens: int = 256
    stop_token_ids: tuple[int, ...] = ()
    seed: int | None = None
    stop: tuple[str, ...] = ()
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0

    @property
    def penalises(self) -> bool:
        """Whether what is there already changes what is sampled."""
        return self.repetition_penalty != 1 or self.presence_penalty != 0 or self.frequency_penalty != 0

    def check(self, request_id: str) -> None:
        """See that a request can be sampled so.

        Raises:
            PolicyError: A value makes no sense.
        """
        if not (0 <= self.temperature < math.inf and 0 < self.top_p <= 1 and self.max_tokens >= 1):
            valid = "temperature >= 0, 0 < top_p <= 1 and max_tokens >= 1"
        elif not (self.top_k >= 0 and 0 <= self.min_p <= 1 and all(self.stop)):
            valid = "top_k >= 0, 0 <= min_p <= 1 and no empty stop string"
        elif self.penalises and not (
            0 < self.repetition_penalty < math.inf
            and -2 <= self.presence_penalty <= 2
            and -2 <= self.frequency_penalty <= 2
        ):
            valid = "repetition_penalty > 0, and presence_penalty and frequency_penalty from -2 to 2"
        else:
            return
        raise PolicyError(f"request {request_id}: {self} must have {valid}")


@dataclass(frozen=True, slots=True)
class ChatGeneration:
    """One reply of a chat policy: a message and what it took, no tokens.

    Attributes:
        message: The reply.
        finish_reason: Why it ended.
        usage: What it took.
        model: Who answered, as the server calls it, where that is not the model that was asked for.
    """

    message: Message
    finish_reason: FinishReason
    usage: Usage = _NO_USAGE
    model: str = ""


def wrong_reply(found: object) -> str | None:
    """What of a reply but its message is not as `ChatGeneration` has it, so that nobody could read it back."""
    if not isinstance(found, ChatGeneration):
        return f"`chat` gave {found!r:.100}, which is no ChatGeneration"
    if found.finish_reason not in get_args(FinishReason):
        return f"the reply ended with {found.finish_reason!r:.100}; there is 'stop', 'length', 'abort'"
    usage = found.usage
    if not isinstance(usage, Usage):
        return f"its usage is {usage!r:.100}, which is no Usage"
    counts = usage.input_tokens, usage.output_tokens, usage.calls
    if not (all(isinstance(count, int) for count in counts) and isinstance(usage.cost, int | float | None)):
        return f"its usage is {usage!r:.200}; tokens and calls are integers, and the cost is a number"
    return None if isinstance(found.model, str) else f"its model is {found.model!r:.100}, which is no text"


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


@dataclass(frozen=True, slots=True)
class ModelCall:
    """One call of a model that an environment uses.

    Attributes:
        role: What it was for, such as "judge".
        model: The model.
        messages: What it was asked.
        reply: What it said.
        usage: What it took.
        seconds: How long it took.
    """

    role: str
    model: str
    messages: list[Message]
    reply: Message
    usage: Usage
    seconds: float


class Role:
    """A model in a role that an environment gives it: a judge, a simulated user.

    Attributes:
        name: The role.
        model: Who plays it: a policy that chats, or its short form, which is made when it is first asked.
    """

    def __init__(self, name: str, model: ChatPolicy | str, note: Callable[[ModelCall], None]) -> None:
        """Give the role to a model; `note` gets each call."""
        self.name, self.model, self._note = name, model, note

    async def chat(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSchema] = (),
        *,
        temperature: float = 0.0,
        top_p: float = 1.0,
        max_tokens: int = 1024,
        seed: int | None = None,
    ) -> Message:
        """Ask for one reply; the call is recorded with the episode, apart from the policy's.

        Args:
            messages: The conversation.
            tools: What the model may call.
            temperature: Softmax temperature; 0 takes the likeliest token.
            top_p: Nucleus mass in (0, 1].
            max_tokens: Most tokens of the reply.
            seed: Seed of this request.

        Raises:
            EnvironmentFailure: The model cannot be reached, or gave no reply; the episode is unscored.
        """
        asked = [message.copy() for message in messages]
        name = uuid.uuid4().hex
        started = time.perf_counter()
        try:
            model = await self._started()
            sampling = Sampling(temperature, top_p, max_tokens, seed=seed)
            found = await model.chat(asked, tools, sampling, request_id=name, session_id=name)
        except LLMGymError as error:
            raise EnvironmentFailure(f"the {self.name} gave no reply: {error}", kind="model_role") from error
        except BaseException as error:
            if is_outside(error):
                raise
            said = f"the {self.name} gave no reply: {type(error).__name__}: {error}"
            raise EnvironmentFailure(said, kind="model_role") from error
        if wrong := wrong_reply(found):
            raise EnvironmentFailure(f"the {self.name} gave no reply: {wrong}", kind="model_role")
        if found.finish_reason == "abort":
            raise EnvironmentFailure(f"the reply of the {self.name} was aborted", kind="model_role")
        reply = as_assistant(found.message)
        seconds = time.perf_counter() - started
        call = ModelCall(self.name, model.model, [m.copy() for m in messages], reply.copy(), found.usage, seconds)
        self._note(call)
        return reply

    async def _started(self) -> ChatPolicy:
        if isinstance(self.model, str):
            # By name, since policies lie above: environments know of the protocol alone.
            self.model = importlib.import_module("llmgym.rollout.roles").chat_policy(self.model)
        await self.model.start()
        return self.model
