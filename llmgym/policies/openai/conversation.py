"""What is sent of a conversation: it grows at its end, and what stands there is not prepared again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import msgspec

from llmgym.messages import Message
from llmgym.policies.openai.history import Kept, Mender, placed

_ROOM = 64 << 20  # bytes of conversations that are remembered: nobody says when one has ended

_OPENING = 2  # messages that are soon written again; most conversations of judges are no longer

#: Gives a mended message in the form that the server takes.
Write = Callable[[dict[str, Any]], list[dict[str, Any]]]

_encode = msgspec.json.Encoder().encode


class Conversation:
    """Messages of one episode.

    Attributes:
        parts: As they are sent, each in JSON.
        size: Bytes of them.
    """

    __slots__ = ("_key", "_mender", "_seen", "_write", "parts", "size")

    def __init__(self, write: Write, names: frozenset[str], refused: frozenset[str], kept: dict[int, Kept]) -> None:
        """Begin one; the other arguments are those of `Mender`."""
        self._write, self._mender = write, Mender(names, refused, kept)
        self._key = (names, refused)
        self._seen: list[Message] = []
        self.parts: list[msgspec.Raw] = []
        self.size = 0

    def extend(self, messages: list[Message]) -> None:
        """Write what is new in these messages, of which it is the beginning."""
        mended = self._mender.mend(messages[len(self._seen) :])
        parts = [_encode(part) for message in mended for part in self._write(message)]
        self.parts += map(msgspec.Raw, parts)
        self.size += sum(map(len, parts))
        self._seen = messages

    def begins(self, messages: list[Message], names: frozenset[str], refused: frozenset[str]) -> bool:
        """Whether it is the beginning of these messages, as they are sent now."""
        return self._key == (names, refused) and self._seen == messages[: len(self._seen)]

    @property
    def kept(self) -> dict[int, Kept]:
        """What the server wants back with which message."""
        return self._mender.kept


class Conversations:
    """Those of the episodes that go on, as far as there is room."""

    def __init__(self, write: Write) -> None:
        """Remember none."""
        self._write = write
        self._known: OrderedDict[str, Conversation] = OrderedDict()
        self._size = 0

    def parts(
        self, session_id: str, messages: list[Message], names: frozenset[str], refused: frozenset[str]
    ) -> list[msgspec.Raw]:
        """The messages as they are sent, each in JSON.

        Args:
            session_id: Whose they are.
            messages: All of them; they must not change any more.
            names: Tools that are offered.
            refused: What the server has refused.
        """
        known = self._forget(session_id)  # unless it can be extended
        if known is None or not known.begins(messages, names, refused):
            known = Conversation(self._write, names, refused, placed(known.kept, messages) if known else {})
        known.extend(messages)
        if len(messages) > _OPENING:
            self._remember(session_id, known)
        return known.parts.copy()

    def keep(self, session_id: str, place: int, kept: Kept) -> None:
        """Send a reply back with what the server wants of it.

        Args:
            session_id: Whose it is.
            place: The place that it will have among the messages.
            kept: What.
        """
        if session_id not in self._known:
            self._remember(session_id, Conversation(self._write, frozenset(), frozenset(), {}))
        self._known[session_id].kept[place] = kept

    def _remember(self, session_id: str, conversation: Conversation) -> None:
        """Keep one for its next turn; those that nobody has asked for the longest are forgotten."""
        self._known[session_id] = conversation
        self._size += conversation.size
        while self._size > _ROOM:
            self._size -= self._known.popitem(last=False)[1].size

    def _forget(self, session_id: str) -> Conversation | None:
        conversation = self._known.pop(session_id, None)
        self._size -= conversation.size if conversation else 0
        return conversation
