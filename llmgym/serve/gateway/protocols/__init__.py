"""What programs speak to a gateway. Each module reads requests as `Asked`, and writes replies, whole or as a stream."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Protocol

from llmgym.serve.gateway.conversation import Reader
from llmgym.serve.gateway.protocols import anthropic_messages, chat_completions, responses
from llmgym.serve.gateway.recording import Asked, Node


class Request(Protocol):
    """A decoded request.

    Attributes:
        stream: Whether the reply is wanted as events.
    """

    stream: bool | None

    def asked(self, reader: Reader) -> Asked:
        """The same for any protocol; raises `ServeError` for what a gateway does not do."""
        ...


class Dialect(Protocol):
    """A module of this package.

    Attributes:
        PATH: Where it is spoken.
        WAITING: What keeps a stream open in which nothing has come yet.
    """

    PATH: str
    WAITING: bytes

    def decode(self, body: bytes, /) -> Any:
        """Read a request; raises `msgspec.DecodeError`."""
        ...

    def body(self, node: Node, model: str, asked: Any) -> bytes:
        """Write a whole reply."""
        ...

    def events(self, node: Node, model: str, asked: Any) -> Iterator[bytes]:
        """Write a reply as server-sent events."""
        ...


#: By path.
DIALECTS: Final[dict[str, Any]] = {module.PATH: module for module in (chat_completions, responses, anthropic_messages)}
