"""Servers that the tests of NeMo Gym and OpenEnv talk to: in a thread of this process, with what a test says."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import threading
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.adapters.mcp_servers import free_port

FOLDER = Path(__file__).parent
TRANSCRIPTS = FOLDER / "transcripts"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@contextmanager
def serving(handler: Handler, port: int = 0) -> Iterator[str]:
    """A server that answers all there is to ask by a coroutine."""
    loop = asyncio.new_event_loop()
    ready: asyncio.Future[int] = loop.create_future()
    stop = asyncio.Event()

    async def handle(request: web.Request) -> web.StreamResponse:
        return await handler(request)

    async def serve() -> None:
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/{path:.*}", handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", port, reuse_address=True)
        await site.start()
        ready.set_result(runner.addresses[0][1])
        await stop.wait()
        await runner.cleanup()

    def run() -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(serve())
        loop.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    while not ready.done():
        time.sleep(0.005)
    try:
        yield f"http://127.0.0.1:{ready.result()}"
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()


def answer(said: Any, status: int = 200, **headers: str) -> web.Response:
    """JSON, or text as it is."""
    text = said if isinstance(said, str) else json.dumps(said)
    return web.Response(text=text, status=status, content_type="application/json", headers=headers)


class Replayed:
    """A recorded dialogue, of which each part is expected to be said again as it was."""

    def __init__(self, name: str) -> None:
        recorded = json.loads((TRANSCRIPTS / f"{name}.json").read_text())
        self.actions: list[Any] = recorded["actions"]
        self.seen: list[Any] = recorded["seen"]
        self.task: dict[str, Any] | None = recorded["task"]
        self.left: list[dict[str, Any]] = recorded["exchanges"]

    def take(self, path: str, sent: Any) -> dict[str, Any]:
        exchange = self.left.pop(0)
        assert (exchange["path"], exchange["sent"]) == (path, unnamed(sent))
        return exchange

    async def http(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/ws":
            return await self._socket(request)
        body = await request.read()
        exchange = self.take(request.path, json.loads(body) if body else None)
        response = web.Response(text=exchange["answer"], status=exchange["status"], content_type="application/json")
        for name, value in exchange["cookies"].items():
            response.set_cookie(name, value)
        return response

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(self.take("/ws", json.loads(message.data))["answer"])
        return socket


def unnamed(sent: Any) -> Any:
    """What was sent, without the names that are drawn for a session."""
    if not isinstance(sent, dict):
        return sent
    return {name: "..." if name in ("resources_session_id", "episode_id") else value for name, value in sent.items()}


# --- the packages' own servers ------------------------------------------------------------------------


def python_of(name: str) -> Path:
    """The interpreter of an environment that `make install-servers` makes."""
    python = Path(f".venv-{name}/bin/python").absolute()
    if not python.exists():
        pytest.skip(f"needs {python.parent.parent.name}: make install-servers")
    return python


@contextmanager
def started(venv: str, *args: Any) -> Iterator[str]:
    """A package's own server in a process, when it answers; the arguments are those of its script in `servers/`."""
    port = free_port()
    script = FOLDER / "servers" / f"{venv.replace('-', '_')}_server.py"
    command = [python_of(venv), script, args[0], str(port), *args[1:]]
    with answering(port, *command, stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": ""}) as url:
        yield url


@contextmanager
def answering(port: int, *command: Any, **options: Any) -> Iterator[str]:
    """A server in a process, from when it answers; the options are those of `Popen`."""
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, **options)
    try:
        url = f"http://127.0.0.1:{port}"
        for _ in range(900):
            assert process.poll() is None, f"{command} has ended"
            try:
                urllib.request.urlopen(f"{url}/openapi.json", timeout=5).read()
                break
            except OSError:
                time.sleep(0.1)
        else:
            raise TimeoutError(f"{command} does not answer")
        yield url
    finally:
        process.kill()
        process.wait()
