"""Who may come in: a token in a header or, for clients that cannot set one, in the URL; and names of this machine."""

from __future__ import annotations

import base64
import binascii
import secrets
from typing import Any
from urllib.parse import unquote, unquote_to_bytes

from llmgym.serve.bodies import respond
from llmgym.serve.session import refused
from llmgym.serve.trouble import ServeError

_OPEN = frozenset({"/health", "/ready"})
_LOCAL = frozenset({"localhost", "127.0.0.1", "[::1]", "testserver"})
_PREFIX = b"/t/"


class Guard:
    """Lets requests through to an application that show the token, and that mean this server."""

    def __init__(self, app: Any, token: str | None, *, local: bool) -> None:
        """Wrap an application.

        Args:
            app: An ASGI application.
            token: What requests have to show; None for nothing.
            local: Whether it is reached by names of this machine alone. A page in a browser here can send requests to
                it under a name of its own, which is refused.
        """
        self._app, self._local = app, local
        self._token = None if token is None else token.encode()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve a request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers: dict[bytes, bytes] = dict(scope["headers"])
        if self._local and not _is_local(headers.get(b"host", b"localhost").decode("latin-1")):
            await _turn_away(scope, receive, send, "this server answers to localhost; --host lets others in")
            return
        shown = _shown(headers.get(b"authorization", b"")) or headers.get(b"x-api-key", b"")
        path: bytes = scope["raw_path"]
        if path.startswith(_PREFIX):
            given, _, rest = path.removeprefix(_PREFIX).partition(b"/")
            shown = unquote_to_bytes(given)  # in which a slash is one of the token
            path, prefix = b"/" + rest, (_PREFIX + given).decode("latin-1")
            scope = {**scope, "path": unquote(path.decode("latin-1")), "raw_path": path, "llmgym.prefix": prefix}
        if self._token is not None and scope["path"] not in _OPEN and not secrets.compare_digest(shown, self._token):
            await _turn_away(scope, receive, send, "the token is missing or wrong: send Authorization: Bearer TOKEN")
            return
        await self._app(scope, receive, send)


def _shown(authorization: bytes) -> bytes:
    """The token of a header; the password, where a client was given a URL such as `http://llmgym:TOKEN@HOST`."""
    scheme, _, given = authorization.partition(b" ")
    if scheme.lower() != b"basic":
        return given or authorization
    try:
        return base64.b64decode(given).partition(b":")[2]
    except binascii.Error:
        return b""


def _is_local(host: str) -> bool:
    name, _, port = host.rpartition(":")
    return (name if name and port.isdigit() else host) in _LOCAL


async def _turn_away(scope: Any, receive: Any, send: Any, why: str) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": why[:120]})
    else:
        await respond(send, *refused(ServeError("unauthorized", why)), close=True)
