"""What fronts share: JSON objects in, JSON out, and errors in the form that FastAPI's servers have."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from llmgym.adapters.remote.protocol import STATUS, Wrong
from llmgym.serve.bodies import decoded, read_body
from llmgym.serve.session import encode
from llmgym.serve.trouble import ServeError, error_of

if TYPE_CHECKING:
    from llmgym.serve.server import EnvServer

_OBJECT = msgspec.json.Decoder(dict[str, Any])
Handler = Callable[[Request, dict[str, Any]], Awaitable[Any]]


class Endpoint:
    """An ASGI application of a coroutine, which gets a request and its body, and gives JSON data or a response."""

    def __init__(self, server: EnvServer, serve: Handler, statuses: Mapping[Wrong, int] = STATUS) -> None:
        """Serve within the bounds of a server.

        Args:
            server: The server.
            serve: The coroutine.
            statuses: What HTTP says of what is wrong.
        """
        self._config, self._serve, self._statuses = server.config, serve, statuses

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve a request; what the coroutine raises is an answer."""
        request = Request(scope)
        try:
            data = await read_body(receive, self._config.body_limit)
            found = await self._serve(request, read_object(data or b"{}"))
            answer = found if isinstance(found, Response) else json(found)
        except Exception as error:  # noqa: BLE001 -- a defect of ours is told, and logged
            told = error_of(error)
            answer = json({"detail": told.message}, self._statuses[told.wrong])
            if told.wrong == "too_large":
                answer.headers["connection"] = "close"
        self.finish(request, answer)
        await answer(scope, receive, send)

    def finish(self, request: Request, answer: Response) -> None:
        """Add to an answer, whatever it says."""


def json(data: Any, status: int = 200) -> Response:
    """Data as an answer."""
    return Response(encode(data), status, media_type="application/json")


def read_object(data: bytes | str) -> dict[str, Any]:
    """A JSON object.

    Raises:
        ServeError: It is none.
    """
    try:
        return decoded(_OBJECT, data)
    except msgspec.DecodeError as error:
        raise ServeError("bad_request", f"the request is no JSON object: {error}") from None


_WORDS = {str: "a text", int: "a whole number", dict: "an object", list: "a list"}


def field(body: dict[str, Any], name: str, kind: type, otherwise: Any = ...) -> Any:
    """A field of a body.

    Raises:
        ServeError: It is missing, or of another type.
    """
    value = body.get(name)
    if value is None and otherwise is not ...:
        return otherwise
    if not isinstance(value, kind) or isinstance(value, bool):
        given = f"not {value!r:.100}" if name in body else "and is missing"
        raise ServeError("bad_request", f"{name} is {_WORDS[kind]}, {given}")
    return value
