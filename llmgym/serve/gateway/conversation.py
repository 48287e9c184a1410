"""Conversations as programs send them: which are the same, and what of them has been read before.

Programs write what they got in their own way: they dump arguments again, join or split texts, drop reasoning and ids,
and move marks for caches about. So two messages are one where role, text and calls are. And they send the whole
conversation each time, mostly byte for byte what they sent before: only what follows that is read.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Annotated, Any

import msgspec
import orjson

from llmgym.errors import MessageError
from llmgym.messages import Message, Role, ToolSchema

_SIZE = 16  # bytes of an identity
NONE = msgspec.Raw(b"null")
Most = Annotated[int, msgspec.Meta(ge=1)]  # tokens that a program wants
End = Annotated[str, msgspec.Meta(min_length=1)]  # a string that ends a reply
Read = Callable[[list[Any]], list[Message]]


@dataclass(frozen=True, slots=True, eq=False)
class Conversation:
    """A message, and all that was said before it.

    Attributes:
        before: What was said before; None where it is the first.
        message: The message.
        identity: The same for all forms of the conversation.
        length: How many messages it has.
    """

    before: Conversation | None
    message: Message
    identity: bytes
    length: int

    @classmethod
    def after(cls, before: Conversation | None, message: Message) -> Conversation:
        """A message that follows a conversation, or begins one."""
        known, length = (bytes(_SIZE), 0) if before is None else (before.identity, before.length)
        return cls(before, message, blake2b(known + identity(message), digest_size=_SIZE).digest(), length + 1)

    def __iter__(self) -> Iterator[Conversation]:
        """From this message back to the first, each with what was before it."""
        at: Conversation | None = self
        while at is not None:
            yield at
            at = at.before

    def since(self, length: int) -> list[Message]:
        """The messages that follow the first ones."""
        return [at.message for at in itertools.islice(self, self.length - length)][::-1]


def identity(message: Message) -> bytes:
    """What is the same for all forms of a message: its role, its text without white space around it, and its calls."""
    calls = [
        [call["function"]["name"], _canonical(call["function"]["arguments"])] for call in message.get("tool_calls", ())
    ]
    said = [message["role"], message["content"].strip(), calls]
    return blake2b(orjson.dumps(said), digest_size=_SIZE).digest()


def _canonical(arguments: str) -> str:
    """Arguments without what another program may write otherwise; those that are no JSON as they are."""
    try:
        return msgspec.json.encode(msgspec.json.decode(arguments), order="sorted").decode()
    except (msgspec.DecodeError, RecursionError):
        return arguments


@dataclass(slots=True)
class _Step:
    """What came next, by its bytes; and the conversation up to here, where a request ended here."""

    next: dict[bytes, _Step] = field(default_factory=dict)
    conversation: Conversation | None = None


class Reader:
    """Reads the requests of a session."""

    def __init__(self, late_system: Role = "system") -> None:
        """Know nothing yet.

        Args:
            late_system: The role that system messages get which are not the first message.
        """
        self._late_system: Role = late_system
        self._begun: dict[Read, _Step] = {}
        self._tools: tuple[msgspec.Raw, list[ToolSchema]] = (NONE, [])

    def conversation(self, parts: Sequence[msgspec.Raw | bytes], read: Read) -> Conversation:
        """The conversation of a request.

        Args:
            parts: Its messages or items, as they came.
            read: Makes messages of those that are new, decoded.

        Raises:
            MessageError: They are malformed, or there are none.
        """
        step = self._begun.setdefault(read, _Step())
        known, done = None, 0
        keys = [bytes(part) for part in parts]  # much smaller than the tokens that are kept of them
        for at, key in enumerate(keys, 1):
            if (step := step.next.get(key)) is None:
                break
            if step.conversation is not None:
                known, done = step.conversation, at
        if done < len(parts):
            known = self._read(parts, done, known, read)
            step = self._begun[read]
            for key in keys:
                step = step.next.setdefault(key, _Step())
            if known is not None and known.message["role"] != "assistant":  # to which more items may belong
                step.conversation = known
        if known is None:
            raise MessageError("there are no messages")
        return known

    def tools(self, given: msgspec.Raw, read: Callable[[list[Any]], list[ToolSchema]]) -> list[ToolSchema]:
        """The tools of a request, which are mostly those of the one before."""
        if self._tools[0] != given:
            kept = given.copy()  # and not the whole request
            self._tools = kept, read(msgspec.json.decode(given, type=list[dict[str, Any]] | None) or [])
        return self._tools[1]

    def _read(
        self, parts: Sequence[msgspec.Raw | bytes], done: int, known: Conversation | None, read: Read
    ) -> Conversation | None:
        """A conversation, of which some parts are known."""
        try:
            new = read([msgspec.json.decode(part) for part in parts[done:]])
        except MessageError:
            if done:
                read([msgspec.json.decode(part) for part in parts])  # an error that counts from the first
            raise
        for message in new:
            if message["role"] == "tool" and "name" not in message and (name := _called(known, message)):
                message["name"] = name
            if message["role"] == "system" and known is not None:
                message["role"] = self._late_system
            known = Conversation.after(known, message)
        return known


def _called(conversation: Conversation | None, result: Message) -> str | None:
    """The name of the tool that a result is from; None where no call before it says so."""
    for at in conversation or ():
        if calls := at.message.get("tool_calls"):
            ids = {call.get("id"): call["function"]["name"] for call in calls}
            return ids.get(result.get("tool_call_id", ""))
    return None
