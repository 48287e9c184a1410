"""What speaks for a policy in an episode: it asks for the next message, and keeps the exact tokens if there are any."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np

from llmgym.chat import ChatGeneration, ChatPolicy, FinishReason, Sampling, Usage, wrong_reply
from llmgym.codec.base import ChatCodec
from llmgym.env.reading import copies
from llmgym.errors import ContextLengthExceeded, PolicyError
from llmgym.messages import Message, ToolSchema, as_assistant, user
from llmgym.policies import oracle_replies
from llmgym.policies.base import Generation, TokenPolicy, wrong_logprob
from llmgym.policies.stop_strings import before_stop
from llmgym.rollout.config import ContextManagement, Limits
from llmgym.rollout.context import Context
from llmgym.rollout.stop import LimitReached
from llmgym.trajectory import Segment, SegmentBuilder, Status, Turn
from llmgym.wrappers import AnyToolEnv


@dataclass(frozen=True, slots=True)
class Reply:
    """One assistant message, and the record of how it came about.

    Attributes:
        message: What the policy said.
        finish_reason: Why it stopped.
        bound: Status of the episode if the reply was cut off.
        origin: Where its tokens are, or who answered, as fields of `Turn`.
    """

    message: Message
    finish_reason: FinishReason
    bound: Status
    origin: dict[str, Any]


class PolicyInvalid(PolicyError):
    """A reply that makes no sense."""


class TokenSpeaker:
    """Speaks for a token policy and keeps the episode's exact tokens.

    The invariant: what the engine is given at a turn is the segment so far, and what it samples is
    appended as it came. Nothing is ever tokenised twice.

    Attributes:
        context: What of the transcript the policy is shown.
        usage: What the calls took.
    """

    def __init__(self, policy: TokenPolicy, codec: ChatCodec, sampling: Sampling, limits: Limits, name: str) -> None:
        """Speak for one episode, under a name that is unique."""
        self._policy, self._codec, self._sampling, self._name = policy, codec, sampling, name
        self._limits, self._left = limits, limits.max_episode_tokens
        self.context = Context(limits.context_management)
        self._first = self._opening = 0  # tokens of the first prompt, of the episode and of the segment
        self._question = 0  # tokens of the question for a summary
        self._tools: list[ToolSchema] = []
        self._segments: list[SegmentBuilder] = []
        self._pending: Generation | None = None
        self._turn = 0
        self.usage = Usage()

    def begin(self, env: AnyToolEnv) -> None:
        """Of no interest: a policy knows messages alone."""

    def open(self, messages: list[Message], tools: list[ToolSchema]) -> None:
        """Start with the opening messages."""
        self._tools = tools
        self.context.open(messages)
        self._begin(messages)
        self._first = self._opening
        settings = self.context.settings
        if settings is not None and settings.strategy == "summarize":
            self._question = len(self._codec.open([user(settings.instructions)], []))

    def _begin(self, messages: list[Message]) -> None:
        """Start a segment; one in which nothing was sampled is no longer needed."""
        ids = self._codec.open(messages, self._tools)
        if self._segments and not self._segments[-1].spans:
            self._segments.pop()
        self._segments.append(SegmentBuilder(ids))
        self._opening = len(ids)

    @property
    def crowded(self) -> bool:
        """Whether there should be more room before another reply is asked for."""
        settings = self.context.settings
        return settings is not None and len(self._segments[-1].ids) > self._most(settings)

    def _most(self, settings: ContextManagement) -> int:
        """Tokens that a prompt may have before the context is nearly full."""
        end = self._policy.context_length
        if self._limits.max_completion_length is not None:
            end = min(end, self._opening + self._limits.max_completion_length)
        reply = min(self._sampling.max_tokens, end // 4)
        most = end - reply
        if settings.strategy == "summarize":  # as long as there is room to ask for the summary, and for it
            most -= self._question + reply
        return most if settings.trigger is None else min(most, settings.trigger - 1)

    async def make_room(self, messages: list[Message]) -> None:
        """Show the policy less of the transcript from now on, in a new segment."""
        context = self.context
        if context.settings is None or not context.can_shrink(messages):
            return  # the next reply has what is left
        enough = (self._first + self._most(context.settings)) // 2
        if context.wants_summary(messages):
            await self._summarize(messages)
        else:
            context.shrink(messages)
        self._begin(context.shown(messages))
        while len(self._segments[-1].ids) > enough and context.shrink(messages):
            self._begin(context.shown(messages))

    async def _summarize(self, messages: list[Message]) -> None:
        """Have the policy sum up all before the newest answer, as one more reply of the segment."""
        segment, began = self._segments[-1], time.perf_counter()
        as_user = self._codec.can_extend(["tool", "user"], tools=bool(self._tools))
        shown, asked = self.context.question(messages, as_user=as_user)
        ids = None
        if segment.spans:
            segment.drop_context()
            start, _ = segment.spans[-1]
            ids = self._codec.extend(segment.ids[:start], segment.ids[start:], asked, self._tools)
        if ids is None:
            self._begin([*shown, *asked])
        else:
            segment.add_context(ids)
        segment = self._segments[-1]
        try:
            generation, _, tokens = await self._sample(f"{self._name}/{self._turn}/summary")
        except LimitReached as limit:
            if limit.status != "context_length":
                raise
            self.context.summarize(messages, "")
            return
        said = self._read(generation)
        segment.add_sampled(generation)
        turn = Turn(0.0, generation.finish_reason, time.perf_counter() - began, 0.0, **tokens)
        self.context.summarize(messages, said["content"], turn)

    async def reply(self, messages: list[Message]) -> Reply:
        """Sample the next message."""
        generation, bound, tokens = await self._sample(f"{self._name}/{self._turn}")
        message = self._read(generation)
        self._pending = generation
        self._turn += 1
        return Reply(message, generation.finish_reason, bound, tokens)

    async def _sample(self, request_id: str) -> tuple[Generation, Status, dict[str, Any]]:
        """Sample what follows the segment so far.

        Returns:
            The tokens, the status of the episode if they were cut off, and where they will be, as fields of `Turn`.
        """
        segment = self._segments[-1]
        start = len(segment.ids)
        sampling, bound = self._room(start)
        try:
            # The engine reads the list only while we wait, so the history is not copied.
            generation = await self._policy.generate(
                segment.ids, sampling, request_id=request_id, session_id=self._name
            )
        except ContextLengthExceeded as error:
            raise LimitReached("context_length") from error
        sampled = len(generation.token_ids)
        _check(generation, sampling)
        if len(segment.ids) != start:
            raise PolicyInvalid("the policy changed the prompt that it was given")
        self.usage += Usage(start, sampled, calls=1)
        if self._left is not None:
            self._left -= sampled
        tokens = {
            "segment": len(self._segments) - 1,
            "start": start,
            "end": start + sampled,
            "cached_tokens": generation.cached_tokens,
            "versions": generation.versions,
        }
        return generation, bound, tokens

    def _read(self, generation: Generation) -> Message:
        """The message that was sampled behind the segment so far."""
        read = before_stop(self._policy.tokenizer, generation, self._sampling)
        return self._codec.parse(read, self._segments[-1].ids, self._tools)

    def _room(self, prompt: int) -> tuple[Sampling, Status]:
        """How the next reply is sampled, and which limit ends the episode if it is cut off."""
        asked = self._sampling
        limits: list[tuple[int, Status]] = [
            (asked.max_tokens, "max_tokens"),
            (self._policy.context_length - prompt, "context_length"),
        ]
        if self._left is not None:
            limits.append((self._left, "max_tokens"))
        if self._limits.max_completion_length is not None:
            limits.append((self._opening + self._limits.max_completion_length - prompt, "max_tokens"))
        room, bound = min(limits, key=lambda limit: limit[0])
        if room <= 0:
            raise LimitReached(bound)
        return asked if room == asked.max_tokens else replace(asked, max_tokens=room), bound

    def hear(self, new: list[Message], messages: list[Message]) -> None:
        """Append what the environment answered, or start a segment where the template rewrites history."""
        assert self._pending is not None
        segment = self._segments[-1]
        ids = self._codec.extend(segment.ids, self._pending.token_ids, new, self._tools)
        self._commit()
        if ids is None:
            self._begin(self.context.shown(messages))
        else:
            segment.add_context(ids)

    def _commit(self) -> None:
        if self._pending is not None:
            self._segments[-1].add_sampled(self._pending)
            self._pending = None

    def finish(self) -> list[Segment]:
        """The tokens; a segment in which nothing was sampled teaches nothing and is left out."""
        self._commit()
        return [segment.build() for segment in self._segments if segment.spans]


def _check(generation: Generation, sampling: Sampling) -> None:
    """See that a reply is one.

    Raises:
        PolicyInvalid: It is not.
    """
    sampled, logprobs = len(generation.token_ids), generation.logprobs
    if len(logprobs) != sampled:
        raise PolicyInvalid(f"{sampled} tokens came with {len(logprobs)} log-probabilities")
    if sampled > sampling.max_tokens:
        raise PolicyInvalid(f"{sampled} tokens came where {sampling.max_tokens} were asked for")
    if wrong := wrong_logprob(logprobs):
        raise PolicyInvalid(f"the reply has {wrong}")
    if sampled and not (min(generation.token_ids) >= 0 and max(generation.token_ids) < _MOST_ID):
        raise PolicyInvalid("a token is no id")
    numbers = [
        generation.cached_tokens,
        *(n for span in generation.versions for n in (span.version, span.start, span.end)),
    ]
    if not all(isinstance(number, int | np.integer) for number in numbers):
        raise PolicyInvalid(f"cached tokens, or versions with their spans, are no integers: {numbers}")
    if generation.finish_reason == "abort":
        raise PolicyError("the engine aborted the request")
    if generation.finish_reason not in ("stop", "length"):
        raise PolicyInvalid(f"the reply ended with {generation.finish_reason!r}; there is 'stop', 'length', 'abort'")


_MOST_ID = 1 << 31


class ChatSpeaker:
    """Speaks for a chat policy, which gives no tokens.

    Attributes:
        context: What of the transcript the policy is shown.
        usage: What the calls took.
    """

    def __init__(self, policy: ChatPolicy, sampling: Sampling, limits: Limits, name: str) -> None:
        """Speak for one episode, under a name that is unique."""
        self._policy, self._sampling, self._name = policy, sampling, name
        self.context = Context(limits.context_management)
        self._tools: list[ToolSchema] = []
        self._turn = 0
        self._used = 0  # tokens of the last prompt and its reply, as far as the policy says
        self.usage = Usage()

    def begin(self, env: AnyToolEnv) -> None:
        """Of no interest: a policy knows messages alone."""

    def open(self, messages: list[Message], tools: list[ToolSchema]) -> None:
        """Start an episode."""
        self._tools = msgspec.json.decode(msgspec.json.encode(tools))  # a policy may change what it is given
        self.context.open(messages)

    @property
    def crowded(self) -> bool:
        """Whether there should be more room before another reply is asked for."""
        settings = self.context.settings
        return settings is not None and settings.trigger is not None and self._used >= settings.trigger

    async def make_room(self, messages: list[Message]) -> None:
        """Show the policy less of the transcript from now on."""
        context = self.context
        if not context.can_shrink(messages):
            return
        if not context.wants_summary(messages):
            context.shrink(messages)
            return
        began = time.perf_counter()
        generation: ChatGeneration | None = None
        while generation is None:
            shown, asked = context.question(messages, as_user=True)
            try:
                generation = await self._ask([*shown, *asked], "/summary")
            except ContextLengthExceeded as error:
                if not context.shrink(messages):
                    raise LimitReached("context_length") from error
        turn = Turn(0.0, generation.finish_reason, time.perf_counter() - began, 0.0)
        context.summarize(messages, as_assistant(generation.message)["content"], turn)

    async def reply(self, messages: list[Message]) -> Reply:
        """Ask for the next message; where it has no room, again with less of the transcript."""
        while True:
            try:
                generation = await self._ask(self.context.shown(messages))
                break
            except ContextLengthExceeded as error:
                if not self.context.can_shrink(messages):
                    raise LimitReached("context_length") from error
                await self.make_room(messages)
        self._turn += 1
        self._used = generation.usage.input_tokens + generation.usage.output_tokens
        return Reply(
            as_assistant(generation.message), generation.finish_reason, "max_tokens", {"model": generation.model}
        )

    async def _ask(self, messages: list[Message], what: str = "") -> ChatGeneration:
        generation = await self._policy.chat(
            list(copies(messages)),
            self._tools,
            self._sampling,
            request_id=f"{self._name}/{self._turn}{what}",
            session_id=self._name,
        )
        if wrong := wrong_reply(generation):
            raise PolicyInvalid(wrong)
        self.usage += generation.usage
        if generation.finish_reason == "abort":
            raise PolicyError("the reply was aborted")
        return generation

    def hear(self, new: list[Message], messages: list[Message]) -> None:
        """Nothing to do: the whole transcript is sent each time."""

    def finish(self) -> list[Segment]:
        """No tokens."""
        return []


class OracleSpeaker:
    """Speaks for an environment's own oracle, which sees the environment and not the messages.

    Attributes:
        usage: None of any model.
        context: All, since it is shown nothing.
    """

    crowded = False

    def __init__(self) -> None:
        self._replies: AsyncIterator[Message] | None = None
        self._env: AnyToolEnv | None = None
        self.context = Context(None)
        self.usage = Usage()

    def begin(self, env: AnyToolEnv) -> None:
        """Take the environment whose episode has begun."""
        self._env = env

    def open(self, messages: list[Message], tools: list[ToolSchema]) -> None:
        """Start the solution."""
        core: Any = None if self._env is None else self._env.unwrapped
        self._replies = oracle_replies(core)

    async def reply(self, messages: list[Message]) -> Reply:
        """The next message of the solution."""
        assert self._replies is not None
        try:
            return Reply(await anext(self._replies), "stop", "max_tokens", {})
        except StopAsyncIteration:
            raise PolicyError("the oracle ends before the episode does: add the message that ends it") from None

    def hear(self, new: list[Message], messages: list[Message]) -> None:
        """Nothing to do: the oracle looks at its environment."""

    async def make_room(self, messages: list[Message]) -> None:
        """Nothing to do."""

    def finish(self) -> list[Segment]:
        """No tokens."""
        return []


Speaker = TokenSpeaker | ChatSpeaker | OracleSpeaker
