"""Applications behind an address: uvicorn with bounds."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from llmgym.concurrency import calm_collection
from llmgym.errors import ConfigError


def bound(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        ConfigError: The address is taken, or is none of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(4096)
    except OSError as error:
        listener.close()
        raise ConfigError(f"cannot listen at {host}:{port}: {error.strerror}; --port names another") from error
    return listener


@contextlib.contextmanager
def door() -> Generator[socket.socket]:
    """A socket in a folder of this user's, for those who share the file system and no network."""
    with tempfile.TemporaryDirectory(prefix="llmgym-door-") as folder, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{folder}/socket")
        listener.listen(4096)
        yield listener


def run(serving: Coroutine[Any, Any, None]) -> None:
    """Run a server in an event loop of its own, the fastest that there is."""
    try:
        from uvloop import new_event_loop
    except ImportError:  # there is none for Windows
        new_event_loop = None
    with calm_collection(), asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(serving)


def address(listener: socket.socket) -> str:
    """The URL of a socket that listens."""
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def server(
    application: Any,
    *,
    header_s: float = 10.0,
    body_s: float = 30.0,
    connections: int | None = None,
    settle: Callable[[], Awaitable[None]] | None = None,
    **settings: Any,
) -> Any:
    """A server of uvicorn's for an application.

    Args:
        application: An ASGI application.
        header_s: Seconds that a connection has for the headers of a request.
        body_s: Seconds that a body has to arrive, and that a client may leave an answer unread.
        connections: Most connections at once; None for no bound.
        settle: Awaited before connections are ended.
        **settings: Of uvicorn.
    """
    import uvicorn

    from llmgym.serve.connections import HTTPProtocol, bounded

    class Server(uvicorn.Server):
        """Lets what is under way end first."""

        async def shutdown(self, sockets: Any = None) -> None:
            """End."""
            if settle is not None:
                await settle()
            await super().shutdown(sockets)

    http = bounded(HTTPProtocol, header_s=header_s, body_s=body_s, read_s=body_s, most=connections)
    config = uvicorn.Config(
        application, http=http, log_level="warning", access_log=False,
        server_header=False, date_header=False, proxy_headers=False, **settings,
    )  # fmt: skip
    return Server(config)


@asynccontextmanager
async def listening(
    application: Any, host: str, port: int, others: Sequence[socket.socket] = ()
) -> AsyncGenerator[str]:
    """Serve an application in this event loop, which keeps its own signals, at other sockets too; gives the address."""
    serving = server(application, ws="none", lifespan="off", timeout_graceful_shutdown=5)
    serving.capture_signals = contextlib.nullcontext
    with bound(host, port) as listener:
        task = asyncio.create_task(serving.serve(sockets=[listener, *others]))
        try:
            yield address(listener)
        finally:
            serving.should_exit = True
            await task
