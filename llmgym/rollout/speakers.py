"""What speaks for a policy in an episode: it asks for the next message, and keeps the exact tokens if there are any."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from llmgym.chat import ChatGeneration, ChatPolicy, FinishReason, Sampling, Usage
from llmgym.codec.base import ChatCodec
from llmgym.concurrency import is_outside
from llmgym.env.reading import copies
from llmgym.errors import CodecError, ContextLengthExceeded, PolicyError
from llmgym.messages import Message, ToolSchema, as_assistant
from llmgym.policies import oracle_replies
from llmgym.policies.base import Generation, TokenPolicy, wrong_logprob
from llmgym.policies.stop_strings import before_stop
from llmgym.rollout.config import Limits
from llmgym.trajectory import Segment, SegmentBuilder, Status
from llmgym.wrappers import AnyToolEnv


@dataclass(frozen=True, slots=True)
class Reply:
    """One assistant message, and the record of how it came about.

    Attributes:
        message: What the policy said.
        finish_reason: Why it stopped.
        bound: Status of the episode if the reply was cut off.
        tokens: Where its tokens are, as fields of `Turn`.
    """

    message: Message
    finish_reason: FinishReason
    bound: Status
    tokens: dict[str, Any]


class PolicyTimeout(PolicyError):
    """No reply in time."""


class PolicyInvalid(PolicyError):
    """A reply that makes no sense."""


class LimitReached(Exception):
    """There is no room for another reply."""

    def __init__(self, status: Status) -> None:
        super().__init__(status)
        self.status: Status = status


class Stop:
    """Ends an episode from outside, or the reply that is being sampled at its deadline; no other is asked for then.

    One timer serves all replies of an episode: most end long before it does, and to arm one for each costs more than
    all else that is done here.
    """

    def __init__(self, *, verify: bool = True) -> None:
        """Nothing is asked for yet; `verify` says whether what is there then is scored."""
        self.requested, self.verify = False, verify
        self._task: asyncio.Task[Any] | None = None  # that waits for a reply
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._ended = False

    def request(self) -> None:
        """End the episode; a step that the environment is taking is waited for."""
        if not self.requested:
            self.requested = True
            self._end_reply()

    def close(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def bounded(self, reply: Callable[[], Awaitable[Reply]], seconds: float) -> Reply:
        """Wait for a reply; any way that the policy fails is a `PolicyError`.

        Raises:
            LimitReached: There was no room for a reply, or the end was requested.
            PolicyError: The policy failed, or took longer.
        """
        if self.requested:
            raise LimitReached("straggler")
        task = asyncio.current_task()
        assert task is not None
        cancelled_before = task.cancelling()
        self._arm(seconds)
        self._task, self._ended = task, False
        try:
            return await reply()
        except (LimitReached, PolicyError, CodecError):
            raise
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) and self._ended and task.cancelling() == cancelled_before + 1:
                if self.requested:
                    raise LimitReached("straggler") from None
                raise PolicyTimeout(f"no reply within {seconds} s") from None
            if is_outside(error):
                raise
            raise PolicyError(f"{type(error).__name__}: {error}") from error
        finally:
            self._task = None
            if self._ended:  # also where the policy has swallowed it
                task.uncancel()

    def _arm(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._due = loop.time() + seconds
        if self._timer is None or self._timer.when() > self._due:
            self.close()
            self._timer = loop.call_at(self._due, self._ring)

    def _ring(self) -> None:
        self._timer = None
        if self._task is None:  # the next reply sets it anew
            return
        loop = asyncio.get_running_loop()
        if loop.time() < self._due:
            self._timer = loop.call_at(self._due, self._ring)
        else:
            self._end_reply()

    def _end_reply(self) -> None:
        if self._task is not None and not self._ended:
            self._ended = True
            self._task.cancel()


class TokenSpeaker:
    """Speaks for a token policy and keeps the episode's exact tokens.

    The invariant: what the engine is given at a turn is the segment so far, and what it samples is
    appended as it came. Nothing is ever tokenised twice.
    """

    def __init__(self, policy: TokenPolicy, codec: ChatCodec, sampling: Sampling, limits: Limits, name: str) -> None:
        """Speak for one episode, under a name that is unique."""
        self._policy, self._codec, self._sampling, self._name = policy, codec, sampling, name
        self._left, self._max_completion = limits.max_episode_tokens, limits.max_completion_length
        self._opening = 0
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
        self._segments.append(SegmentBuilder(self._codec.open(messages, tools)))
        self._opening = len(self._segments[-1].ids)

    async def reply(self, messages: list[Message]) -> Reply:
        """Sample the next message."""
        segment = self._segments[-1]
        start = len(segment.ids)
        sampling, bound = self._room(start)
        request_id = f"{self._name}/{self._turn}"
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
        read = before_stop(self._policy.tokenizer, generation, sampling)
        message = self._codec.parse(read, segment.ids, self._tools)
        self._pending = generation
        self._turn += 1
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
        return Reply(message, generation.finish_reason, bound, tokens)

    def _room(self, prompt: int) -> tuple[Sampling, Status]:
        """How the next reply is sampled, and which limit ends the episode if it is cut off."""
        asked = self._sampling
        limits: list[tuple[int, Status]] = [
            (asked.max_tokens, "max_tokens"),
            (self._policy.context_length - prompt, "context_length"),
        ]
        if self._left is not None:
            limits.append((self._left, "max_tokens"))
        if self._max_completion is not None:
            limits.append((self._opening + self._max_completion - prompt, "max_tokens"))
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
            self.open(messages, self._tools)
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
    if generation.finish_reason == "abort":
        raise PolicyError("the engine aborted the request")
    if generation.finish_reason not in ("stop", "length"):
        raise PolicyInvalid(f"the reply ended with {generation.finish_reason!r}; there is 'stop', 'length', 'abort'")


_MOST_ID = 1 << 31


class ChatSpeaker:
    """Speaks for a chat policy, which gives no tokens.

    Attributes:
        usage: What the calls took.
    """

    def __init__(self, policy: ChatPolicy, sampling: Sampling, name: str) -> None:
        """Speak for one episode, under a name that is unique."""
        self._policy, self._sampling, self._name = policy, sampling, name
        self._tools: list[ToolSchema] = []
        self._turn = 0
        self.usage = Usage()

    def begin(self, env: AnyToolEnv) -> None:
        """Of no interest: a policy knows messages alone."""

    def open(self, messages: list[Message], tools: list[ToolSchema]) -> None:
        """Start an episode."""
        self._tools = msgspec.json.decode(msgspec.json.encode(tools))  # a policy may change what it is given

    async def reply(self, messages: list[Message]) -> Reply:
        """Ask for the next message."""
        request_id = f"{self._name}/{self._turn}"
        try:
            generation = await self._policy.chat(
                list(copies(messages)), self._tools, self._sampling, request_id=request_id, session_id=self._name
            )
        except ContextLengthExceeded as error:
            raise LimitReached("context_length") from error
        if not isinstance(generation, ChatGeneration):
            raise PolicyInvalid(f"`chat` gave {generation!r:.100}, which is no ChatGeneration")
        self._turn += 1
        self.usage += generation.usage
        if generation.finish_reason == "abort":
            raise PolicyError("the reply was aborted")
        return Reply(as_assistant(generation.message), generation.finish_reason, "max_tokens", {})

    def hear(self, new: list[Message], messages: list[Message]) -> None:
        """Nothing to do: the whole transcript is sent each time."""

    def finish(self) -> list[Segment]:
        """No tokens."""
        return []


class OracleSpeaker:
    """Speaks for an environment's own oracle, which sees the environment and not the messages.

    Attributes:
        usage: None of any model.
    """

    def __init__(self) -> None:
        self._replies: AsyncIterator[Message] | None = None
        self._env: AnyToolEnv | None = None
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

    def finish(self) -> list[Segment]:
        """No tokens."""
        return []


Speaker = TokenSpeaker | ChatSpeaker | OracleSpeaker
