"""A server of environments: its configuration, and the process that it is."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib.util
import socket
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from llmgym.adapters.remote.protocol import EnvInfo, ServerInfo
from llmgym.errors import ConfigError
from llmgym.loading import expect_modules
from llmgym.redaction import redact, redact_text
from llmgym.registry import known
from llmgym.rollout.config import EnvConfig, TaskSettings
from llmgym.rollout.identity import plain_arguments
from llmgym.rollout.instances import Instances
from llmgym.serve import fronts
from llmgym.serve.bodies import JSON, respond
from llmgym.serve.connections import SocketProtocol, bounded
from llmgym.serve.door import Door, Positive
from llmgym.serve.guard import Guard
from llmgym.serve.listening import address, bound, server
from llmgym.serve.metrics import Metrics
from llmgym.serve.openapi import document
from llmgym.serve.readiness import Readiness
from llmgym.serve.rest import routes
from llmgym.serve.session import Answer, Session
from llmgym.serve.sessions import Sessions
from llmgym.serve.socket import Socket


class ServeConfig(Door, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is served.

    Attributes:
        env_ids: Environments, as ids or as `{id, kwargs, wrappers, label}`.
        models: Models in the roles of environments, as in a run.
        front: Whose protocol is spoken at the root, beside ours under /v1.
        ping_s: Seconds between pings of a WebSocket, and until one without an answer is ended; 0 for none.
        workers: Processes that share the work; each has sessions, connections and an address of its own.
        frozen_s: Seconds that one of several processes may stand still before it is killed and started again; 0 for
            any. A step that holds the event loop, or Python's lock, stands still.
    """

    env_ids: list[str | EnvConfig] = []
    models: dict[str, str] = {}
    front: fronts.Front | None = None
    ping_s: Annotated[float, Meta(ge=0)] = 60.0
    workers: Positive = 1
    frozen_s: Annotated[float, Meta(ge=0)] = 120.0

    def __post_init__(self) -> None:
        """Refuse environments of one name."""
        _ = self.environments

    @property
    def environments(self) -> list[EnvConfig]:
        """What is served, each with its name."""
        return TaskSettings(env_ids=self.env_ids).environments


