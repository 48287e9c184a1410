"""An OpenEnv server: a session for each WebSocket at `/ws`, the Task API, and `/mcp` as `MCPToolClient` asks.

An action is a call of a tool, `{"type": "call_tool", "tool_name": ..., "arguments": ...}`, or an assistant message,
`{"message": ...}` as text or in OpenAI's chat format. A reward of null leaves the episode unscored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec
from starlette.requests import Request
from starlette.routing import Route, WebSocketRoute

from llmgym.adapters.remote.protocol import Reset, Stepped
from llmgym.messages import ToolSchema, assistant, tool_call
from llmgym.registry import known
from llmgym.serve.fronts import web
from llmgym.serve.fronts.acting import SAY_SCHEMA, says, text_of, tool_of
from llmgym.serve.fronts.openenv_socket import Socket
from llmgym.serve.fronts.tasks import TaskAPI
from llmgym.serve.session import Session, encode
from llmgym.serve.trouble import ServeError, error_of

if TYPE_CHECKING:
    from llmgym.serve.server import EnvServer

_OBJECT: Final = {"type": "object"}


def routes(server: EnvServer) -> Sequence[Any]:
    """The routes of the front."""
    front = OpenEnv(server)

    def route(path: str, serve: web.Handler, method: str = "GET") -> Route:
        return Route(path, web.Endpoint(server, serve), methods=[method])

    return [
        WebSocketRoute("/ws", Socket(front)),
        route("/mcp", front.mcp, "POST"),
        route("/health", front.health),
        route("/metadata", front.metadata),
        route("/schema", front.schema),
        route("/list_environments", front.tasks.environments),
        *(route(f"/{{env:path}}/{path}", serve, method) for path, (method, serve) in front.tasks.handlers.items()),
    ]


@dataclass(slots=True)
class _State:
    """What `state` tells of a session."""

    episode_id: str | None = None
    step_count: int = 0


class OpenEnv:
    """The front.

    Attributes:
        sessions: The sessions of its server.
        tasks: Its Task API.
    """

    def __init__(self, server: EnvServer) -> None:
        """Serve the one environment of a server."""
        self.sessions = server.sessions
        (self._name,) = server.sessions.environments
        self._instances = server.sessions.instances(self._name)
        self.tasks = TaskAPI(server)

    async def health(self, request: Request, _: Any) -> Any:
        """Say that it runs."""
        return {"status": "healthy"}

    async def metadata(self, request: Request, _: Any) -> Any:
        """Say what is served."""
        entry = known(self._instances.config.id)
        return {"name": self._name, "description": entry.summary if entry else "", "version": None}

    async def schema(self, request: Request, _: Any) -> Any:
        """Say how to act: by a message alone where there are no tools."""
        message = {"description": "Text, or an assistant message in OpenAI's chat format.", "type": "string"}
        if not self._tools(None)[:-1]:
            action = {"title": "Message", **_OBJECT, "properties": {"message": message}, "required": ["message"]}
        else:
            kinds = {"type": "string", "enum": ["call_tool", "list_tools"]}
            fields = {"type": kinds, "tool_name": {"type": "string"}, "arguments": _OBJECT, "message": message}
            action = {"title": "Action", **_OBJECT, "properties": fields}
        return {"action": action, "observation": _OBJECT, "state": _OBJECT}

    async def mcp(self, request: Request, body: dict[str, Any]) -> Any:
        """Answer a request in JSON-RPC."""
        try:
            result = await self._rpc(body.get("method"), web.field(body, "params", dict, {}))
            return {"jsonrpc": "2.0", "id": body.get("id"), "result": result}
        except Exception as error:  # noqa: BLE001 -- a defect of ours is told, and logged
            told = error_of(error)
            code = -32602 if told.wrong == "bad_request" else -32603
            return {"jsonrpc": "2.0", "id": body.get("id"), "error": {"code": code, "message": told.message}}

    async def _rpc(self, method: Any, params: dict[str, Any]) -> Any:
        if method == "openenv/session/create":
            return {"session_id": (await self.open()).id}
        session_id = web.field(params, "session_id", str, None)
        session = None if session_id is None else self.sessions.find(session_id)
        if method == "tools/list":
            return {"tools": self._tools(session)}
        if session is None:
            raise ServeError("bad_request", "openenv/session/create gives a session_id, which other requests name")
        if method == "openenv/session/close":
            return await self.sessions.close(session.id)
        if method != "tools/call":
            raise ServeError("bad_request", f"there is no method {method!r:.100} here")
        action = {"type": "call_tool", "tool_name": params.get("name"), "arguments": params.get("arguments")}
        found = await self.step(session, action)
        text = found["observation"]["result"]
        return {**found, "content": [{"type": "text", "text": text}], "data": text}

    # --- what a session is asked for --------------------------------------------------------------

    async def open(self) -> Session:
        """Begin a session; raises as `Sessions.open` does."""
        session = await self.sessions.open(self._name)
        session.notes = _State()
        return session

    async def reset(self, session: Session, data: dict[str, Any]) -> Any:
        """Begin an episode: of a `task_id`, of an `index` in a `split`, or of one that the `seed` draws."""
        given = {name: data[name] for name in ("seed", "split", "index", "task_id") if data.get(name) is not None}
        reset = msgspec.convert(given, Reset)
        if reset.task_id is None and reset.index is not None:
            task = await self.tasks.take(self._name, reset.split, reset.index)
            reset = msgspec.structs.replace(reset, task_id=task.id)
        opened = await self.sessions.use(session, session.reset(reset))
        session.notes.episode_id, session.notes.step_count = web.field(data, "episode_id", str, None), 0
        return _observation({"messages": opened.messages}, None, False, {"task_id": opened.task_id})

    async def step(self, session: Session, action: dict[str, Any]) -> Any:
        """Act."""
        if action.get("type") == "list_tools":
            return _observation({"tools": self._tools(session)}, None, False, {})
        if "message" in action:
            found = await self._step(session, action["message"])
            return _stepped({"messages": found.messages}, found)
        if "tool_name" not in action:
            raise ServeError("bad_request", f"an action has tool_name and arguments, or message; not {action!r:.200}")
        name, arguments = web.field(action, "tool_name", str), web.field(action, "arguments", dict, {})
        said = says(session, name, arguments)
        call = assistant("", tool_call(name, encode(arguments).decode()))
        found = await self._step(session, call if said is None else said)
        return _stepped({"tool_name": name, "result": text_of(found), "error": None}, found)

    async def _step(self, session: Session, message: Any) -> Stepped:
        found = await self.sessions.use(session, session.step(message))
        session.notes.step_count += 1
        return found

    def _tools(self, session: Session | None) -> list[dict[str, Any]]:
        core: Any = self._instances.sample.unwrapped
        tools: list[ToolSchema] = (session and session.tools) or [tool.schema for tool in core.tools.values()]
        return list(map(tool_of, (*tools, SAY_SCHEMA)))


def _stepped(observation: dict[str, Any], found: Stepped) -> dict[str, Any]:
    ends = {"terminated": found.terminated, "truncated": found.truncated}
    return _observation(observation, found.reward, found.terminated or found.truncated, {**found.info, **ends})


def _observation(said: dict[str, Any], reward: float | None, done: bool, metadata: dict[str, Any]) -> dict[str, Any]:
    return {"observation": {**said, "metadata": metadata}, "reward": reward, "done": done, "metadata": metadata}
