"""Connections within bounds of number, time and size; uvicorn has none, and leaves what says nothing open for ever."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

_HEADERS = 64 << 10  # most bytes of the headers of a request
_AHEAD = 16  # most requests of a connection that wait for the answer to another
_PIECES = 4096  # most frames of a message


class Patience:
    """Ends a connection that does not go on in time."""

    def __init__(self, seconds: float) -> None:
        """Wait for nothing yet; 0 seconds wait for ever."""
        self._seconds = seconds
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, transport: asyncio.Transport) -> None:
        """Wait from now on, if it is not waited for already."""
        if self._timer is None and self._seconds:
            self._timer = asyncio.get_running_loop().call_later(self._seconds, transport.abort)

    def end(self) -> None:
        """Wait no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _Joined:
    """A transport that sends what was written in one turn of the loop, headers and body, by one call of the system."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport, self._written = transport, list[bytes]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self._written:
            asyncio.get_running_loop().call_soon(self._send)
        self._written.append(data)

    def close(self) -> None:
        self._send()
        self._transport.close()

    def _send(self) -> None:
        written, self._written = b"".join(self._written), []
        if written:
            self._transport.write(written)


class _Read(asyncio.Protocol):
    """Ends a connection whose client does not read what it asked for.

    Attributes:
        read_s: Seconds that an answer may be left unread; 0 for no bound.
    """

    transport: asyncio.Transport
    read_s = 0.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._unread = Patience(self.read_s)

    def pause_writing(self) -> None:
        """Wait for the client to read."""
        super().pause_writing()
        self._unread.begin(self.transport)

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
        most: Most connections at once; None for no bound.
    """

    header_s = 10.0
    most: int | None = None
    _size = 0

    def connection_made(self, transport: Any) -> None:
        """Wait for the first request."""
        super().connection_made(_Joined(transport))  # pyright: ignore[reportArgumentType]
        transport.set_write_buffer_limits(high=0)  # whatever is not sent yet counts as unread
        self._headers = Patience(self.header_s)
        if self.most is not None and len(self.connections) > self.most:
            transport.abort()
        else:
            self._headers.begin(transport)

    def on_message_begin(self) -> None:
        """Wait for the rest of the headers."""
        super().on_message_begin()
        self._size = 0
        self._headers.begin(self.transport)

    def on_url(self, url: bytes) -> None:
        """Count."""
        super().on_url(url)
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count; what stands after a body is counted too."""
        super().on_header(name, value)
        self._count(len(name) + len(value))

    def on_headers_complete(self) -> None:
        """Wait no more."""
        self._headers.end()
        if len(self.pipeline) >= _AHEAD:
            raise ValueError("too many requests ahead of their answers")  # uvicorn answers 400
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """End the connection where the rest of the request is still to come: nobody reads it."""
        super().on_response_complete()
        if self.cycle.response_complete and self.cycle.more_body:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._headers.end()
        super().connection_lost(exc)

    def _count(self, size: int) -> None:
        self._size += size
        if self._size > _HEADERS:
            raise ValueError("the headers of the request are too large")


class SocketProtocol(_Read, WebSocketsSansIOProtocol):
    """Uvicorn's protocol of WebSockets; subclasses set the bounds."""

    def handle_cont(self, event: Frame) -> None:
        """Take a piece of a message, as long as there are not very many: each may be empty."""
        if len(self.frames) < _PIECES:
            super().handle_cont(event)
        else:
            self.transport.abort()


def bounded(protocol: type[_Read], **bounds: Any) -> type[_Read]:
    """A protocol with bounds, which are its attributes."""
    return type("Bounded", (protocol,), bounds)
