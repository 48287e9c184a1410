"""A server of the Open Reward Standard, as the `openreward` package asks: sessions of calls over HTTP and SSE.

Its client drops the path of a URL, so this front has to be at the root of a host and port; its secret is `X-API-Key`.
A message without calls goes to a tool of ours: the terminal one, which a model is not shown, where such a message ends
an episode. The result of a call that is under way, or was, can be asked for again by its `task_id`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from llmgym.adapters.remote.protocol import STATUS, Opened, Reset, Wrong
from llmgym.messages import Message, ToolSchema, tool_call
from llmgym.serve.fronts import web
from llmgym.serve.fronts.acting import SAY, SAY_SCHEMA, replies, says, text_of, tool_of
from llmgym.serve.fronts.sse import Results, event, stream
from llmgym.serve.fronts.tasks import TaskAPI
from llmgym.serve.session import Session, encode
from llmgym.serve.trouble import ServeError, error_of

if TYPE_CHECKING:
    from llmgym.serve.server import EnvServer

_STATUS: Final[dict[Wrong, int]] = {**STATUS, "unknown_session": 410}  # "gone", which its client tells apart


def routes(server: EnvServer) -> Sequence[Any]:
    """The routes of the front."""
    front = ORS(server)

    at_root: dict[str, tuple[str, web.Handler]] = {
        "list_environments": ("GET", front.tasks.environments),
        "version": ("GET", front.version),
        "create_session": ("POST", front.create_session),
        "create": ("POST", front.create),
        "ping": ("POST", front.ping),
        "delete": ("POST", front.delete),
        "delete_session": ("POST", front.delete),
    }
    below: dict[str, tuple[str, web.Handler]] = {
        "prompt": ("GET", front.prompt),
        "messages": ("GET", front.messages),
        "tools": ("GET", front.tools),
        "task_tools": ("GET", front.task_tools),
        "call": ("POST", front.call),
        **front.tasks.handlers,
    }
    paths = {**at_root, **below, **{f"{{env:path}}/{path}": found for path, found in below.items()}}
    return [
        Route(f"/{path}", web.Endpoint(server, serve, _STATUS), methods=[method])
        for path, (method, serve) in paths.items()
    ]


class _Play(NamedTuple):
    """What is kept beside a session: how its episode began, and what its calls gave."""

    opened: Opened
    results: Results


class ORS:
    """The front.

    Attributes:
        tasks: Its Task API.
    """

    def __init__(self, server: EnvServer) -> None:
        """Serve the environments of a server."""
        self._sessions, self.tasks = server.sessions, TaskAPI(server)
        self._named: OrderedDict[str, None] = OrderedDict()  # names that no session has yet
        self._most = server.config.sessions

    async def version(self, request: Request, _: Any) -> Any:
        """Say what this is."""
        from llmgym import __version__

        return {"version": f"llmgym {__version__}", "build_sha": None}

    async def create_session(self, request: Request, _: Any) -> Response:
        """Give the name of a session to come."""
        session_id = self._sessions.new_id()
        self._named[session_id] = None
        if len(self._named) > self._most:
            self._named.popitem(last=False)

        async def events() -> AsyncIterator[bytes]:
            yield event("task_id", session_id) + event("end", "")

        return stream(events())

    async def create(self, request: Request, body: dict[str, Any]) -> Any:
        """Begin the episode of a session, of a task as the Task API gave it, or of a split and an index."""
        session_id = _session_id(request)
        if session_id not in self._named:
            raise ServeError("bad_request", "POST /create_session names a session, which /create begins once")
        name = self.tasks.name(request, web.field(body, "env_name", str, None))
        spec = web.field(body, "task_spec", dict, body)
        task_id = web.field(spec, "task_id", str, None)
        if task_id is None:
            task_id = (await self.tasks.take(name, web.field(spec, "split", str), web.field(spec, "index", int))).id
        if body.get("toolset_name") is not None:
            raise ServeError("bad_request", "there are no toolsets here")
        del self._named[session_id]
        session, opened = await self._sessions.begin(Reset(env=name, task_id=task_id), session_id)
        session.notes = _Play(opened, Results())
        return {"sid": session.id}

    async def ping(self, request: Request, _: Any) -> Any:
        """Keep a session."""
        self._session(request)
        return {"status": "ok"}

    async def delete(self, request: Request, _: Any) -> Any:
        """End a session, if there is one."""
        session_id = _session_id(request)
        if self._named.pop(session_id, session_id) is not None:
            await self._sessions.close(session_id)
        return {"sid": session_id}

    async def prompt(self, request: Request, _: Any) -> Any:
        """The opening messages as one text."""
        opened = self._session(request).notes.opened
        return _blocks("\n\n".join(message["content"] for message in opened.messages))

    async def messages(self, request: Request, _: Any) -> Any:
        """The opening messages."""
        return [_message(message) for message in self._session(request).notes.opened.messages]

    async def tools(self, request: Request, _: Any) -> Any:
        """The tools of an environment."""
        name = self.tasks.name(request)
        core: Any = self._sessions.instances(name).sample.unwrapped
        return self._listed(name, [tool.schema for tool in core.tools.values()])

    async def task_tools(self, request: Request, _: Any) -> Any:
        """The tools of an episode."""
        session = self._session(request)
        return self._listed(session.name, session.tools)

    async def call(self, request: Request, body: dict[str, Any]) -> Response:
        """Call a tool, or give the result of a call again."""
        session = self._session(request)
        play: _Play = session.notes
        task_id = web.field(body, "task_id", str, None)
        if task_id is None:
            name, arguments = web.field(body, "name", str), web.field(body, "input", dict, {})
            task_id = play.results.add(self._call(session, name, arguments))
        return stream(play.results.events(task_id))

    async def _call(self, session: Session, name: str, arguments: dict[str, Any]) -> str:
        said = says(session, name, arguments)
        call = tool_call(name, encode(arguments).decode())
        work = session.call(call, same=False) if said is None else session.step(said)
        try:
            found = await self._sessions.use(session, work)
        except Exception as error:
            if error_of(error).wrong != "ended":
                raise
            return encode({"ok": False, "error": "the episode is over", "reason": "episode_finished"}).decode()
        metadata = {**found.info, "terminated": found.terminated, "truncated": found.truncated}
        over = found.terminated or found.truncated
        output = {"blocks": _blocks(text_of(found)), "metadata": metadata, "reward": found.reward, "finished": over}
        return encode({"ok": True, "output": output}).decode()

    # --- within -----------------------------------------------------------------------------------

    def _session(self, request: Request) -> Session:
        session = self._sessions.find(_session_id(request))
        if session.closed:
            raise ServeError("unknown_session", f"the session {session.id!r} has ended")
        return session

    def _listed(self, name: str, tools: Sequence[ToolSchema]) -> dict[str, Any]:
        says_more = replies(self._sessions.instances(name).sample.unwrapped)
        shown = list(map(tool_of, (*tools, SAY_SCHEMA) if says_more else tools))
        last = {"name": SAY, "arg": "message", "description": SAY_SCHEMA["function"].get("description", "")}
        return {"tools": shown, "terminal_tool": None if says_more else last, "supports_score_group": False}


def _session_id(request: Request) -> str:
    return request.headers.get("x-session-id", "").strip()


def _blocks(text: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": text}] if text else []


def _message(message: Message) -> dict[str, Any]:
    role = message["role"] if message["role"] in ("system", "assistant") else "user"
    return {"role": role, "blocks": _blocks(message["content"])}
