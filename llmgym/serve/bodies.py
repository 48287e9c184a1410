"""Bodies of requests, read within bounds, and answers.

A header says how long a body is going to be, and may lie, so bytes are counted as they come.
"""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec

from llmgym.serve.trouble import ServeError

T = TypeVar("T")

JSON = b"application/json"
_DEPTH = 100  # most arrays and objects within one another
_STRINGS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
_BRACKETS = re.compile(rb"[\[{}\]]")


def decoded(decoder: msgspec.json.Decoder[T], data: bytes | str) -> T:
    """A request, of JSON.

    Raises:
        msgspec.DecodeError: It is none.
        ServeError: It is nested so deeply that what handles it might fail half-way.
    """
    text = data.encode() if isinstance(data, str) else data
    if text.count(b"[") + text.count(b"{") > _DEPTH and _depth(text) > _DEPTH:
        raise ServeError("bad_request", f"the request is nested more than {_DEPTH} levels deep")
    return decoder.decode(text)


def _depth(text: bytes) -> int:
    """How deeply arrays and objects of a text of JSON are nested."""
    depth = deepest = 0
    for bracket in _BRACKETS.findall(_STRINGS.sub(b"", text)):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


async def read_body(receive: Any, limit: int) -> bytes:
    """The body of a request; how long it may take to arrive is a bound of its connection.

    Args:
        receive: ASGI's.
        limit: Most bytes.

    Raises:
        ServeError: It is larger, or the client has left.
    """
    pieces, size, more = list[bytes](), 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ServeError("too_slow", "the client left before the end of its request")
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
        if size > limit:
            raise ServeError("too_large", f"the body is larger than {limit} bytes: --body-limit raises that")
        more = message.get("more_body", False)
    return b"".join(pieces)


async def left(receive: Any) -> None:
    """Wait until a client is gone, whose request was read."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def respond(send: Any, status: int, body: bytes, kind: bytes = JSON, *, close: bool = False) -> None:
    """Send a whole answer.

    Args:
        send: ASGI's.
        status: Status of HTTP.
        body: Its body.
        kind: Type of the content.
        close: Whether the connection ends with it, since what the client still sends is not read.
    """
    headers = [(b"content-type", kind), (b"content-length", b"%d" % len(body))]
    if close:
        headers.append((b"connection", b"close"))
    if status in (400, 404, 409, 500):  # SDKs of OpenAI and Anthropic try 409 and 5xx again; here that helps nobody
        headers.append((b"x-should-retry", b"false"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