class EnvServer:
    """Serves environments.

    Attributes:
        config: Its configuration.
        sessions: Its sessions.
        metrics: Its figures.
        url: Where it is, once it listens.
        workers: Ports of all processes that share the work, where there are several; the first is this one's.
    """

    def __init__(self, config: ServeConfig) -> None:
        """Make the first instance of each environment.

        Raises:
            ConfigError: An environment cannot be made, or lacks a model; the front cannot serve them; or the server
                would be open to all.
        """
        expect_modules("llmgym serve", "serve", "starlette", "uvicorn", "httptools", "websockets", "prometheus_client")
        config.check()
        self.config, self.metrics, self.url = config, Metrics(), ""
        self.workers: list[int] = []
        if not config.environments:
            raise ConfigError("there is nothing to serve: name an environment, such as llmgym/Calculator-v0")
        fronts.check(config.front, [env.name for env in config.environments], config.workers)
        made: dict[str, Instances] = {}
        try:
            for env in config.environments:
                made[env.name] = Instances(env, models=config.models)
        except BaseException:
            for instances in made.values():
                instances.close()
            raise
        self.sessions = Sessions(made, most=config.sessions, idle_s=config.idle_s, metrics=self.metrics)
        self._readiness = Readiness(self.sessions)
        self._uvicorn: Any = None
        self._tools: Any = None

    async def info(self, scope: Any) -> ServerInfo:
        """What this server is, to a client whose connection has this scope of ASGI."""
        from llmgym import __version__

        found = [
            _info(name, await self.sessions.loaded(name), self.config.models) for name in self.sessions.environments
        ]
        return ServerInfo(
            server=f"llmgym {__version__}",
            environments=found,
            workers=sorted(self.addresses(scope)),
            body_limit=self.config.body_limit,
        )

    def addresses(self, scope: Any) -> list[str]:
        """Where all processes are that share the work, this one first, to a client; nothing where there is one."""
        if not self.workers:
            return []
        host = dict(scope["headers"]).get(b"host", b"localhost").decode("latin-1")
        name, _, port = host.rpartition(":")
        name = name if name and port.isdigit() else host
        scheme = scope["scheme"].replace("ws", "http")
        return [f"{scheme}://{name}:{port}{scope.get('llmgym.prefix', '')}" for port in self.workers]

    def application(self) -> Any:
        """The server as an ASGI application; its lifespan ends idle sessions, and at the end all."""
        from starlette.routing import Route, WebSocketRoute

        from llmgym.serve.routes import Routes

        def fixed(answer: Callable[[], Answer], kind: bytes = JSON) -> Any:
            async def serve(scope: Any, receive: Any, send: Any) -> None:
                await respond(send, *answer(), kind)

            return _ASGI(serve)

        tools = self._tools = self._tool_server()
        app = Routes(
            [
                *fronts.routes(self, self.config.front),  # first: a model's name for a tool may be a path of ours
                *routes(self),
                Route("/health", fixed(lambda: (200, b'{"status":"ok"}'))),
                Route("/ready", fixed(self._readiness.answer)),
                Route(
                    "/metrics",
                    fixed(lambda: (200, self.metrics.page()), b"text/plain; version=0.0.4; charset=utf-8"),
                ),
                Route("/openapi.json", fixed(lambda: (200, document()))),
                WebSocketRoute("/v1/ws", Socket(self)),
                *([] if tools is None else tools.application.routes),
            ],
            lifespan=self._lifespan,
        )
        return Guard(app, self.config.token, local=self.config.local)

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: Any) -> AsyncGenerator[None]:
        beside = [asyncio.create_task(self.sessions.reap()), asyncio.create_task(self._readiness.prove())]
        try:
            async with contextlib.nullcontext() if self._tools is None else self._tools.running():
                yield
        finally:
            for task in beside:
                task.cancel()
            await asyncio.wait(beside)
            await self.sessions.aclose()

    def _tool_server(self) -> Any:
        """The tools of sessions over MCP; None where the extra `mcp` is not installed."""
        if importlib.util.find_spec("mcp") is None:
            return None
        from llmgym.serve.mcp import ToolServer

        return ToolServer(
            lambda session: _Toolbox(self.sessions.find(session)),
            path="/v1/sessions/{session}/mcp",
            body_limit=self.config.body_limit,
        )

    async def serve(self, listening: Any = None, listeners: Sequence[socket.socket] = ()) -> None:
        """Serve until SIGTERM, Ctrl-C or `stop`; then answer what is under way, and end the sessions.

        Args:
            listening: Called with the address once clients can come.
            listeners: Sockets that listen already, the one that is this server's own first.

        Raises:
            ConfigError: The port is taken.
        """
        config = self.config
        config.raise_descriptors()
        self._uvicorn = serving = server(
            self.application(),
            header_s=config.header_s,
            body_s=config.body_s,
            connections=config.connections,
            settle=functools.partial(self.sessions.settle, config.grace_s),
            ws=bounded(SocketProtocol, read_s=config.ping_s),
            ws_max_size=config.body_limit,
            ws_ping_interval=config.ping_s or None,
            ws_ping_timeout=config.ping_s or None,
            ws_per_message_deflate=False,
            limit_concurrency=config.connections,
            timeout_graceful_shutdown=5,
        )
        sockets = listeners or [bound(config.host, config.port)]
        self.url = address(sockets[0])
        if listening is not None:
            listening(self.url)
        await serving.serve(sockets=sockets)

    def stop(self) -> None:
        """End `serve`, from any thread."""
        if self._uvicorn is not None:
            self._uvicorn.should_exit = True


class _Toolbox:
    """The tools of a session."""

    def __init__(self, session: Session) -> None:
        self._session, self.schemas = session, session.tools

    async def call(self, call: Any) -> str:
        found = await self._session.call(call, same=False)
        return "\n".join(message["content"] for message in found.messages)


class _ASGI:
    """An ASGI application of a function: Starlette takes functions for handlers of requests."""

    def __init__(self, serve: Any) -> None:
        self._serve = serve

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._serve(scope, receive, send)


def _info(name: str, instances: Instances, models: Mapping[str, str]) -> EnvInfo:
    source, sample = instances.source, instances.sample
    entry = known(instances.config.id)
    core: Any = sample.unwrapped
    return EnvInfo(
        name=name,
        id=instances.config.env_id,
        summary=entry.summary if entry else "",
        arguments=redact(plain_arguments(instances)),
        wrappers=redact(msgspec.to_builtins(instances.config.wrappers)),
        models={role: redact_text(model) for role, model in models.items() if role in core.roles},
        scope=source.scope,
        splits={split: source.size(split) for split in source.tasks.splits},
        outcomes=source.tasks.outcomes,
        tools=[tool.schema for tool in core.tools.values()],
        max_turns=core.max_turns,
        oracle=core.oracle_kind,
        groups=instances.verifies_groups,
    )
