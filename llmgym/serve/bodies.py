"""Bodies of requests, read within bounds, and answers.

A header says how long a body is going to be, and may lie; a client may stop in the middle of one. So bytes are counted
as they come, against a deadline.
"""

from __future__ import annotations

import asyncio
from typing import Any

from llmgym.serve.trouble import ServeError

JSON = b"application/json"


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
