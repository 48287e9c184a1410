"""Our own protocol over a WebSocket: any number of sessions over one connection, answered as they are done.

A frame is `[NUMBER, REQUEST]`, and its answer `[NUMBER, STATUS, BODY]`: text or bytes, whichever the client sends.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import msgspec

from llmgym.adapters.remote.protocol import Request
from llmgym.serve.bodies import decoded
from llmgym.serve.session import Answer, refused
from llmgym.serve.trouble import ServeError

if TYPE_CHECKING:
    from llmgym.serve.server import EnvServer

_FRAME = msgspec.json.Decoder(tuple[int, Request])
_NUMBER = msgspec.json.Decoder(tuple[int, msgspec.Raw])
_MOST = 4096  # requests of one connection that are under way; more are not read until some are answered


class Socket:
    """The ASGI application of a connection."""

    def __init__(self, server: EnvServer) -> None:
        """Serve the sessions of a server."""
        self._server, self._sessions = server, server.sessions

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve a connection; what it asked for goes on when it ends, and can be asked for again."""
        await receive()
        await send({"type": "websocket.accept"})
        url = "".join(self._server.addresses(scope)[:1])
        room = asyncio.Semaphore(_MOST)
        working = set[asyncio.Task[None]]()
        try:
            while (frame := await receive())["type"] == "websocket.receive":
                text = frame.get("text")
                data = frame.get("bytes") if text is None else text
                try:
                    number, request = decoded(_FRAME, data)
                except (msgspec.DecodeError, ServeError) as error:
                    await _answer(send, _number(data), refused(error), text is not None)
                    continue
                if self._sessions.is_instant(request):
                    await _answer(send, number, await self._sessions.take(request, url), text is not None)
                    continue
                await room.acquire()
                task = asyncio.create_task(self._work(send, number, request, url, text is not None))
                working.add(task)
                task.add_done_callback(lambda done: (working.discard(done), room.release()))
        finally:
            for task in working:
                task.cancel()

    async def _work(self, send: Any, number: int, request: Request, url: str, as_text: bool) -> None:
        await _answer(send, number, await self._sessions.take(request, url), as_text)


def _number(data: str | bytes) -> int:
    """The number of a frame that is no request; -1 where it has none."""
    try:
        return _NUMBER.decode(data)[0]
    except msgspec.DecodeError:
        return -1


async def _answer(send: Any, number: int, answer: Answer, as_text: bool) -> None:
    body = b"[%d,%d,%b]" % (number, *answer)
    content = {"text": body.decode()} if as_text else {"bytes": body}
    with contextlib.suppress(Exception):  # the client has left; each server says so in a class of its own
        await send({"type": "websocket.send", **content})
