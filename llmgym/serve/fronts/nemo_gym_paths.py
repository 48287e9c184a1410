"""Paths and cookies of the front for NeMo Gym."""

from __future__ import annotations

import re
from collections.abc import Container
from typing import Any

from starlette.requests import Request, cookie_parser
from starlette.responses import Response
from starlette.routing import Match, Route

from llmgym.serve.fronts import web
from llmgym.serve.session import Session

_COOKIE = "llmgym_session"
_CAPTURED = re.compile(r"/ng-rollout/[^/]+(?=/)")  # a prefix of 0.7 that tells which rollout asks


class Endpoint(web.Endpoint):
    """Sends the cookie back with each answer: agents of 0.5 have those of the last answer and no others."""

    def finish(self, request: Request, answer: Response) -> None:
        """Add the cookie."""
        if (session_id := request.path_params["session"]) and "set-cookie" not in answer.headers:
            _set_cookie(answer, session_id)


class Named(Route):
    """The route of all that has the cookie of a session, and of what needs none; its path is what is asked for."""

    def __init__(self, endpoint: Endpoint, without_cookie: Container[str]) -> None:
        """Ask an endpoint, whose requests have `name` and `session` in `path_params`.

        Args:
            endpoint: The endpoint.
            without_cookie: What may be asked for without one.
        """
        super().__init__("/", endpoint, methods=["POST"])
        self._without_cookie = without_cookie

    def matches(self, scope: Any) -> tuple[Match, Any]:
        """Whether a request is such a one."""
        if scope["type"] != "http" or scope["method"] != "POST":
            return Match.NONE, {}
        name, cookie = _CAPTURED.sub("", scope["path"], 1)[1:], _cookie(scope)
        if not cookie and name not in self._without_cookie:
            return Match.NONE, {}
        return Match.FULL, {"endpoint": self.endpoint, "path_params": {"name": name, "session": cookie}}


def _cookie(scope: Any) -> str:
    header = b"; ".join(value for name, value in scope["headers"] if name == b"cookie")
    found = cookie_parser(header.decode("latin-1")).get(_COOKIE, "")
    return found if found.isascii() and found.isprintable() else ""


def with_cookie(data: dict[str, Any], session: Session) -> Response:
    """An answer that begins a session."""
    answer = web.json(data)
    _set_cookie(answer, session.id)
    return answer


def _set_cookie(answer: Response, session_id: str) -> None:
    answer.set_cookie(_COOKIE, session_id, httponly=True, samesite="strict")
