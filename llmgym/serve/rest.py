"""Our own protocol over HTTP: a route for each request of `llmgym.adapters.remote.protocol`."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec
from starlette.requests import Request as HTTPRequest
from starlette.routing import Route

from llmgym.adapters.remote.protocol import (
    Call,
    Close,
    Closed,
    End,
    Group,
    GroupGraded,
    Opened,
    Oracle,
    Request,
    Reset,
    Said,
    ServerInfo,
    Step,
    Stepped,
    Tasks,
)
from llmgym.serve.bodies import decoded, left, read_body, respond
from llmgym.serve.session import Answer, encode, refused
from llmgym.serve.trouble import ServeError

if TYPE_CHECKING:
    from llmgym.serve.server import EnvServer
    from llmgym.serve.sessions import Sessions

_MOST_TASKS = 1000  # of one answer
_MOST_REQUESTS = 4096  # of one batch
_BATCH = msgspec.json.Decoder(list[Request])


@dataclass(frozen=True, slots=True)
class Operation:
    """A route, as the OpenAPI document tells of it.

    Attributes:
        method: Method of HTTP.
        path: Path, with its parameters in braces.
        summary: What it does.
        takes: Form of the body, if it has one.
        gives: Form of the answer.
        query: Parameters of the query, with their types.
    """

    method: str
    path: str
    summary: str
    takes: Any
    gives: Any
    query: tuple[tuple[str, str], ...] = ()


#: What a session is asked for, by the last part of the path.
_OF_SESSION: Final[dict[str, tuple[Any, Any, str]]] = {
    "step": (Step, Stepped, "Take an assistant message."),  # the first to be looked for, since it comes most often
    "reset": (Reset, Opened, "Begin another episode in a session."),
    "call": (Call, Stepped, "Run one call of a message whose calls come one by one."),
    "end": (End, Stepped, "End the episode at a limit of the client's."),
    "oracle": (Oracle, Said, "Give the next message of a correct solution."),
}

OPERATIONS: Final = (
    Operation("GET", "/v1", "What this server is, and its environments.", None, ServerInfo),
    Operation(
        "GET", "/v1/tasks", "Tasks of a run, or of a stream of episodes.", None, Tasks,
        (("env", "string"), ("split", "string"), ("seed", "integer"), ("start", "integer"), ("count", "integer"),
         ("stream", "boolean")),
    ),
    Operation("GET", "/v1/task", "The task with an id.", None, Tasks, (("env", "string"), ("id", "string"))),
    Operation("POST", "/v1/sessions", "Begin a session, and its first episode.", Reset, Opened),
    *(
        Operation("POST", f"/v1/sessions/{{session}}/{name}", summary, takes, gives)
        for name, (takes, gives, summary) in _OF_SESSION.items()
    ),
    Operation("DELETE", "/v1/sessions/{session}", "End a session.", None, Closed),
    Operation("POST", "/v1/group", "Score the repeats of a task beside each other.", Group, GroupGraded),
    Operation("POST", "/v1/batch", "Do several requests at once; answers come in their order.", list[Request], list),
)  # fmt: skip


def routes(server: EnvServer) -> list[Route]:
    """The routes of the protocol."""
    sessions = server.sessions
    read = functools.partial(read_body, limit=server.config.body_limit)

    def posted(form: Any) -> Callable[..., Awaitable[Answer]]:
        decoder = msgspec.json.Decoder(form)

        async def serve(scope: Any, receive: Any) -> Answer:
            request = decoded(decoder, await read(receive) or b"{}")
            if session := scope["path_params"].get("session"):
                msgspec.structs.force_setattr(request, "session", session)
                return await sessions.take(request)
            return await _waited_for(sessions, request, server.addresses(scope)[:1], receive)

        return serve

    async def batch(scope: Any, receive: Any) -> Answer:
        requests = decoded(_BATCH, await read(receive))
        if len(requests) > _MOST_REQUESTS:
            raise ServeError("bad_request", f"a batch has at most {_MOST_REQUESTS} requests, not {len(requests)}")
        at = server.addresses(scope)[:1]
        answers = await asyncio.gather(*(sessions.take(request, *at) for request in requests))
        return 200, b"[" + b",".join(b'{"status":%d,"body":%b}' % answer for answer in answers) + b"]"

    async def close(scope: Any, receive: Any) -> Answer:
        return await sessions.take(Close(session=scope["path_params"]["session"]))

    async def info(scope: Any, receive: Any) -> Answer:
        return 200, encode(await server.info(scope))

    async def tasks(scope: Any, receive: Any) -> Answer:
        asked = _Query(scope)
        source = await sessions.source(asked.text("env"))
        split, seed, start = asked.text("split", "train"), asked.number("seed", 0), asked.number("start", 0)
        count = min(asked.number("count", 1), _MOST_TASKS)
        if asked.flag("stream"):
            take = functools.partial(source.tasks.draw, split, seed, scope=source.scope)
        else:
            take = functools.partial(source.plan, split, seed)
        found = await asyncio.to_thread(lambda: [take(place) for place in range(start, start + count)])
        return 200, encode(Tasks(tasks=found))

    async def task(scope: Any, receive: Any) -> Answer:
        asked = _Query(scope)
        source = await sessions.source(asked.text("env"))
        return 200, encode(Tasks(tasks=[await asyncio.to_thread(source.tasks.get, asked.text("id"))]))

    return [
        *(
            Route(f"/v1/sessions/{{session}}/{name}", _Endpoint(posted(form)), methods=["POST"])
            for name, (form, _, _) in _OF_SESSION.items()
        ),
        Route("/v1", _Endpoint(info), methods=["GET"]),
        Route("/v1/tasks", _Endpoint(tasks), methods=["GET"]),
        Route("/v1/task", _Endpoint(task), methods=["GET"]),
        Route("/v1/sessions", _Endpoint(posted(Reset)), methods=["POST"]),
        Route("/v1/sessions/{session}", _Endpoint(close), methods=["DELETE"]),
        Route("/v1/group", _Endpoint(posted(Group)), methods=["POST"]),
        Route("/v1/batch", _Endpoint(batch), methods=["POST"]),
    ]


async def _waited_for(sessions: Sessions, request: Request, at: list[str], receive: Any) -> Answer:
    """Do what asks for no session, as long as its client waits: nobody else knows of a session that begins."""
    if sessions.is_instant(request):
        return await sessions.take(request, *at)
    work, gone = asyncio.ensure_future(sessions.take(request, *at)), asyncio.ensure_future(left(receive))
    try:
        await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            return work.result()
        work.cancel()
        await asyncio.wait({work})
        raise ServeError("too_slow", "the client left before this was done")
    finally:
        work.cancel()  # where this is cancelled itself
        gone.cancel()


class _Endpoint:
    """An ASGI application of a function: what it raises is an answer."""

    def __init__(self, serve: Callable[[Any, Any], Awaitable[Answer]]) -> None:
        self._serve = serve

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            status, body = await self._serve(scope, receive)
        except Exception as error:  # noqa: BLE001 -- a defect of ours is told, and logged
            status, body = refused(error)
        await respond(send, status, body, close=status == 413)


class _Query:
    """Parameters of a query."""

    def __init__(self, scope: Any) -> None:
        self._given = HTTPRequest(scope).query_params

    def text(self, name: str, otherwise: str | None = None) -> str:
        value = self._given.get(name, otherwise)
        if value is None:
            raise ServeError("bad_request", f"the query lacks {name!r}")
        return value

    def number(self, name: str, otherwise: int) -> int:
        value = self._given.get(name, str(otherwise))
        if not value.isdecimal() or len(value) > 40:
            raise ServeError("bad_request", f"{name} is a whole number, not {value!r:.100}")
        return int(value)

    def flag(self, name: str) -> bool:
        value = self._given.get(name, "false")
        if value not in ("true", "false"):
            raise ServeError("bad_request", f"{name} is true or false, not {value!r:.100}")
        return value == "true"
