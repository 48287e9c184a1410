"""The gateway as a server: sessions by path, each a recording, and protocols over them."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any, Final

import msgspec

from llmgym.chat import Sampling
from llmgym.codec.base import ChatCodec
from llmgym.errors import ContextLengthExceeded, LLMGymError, PolicyUnavailable
from llmgym.policies.base import TokenPolicy
from llmgym.serve.bodies import JSON, read_body, respond
from llmgym.serve.gateway.protocols import DIALECTS
from llmgym.serve.gateway.recording import Recording
from llmgym.serve.trouble import ServeError

_EVENTS: Final = b"text/event-stream; charset=utf-8"


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
        self._sessions: dict[str, Recording] = {}

    def open(self, name: str, sampling: Sampling) -> str:
        """Begin a session; its path.

        Args:
            name: Name of the episode.
            sampling: How replies are sampled.
        """
        token = secrets.token_urlsafe(18)
        self._sessions[token] = Recording(self._policy, self._codec, sampling, name)
        return f"/s/{token}"

    def close(self, path: str) -> Recording:
        """End a session, and give what was recorded."""
        return self._sessions.pop(path.removeprefix("/s/"))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            return
        _, _, rest = scope["path"].partition("/s/")
        token, _, path = rest.partition("/")
        protocol = DIALECTS.get(f"/{path}")
        try:
            recording = self._sessions.get(token)
            if recording is None or protocol is None or scope["method"] != "POST":
                raise ServeError("unknown_session", f"there is no {scope['path']!r:.200}: it has ended, or never was")
            asked = protocol.decode(await read_body(receive, self._limit, self._seconds))
            node = await recording.reply(asked.asked())
        except Exception as error:  # noqa: BLE001 -- whatever it is, the program is told
            await _refuse(send, error)
            return
        try:
            if asked.stream:
                await _stream(send, protocol.events(node, self._policy.model, asked))
            else:
                await respond(send, 200, protocol.body(node, self._policy.model, asked))
        except Exception:  # noqa: BLE001 -- the program has left; each server says so in a class of its own
            node.delivered = False


async def _stream(send: Callable[..., Any], events: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", _EVENTS)]})
    for event in events:
        await send({"type": "http.response.body", "body": event, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _refuse(send: Any, error: Exception) -> None:
    """Tell a program what is wrong, in the form that SDKs read, and by a status that they do not try again in vain."""
    status, kind = 500, "server_error"
    if isinstance(error, ServeError | msgspec.DecodeError | ContextLengthExceeded):
        status, kind = 400, "invalid_request_error"
    elif isinstance(error, PolicyUnavailable):
        status, kind = 503, "server_error"
    elif isinstance(error, LLMGymError):
        status, kind = 400, "invalid_request_error"
    code = "context_length_exceeded" if isinstance(error, ContextLengthExceeded) else None
    told = {"error": {"message": f"{error}", "type": kind, "code": code, "param": None}}
    await respond(send, status, msgspec.json.encode(told), JSON)
