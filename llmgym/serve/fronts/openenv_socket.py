"""The WebSocket of an OpenEnv server."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from starlette.requests import HTTPConnection

from llmgym.adapters.remote.protocol import Wrong
from llmgym.serve.fronts import web
from llmgym.serve.session import Session, encode
from llmgym.serve.trouble import ServeError, error_of

if TYPE_CHECKING:
    from llmgym.serve.fronts.openenv import OpenEnv

_CODES: Final[dict[Wrong, str]] = {
    "bad_request": "VALIDATION_ERROR",
    "overloaded": "CAPACITY_REACHED",
    "unknown_session": "SESSION_ERROR",
}


class Socket:
    """The ASGI application of a WebSocket, which asks one thing after another of its session."""

    def __init__(self, front: OpenEnv) -> None:
        """Serve the sessions of a front."""
        self._front = front
        self._asked: dict[str, Callable[[Session, dict[str, Any]], Awaitable[Any]]] = {
            "reset": front.reset,
            "step": front.step,
        }

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve a connection; its session ends with it, but for one of `/mcp`."""
        await receive()
        await send({"type": "websocket.accept"})
        theirs = HTTPConnection(scope).query_params.get("session_id")
        session: Session | None = None
        with contextlib.suppress(OSError):  # the client has left
            try:
                session = await self._front.open() if theirs is None else self._front.sessions.find(theirs)
                while (frame := await receive())["type"] == "websocket.receive":
                    if session.closed and theirs is None:  # it failed, or was idle for too long
                        session = await self._front.open()
                    answer = await self._answer(session, frame.get("text") or frame.get("bytes") or b"")
                    if answer is None:
                        break
                    await send({"type": "websocket.send", "text": encode(answer).decode()})
            except ServeError as error:  # there is no session
                await send({"type": "websocket.send", "text": encode(_error(error)).decode()})
            finally:
                if session is not None and theirs is None:
                    await self._front.sessions.close(session.id)
            await send({"type": "websocket.close"})

    async def _answer(self, session: Session, text: str | bytes) -> Any:
        """The answer to a message; None to one that ends the session."""
        try:
            message = web.read_object(text)
        except ServeError as error:
            return {"type": "error", "data": {"message": str(error), "code": "INVALID_JSON"}}
        kind = message.get("type")
        try:
            if kind == "close":
                return None
            if kind == "state":
                return {"type": "state", "data": session.notes}
            if not isinstance(kind, str) or kind not in self._asked:
                said = f"there is no message of the type {kind!r:.100}; there is reset, step, state, close"
                return {"type": "error", "data": {"message": said, "code": "UNKNOWN_TYPE"}}
            found = await self._asked[kind](session, web.field(message, "data", dict, {}))
            return {"type": "observation", "data": found}
        except Exception as error:  # noqa: BLE001 -- a defect of ours is told, and logged
            return _error(error)


def _error(error: Exception) -> dict[str, Any]:
    told = error_of(error)
    data: dict[str, Any] = {"message": told.message, "code": _CODES.get(told.wrong, "EXECUTION_ERROR")}
    if told.wrong == "bad_request":
        data["errors"] = [{"type": "value_error", "loc": [], "msg": told.message}]
    return {"type": "error", "data": data}
