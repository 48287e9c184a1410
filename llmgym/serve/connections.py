"""Connections within bounds of number, time and size; uvicorn has none, and leaves what says nothing open for ever."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from typing import Any, Literal

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State

from llmgym.serve.session import refused
from llmgym.serve.trouble import ServeError

_HEADERS = 64 << 10  # most bytes of the headers of a request
_AHEAD = 16  # most requests of a connection that wait for the answer to another
_NO_HANDSHAKE = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_TEXT, _BINARY = 0x80 | Opcode.TEXT, 0x80 | Opcode.BINARY  # the last frame of a message, and the first
_PIECES = 4096  # most frames of a message
_LATE = refused(ServeError("too_slow", "the body of the request did not arrive in time"))[1]
_TOO_SLOW = (
    b"HTTP/1.1 408 Request Timeout\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
    b"connection: close\r\n\r\n%b" % (len(_LATE), _LATE)
)


class Patience:
    """Ends what does not go on in time."""

    def __init__(self) -> None:
        """Wait for nothing yet."""
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, seconds: float, end: Callable[[], None]) -> None:
        """Wait from now on, if it is not waited for already; 0 seconds wait for ever."""
        if self._timer is None and seconds:
            self._timer = asyncio.get_running_loop().call_later(seconds, end)

    def end(self) -> None:
        """Wait no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _Joined:
    """A transport that sends what was written in one turn of the loop, headers and body, by one call of the system.

    Attributes:
        parts: The transport that sends each part at once.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self.parts, self._written = transport, list[bytes]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.parts, name)

    def write(self, data: bytes) -> None:
        if not self._written:
            asyncio.get_running_loop().call_soon(self._send)
        self._written.append(data)

    def close(self) -> None:
        self._send()
        self.parts.close()

    def _send(self) -> None:
        written, self._written = b"".join(self._written), []
        if written:
            self.parts.write(written)


class _Read(asyncio.Protocol):
    """Ends a connection whose client does not read what it asked for.

    Attributes:
        read_s: Seconds that an answer may be left unread; 0 for no bound.
    """

    transport: asyncio.Transport
    read_s = 0.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._unread = Patience()

    def pause_writing(self) -> None:
        """Wait for the client to read."""
        super().pause_writing()
        self._unread.begin(self.read_s, self.transport.abort)

    def resume_writing(self) -> None:
        """Wait no more."""
        super().resume_writing()
        self._unread.end()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._unread.end()
        super().connection_lost(exc)


class HTTPProtocol(_Read, HttpToolsProtocol):
    """Uvicorn's protocol of HTTP; subclasses set the bounds.

    Attributes:
        header_s: Seconds from the connection, or from the first byte of a request, to the end of its headers.
        body_s: Seconds from there to the end of its body.
        most: Most connections at once; None for no bound.
    """

    header_s = 10.0
    body_s = 30.0
    most: int | None = None
    _size = 0
    _lacks: Literal["headers", "body", "nothing"] = "headers"  # of the request that is arriving, or the first one

    def connection_made(self, transport: Any) -> None:
        """Wait for the first request."""
        super().connection_made(_Joined(transport))  # pyright: ignore[reportArgumentType]
        transport.set_write_buffer_limits(high=0)  # whatever is not sent yet counts as unread
        self._rest = Patience()
        if self.most is not None and len(self.connections) > self.most:
            transport.abort()
        else:
            self._await_rest()

    def data_received(self, data: bytes) -> None:
        """Wait for the rest of a request, where there is any: most come whole, and need no timer."""
        super().data_received(data)
        self._await_rest()

    def on_message_begin(self) -> None:
        """Expect headers."""
        super().on_message_begin()
        self._size = 0
        self._expect("headers")

    def on_url(self, url: bytes) -> None:
        """Count."""
        super().on_url(url)
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count; what stands after a body is counted too."""
        super().on_header(name, value)
        self._count(len(name) + len(value))

    def on_headers_complete(self) -> None:
        """Expect a body."""
        self._expect("body")
        if len(self.pipeline) >= _AHEAD:
            raise ValueError("too many requests ahead of their answers")  # uvicorn answers 400
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Expect nothing."""
        self._expect("nothing")
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """End the connection where the rest of the request is still to come: nobody reads it."""
        super().on_response_complete()
        if self.cycle.response_complete and self.cycle.more_body:
            self.transport.close()
        else:
            self._await_rest()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._rest.end()
        super().connection_lost(exc)

    def _count(self, size: int) -> None:
        self._size += size
        if self._size > _HEADERS:
            raise ValueError("the headers of the request are too large")

    def _expect(self, part: Literal["headers", "body", "nothing"]) -> None:
        self._lacks = part
        self._rest.end()

    def _await_rest(self) -> None:
        if self._lacks == "headers":
            self._rest.begin(self.header_s, self.transport.abort)
        elif self._lacks == "body" and not self.pipeline:  # else it is not read before an earlier one is answered
            self._rest.begin(self.body_s, self._end_late)

    def _end_late(self) -> None:
        """End a connection whose request has stopped half-way, and say so where nothing was said yet."""
        if not self.cycle.response_started:
            self.transport.write(_TOO_SLOW)
        self.transport.close()


class SocketProtocol(_Read, WebSocketsSansIOProtocol):
    """Uvicorn's protocol of WebSockets; subclasses set the bounds."""

    def connection_made(self, transport: Any) -> None:
        """Take over the connection of a request; what is sent now is whole."""
        super().connection_made(transport.parts)

    def data_received(self, data: bytes) -> None:
        """End a connection whose handshake the library does not take, and of which uvicorn would never hear again."""
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            self.transport.write(_NO_HANDSHAKE)
            self.transport.close()

    def send_receive_event_to_app(self) -> None:
        """Stop to read once a second message waits, and not at the first, which most often is alone."""
        alone = not self.read_paused and self.queue.empty()
        self.read_paused = self.read_paused or alone
        super().send_receive_event_to_app()
        self.read_paused = self.read_paused and not alone

    async def send(self, message: Any) -> None:
        """Send; a message on an open connection is framed here, for a fifth of what it costs in the library."""
        text: str | None = message.get("text")
        data: bytes | None = message.get("bytes") if text is None else text.encode()
        if data is None or self.disconnected or self.conn.state is not State.OPEN or not self.writable.is_set():
            await super().send(message)
        else:
            self.transport.write(_head(_BINARY if text is None else _TEXT, len(data)) + data)

    def handle_cont(self, event: Frame) -> None:
        """Take a piece of a message, as long as there are not very many: each may be empty."""
        if len(self.frames) < _PIECES:
            super().handle_cont(event)
        else:
            self.transport.abort()


def _head(kind: int, size: int) -> bytes:
    """What stands before the data of a whole message; see RFC 6455, 5.2."""
    if size < 126:
        return bytes((kind, size))
    return struct.pack("!BBH", kind, 126, size) if size < 1 << 16 else struct.pack("!BBQ", kind, 127, size)


def bounded(protocol: type[_Read], **bounds: Any) -> type[_Read]:
    """A protocol with bounds, which are its attributes."""
    return type("Bounded", (protocol,), bounds)
