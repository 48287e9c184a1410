"""The gateway as a server: sessions by path, each a recording, and protocols over them."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from llmgym.chat import Sampling
from llmgym.codec.base import ChatCodec
from llmgym.errors import ContextLengthExceeded, LLMGymError, PolicyUnavailable
from llmgym.policies.base import TokenPolicy
from llmgym.serve.bodies import read_body, respond
from llmgym.serve.gateway.attempts import Attempt, Attempts
from llmgym.serve.gateway.protocols import DIALECTS
from llmgym.serve.gateway.recording import Recording
from llmgym.serve.trouble import ServeError

_EVENTS: Final = b"text/event-stream; charset=utf-8"
_QUIET_S: Final = 5.0  # after which a stream is begun, and between the comments that keep it open


class Gateway:
    """Sessions of agent programs over one policy; an ASGI application.

    A session's address is `/s/TOKEN`, which nobody can guess; a program is given it as its base URL.
    """

    def __init__(
        self, policy: TokenPolicy, codec: ChatCodec, *, body_limit: int = 32 << 20, body_s: float = 60.0
    ) -> None:
        """Serve a started policy."""
        self._policy, self._codec = policy, codec
        self._limit, self._seconds = body_limit, body_s
        self._sessions: dict[str, _Session] = {}

    def open(self, name: str, sampling: Sampling) -> str:
        """Begin a session; its path.

        Args:
            name: Name of the episode.
            sampling: How replies are sampled.
        """
        token = secrets.token_urlsafe(18)
        self._sessions[token] = _Session(Recording(self._policy, self._codec, sampling, name), Attempts())
        return f"/s/{token}"

    async def close(self, path: str) -> Recording:
        """End a session, stop what is under way in it, and give what was recorded."""
        session = self._sessions.pop(path.removeprefix("/s/"))
        await session.attempts.end()
        return session.recording

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            return
        token, _, path = scope["path"].removeprefix("/s/").partition("/")
        dialect, headers = DIALECTS.get(f"/{path}"), dict(scope["headers"])
        try:
            session = self._sessions.get(token)
            if session is None or dialect is None or scope["method"] != "POST":
                raise ServeError("unknown_session", f"there is no {scope['path']!r:.200}: it has ended, or never was")
            body = await read_body(receive, self._limit, self._seconds)
            request = dialect.decode(body)
            asked = request.asked()
        except Exception as error:  # noqa: BLE001 -- whatever it is, the program is told
            await _refuse(send, error)
            return
        marked = headers.get(b"x-stainless-retry-count", b"0") != b"0"
        attempt = session.attempts.begin(body, marked, lambda: session.recording.reply(asked))
        gone = asyncio.ensure_future(_left(receive))
        try:
            await self._answer(attempt, gone, dialect, request, send)
        finally:
            if gone.done():
                attempt.leave()
            gone.cancel()

    async def _answer(
        self, attempt: Attempt, gone: asyncio.Future[None], dialect: Any, request: Any, send: Any
    ) -> None:
        """Send a program the reply to its request, once it is there."""
        events = request.stream or False
        there = await attempt.wait(gone, _QUIET_S if events else None)
        begun = False
        while not there and not gone.done():  # a stream: a comment now and then keeps it open
            if not begun:
                await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", _EVENTS)]})
                begun = True
            await send({"type": "http.response.body", "body": b": waiting\n\n", "more_body": True})
            there = await attempt.wait(gone, _QUIET_S)
        if gone.done():
            return
        try:
            node = attempt.work.result()
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 -- whatever it is, the program is told
            if begun:
                await send({"type": "http.response.body", "body": b"data: " + _told(error)[1] + b"\n\n"})
            else:
                await _refuse(send, error)
            return
        if events:
            if not begun:
                await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", _EVENTS)]})
            body = b"".join(dialect.events(node, self._policy.model, request))
            await send({"type": "http.response.body", "body": body})
        else:
            await respond(send, 200, dialect.body(node, self._policy.model, request))
        if not gone.done():
            attempt.deliver()


@dataclass(frozen=True, slots=True)
class _Session:
    recording: Recording
    attempts: Attempts


async def _left(receive: Any) -> None:
    """Wait until a client is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _refuse(send: Any, error: BaseException) -> None:
    status, body = _told(error)
    await respond(send, status, body)


def _told(error: BaseException) -> tuple[int, bytes]:
    """What a program is told, in the form that SDKs read, and by a status that they do not try again in vain."""
    status, kind = 500, "server_error"
    if isinstance(error, PolicyUnavailable):
        status = 503
    elif isinstance(error, LLMGymError | msgspec.DecodeError):
        status, kind = 400, "invalid_request_error"
    code = "context_length_exceeded" if isinstance(error, ContextLengthExceeded) else None
    message = str(error) or type(error).__name__
    return status, msgspec.json.encode({"error": {"message": message, "type": kind, "code": code, "param": None}})
