"""Bodies of requests, read within bounds, and answers.

A header says how long a body is going to be, and may lie; a client may stop in the middle of one. So bytes are counted
as they come, against a deadline.
"""

from __future__ import annotations

import asyncio
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


async def read_body(receive: Any, limit: int, seconds: float) -> bytes:
    """The body of a request.

    Args:
        receive: ASGI's.
        limit: Most bytes.
        seconds: Time that it has to arrive.

    Raises:
        ServeError: It is larger, or takes longer, or the client has left.
    """
    message = await _next(receive, seconds)
    body = message.get("body", b"")
    if not message.get("more_body"):
        if len(body) > limit:
            raise _too_large(limit)
        return body
    pieces, size = [body], len(body)
    ends = asyncio.get_running_loop().time() + seconds
    while message.get("more_body"):
        if size > limit:
            raise _too_large(limit)
        message = await _next(receive, ends - asyncio.get_running_loop().time())
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
    if size > limit:
        raise _too_large(limit)
    return b"".join(pieces)


async def _next(receive: Any, seconds: float) -> dict[str, Any]:
    try:
        async with asyncio.timeout(seconds):
            message = await receive()
    except TimeoutError:
        raise ServeError("too_slow", "the body of the request did not arrive in time") from None
    if message["type"] == "http.disconnect":
        raise ServeError("too_slow", "the client left before the end of its request")
    return message


def _too_large(limit: int) -> ServeError:
    return ServeError("too_large", f"the body is larger than {limit} bytes: --body-limit raises that")


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
