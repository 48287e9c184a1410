"""Routes of Starlette without its layers, as endpoints here answer for their own errors."""

from __future__ import annotations

from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Router

from llmgym.serve.session import refused
from llmgym.serve.trouble import ServeError


class Routes(Router):
    """The ASGI application of routes; what none of them takes is refused."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve a request."""
        scope["app"] = self  # has Starlette raise what else it would answer in a form of its own
        try:
            await super().__call__(scope, receive, send)
        except HTTPException as error:
            said = f"there is no {scope['method']} {scope['path']!r:.200} here: GET /openapi.json tells what there is"
            body = refused(ServeError("bad_request", said))[1]
            await Response(body, error.status_code, error.headers, media_type="application/json")(scope, receive, send)
