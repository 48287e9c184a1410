"""A load generator for servers: requests that are bytes beforehand, over connections that read no more than they must.

What it costs does not count: it runs beside the server, in another process.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

Requests = Iterator[bytes]  # those of a connection, in their order
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
HANDSHAKE = (
    "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def post(path: str, body: bytes, headers: str = "") -> bytes:
    """A request of HTTP."""
    return f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n{headers}" \
        f"Content-Type: application/json\r\n\r\n".encode() + body  # fmt: skip


def frame(text: bytes) -> bytes:
    """A frame of a WebSocket with a text; the mask is 0, which leaves it as it is."""
    size = len(text)
    head = bytes((0x81, 0x80 | size)) if size < 126 else bytes((0x81, 0xFE)) + size.to_bytes(2, "big")
    return head + bytes(4) + text


class Connection(asyncio.Protocol):
    """Sends a request, and waits for its answer."""

    def __init__(self) -> None:
        self._got, self._lacks = bytearray(), 0
        self._answer: asyncio.Future[bytes] | None = None
        self.framed = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionResetError(f"lost with {bytes(self._got)!r:.300}"))

    def ask(self, request: bytes) -> asyncio.Future[bytes]:
        """The whole answer to a request: headers and body, or the payload of a frame."""
        answer = self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return answer

    def data_received(self, data: bytes) -> None:
        got = self._got
        got += data
        start, end = self._bounds(got)
        while self.framed and end and len(got) >= end and got[0] & 0x08:  # a ping; runs are too short to answer it
            del got[:end]
            start, end = self._bounds(got)
        if end and len(got) >= end and self._answer is not None:
            answer, self._answer = self._answer, None
            found = bytes(got[start:end])
            del got[:end]
            if not answer.done():
                answer.set_result(found)

    def _bounds(self, got: bytearray) -> tuple[int, int]:
        """Where the answer begins and ends; 0 for not known yet."""
        if self.framed:
            if len(got) < 4:
                return 0, 0
            small = got[1] & 0x7F
            if small < 126:
                return 2, 2 + small
            if small == 126:
                return 4, 4 + int.from_bytes(got[2:4], "big")
            return 10, 10 + int.from_bytes(got[2:10], "big") if len(got) >= 10 else 0
        head = got.find(b"\r\n\r\n")
        if head < 0:
            return 0, 0
        length = _LENGTH.search(got, 0, head + 2)
        return 0, head + 4 + (int(length[1]) if length else 0)


async def connect(host: str, port: int, path: str = "") -> Connection:
    """A connection; a WebSocket where there is a path."""
    _, connection = await asyncio.get_running_loop().create_connection(Connection, host, port)
    if path:
        answer = await connection.ask(HANDSHAKE.format(path=path).encode())
        assert b" 101 " in answer, answer
        connection.framed = True
    return connection


async def flood(connections: list[Connection], requests: Callable[[int], Requests], seconds: float) -> int:
    """Ask one thing after another on each connection; gives how many answers came."""
    ends, done = time.perf_counter() + seconds, 0

    async def run(place: int) -> None:
        nonlocal done
        for request in requests(place):
            await connections[place].ask(request)
            done += 1
            if time.perf_counter() > ends:
                return

    await asyncio.gather(*map(run, range(len(connections))))
    return done


async def pace(
    connections: list[Connection], requests: Callable[[int], Requests], rate: float, seconds: float
) -> list[float]:
    """Ask with exponential pauses, so many times a second in all; gives the seconds that each answer took."""
    ends, took = time.perf_counter() + seconds, list[float]()
    rng = random.Random(0)

    async def run(place: int) -> None:
        for request in requests(place):
            await asyncio.sleep(rng.expovariate(rate / len(connections)))
            began = time.perf_counter()
            if began > ends:
                return
            await connections[place].ask(request)
            took.append(time.perf_counter() - began)

    await asyncio.gather(*map(run, range(len(connections))))
    return took
