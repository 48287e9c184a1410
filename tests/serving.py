"""Servers of environments in threads of this process, reached by real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

pytest.importorskip("uvicorn")

from llmgym.serve import EnvServer, ServeConfig
from tests.command import ROOT, environ


@contextlib.contextmanager
def served(*env_ids: Any, port: int = 0, **settings: Any) -> Generator[EnvServer]:
    """A server in a thread, once it listens."""
    server = EnvServer(
        msgspec.convert({"env_ids": list(env_ids) or ["llmgym/Calculator-v0"], "port": port, **settings}, ServeConfig)
    )
    listening = threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(lambda _: listening.set())))
    thread.start()
    assert listening.wait(30)
    try:
        yield server
    finally:
        server.stop()
        thread.join(30)
        assert not thread.is_alive()


@pytest.fixture
def serve() -> Iterator[Callable[..., EnvServer]]:
    """Starts servers of environments; all are ended after the test."""
    with contextlib.ExitStack() as stack:
        yield lambda *env_ids, **settings: stack.enter_context(served(*env_ids, **settings))


class Process:
    """`llmgym serve env` in a process of its own.

    Attributes:
        pid: Its id.
        url: Its address.
    """

    def __init__(self, folder: Path, *env_ids: str, token: str | None = None, **settings: Any) -> None:
        """Start it, and wait until it listens."""
        flags = [f"--set={name}={json.dumps(value)}" for name, value in {"port": 0, **settings}.items()]
        command = [sys.executable, "-m", "llmgym", "serve", "env", *env_ids, *flags]
        known = {} if token is None else {"LLMGYM_TOKEN": token}
        command += ["--no-token"] if token is None else []
        self.said = folder / "said"
        with self.said.open("w") as said:
            self._process = subprocess.Popen(
                command, env=environ(**known), cwd=ROOT, stdout=subprocess.PIPE, stderr=said, text=True,
                start_new_session=True,
            )  # fmt: skip
        assert self._process.stdout is not None
        self.pid, line = self._process.pid, self._process.stdout.readline()
        found = re.match(r"http://[^ ]+", line)
        assert found, self.said.read_text()
        self.url = found[0]

    @property
    def workers(self) -> list[int]:
        """Ids of the processes that it has started and that live."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        states = [Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] for child in children]
        return [int(child) for child, state in zip(children, states, strict=True) if state != "Z"]

    def ask(self, method: str, path: str, body: Any = None, url: str = "") -> tuple[int, Any]:
        """Send a request, here or to another address; gives the status, and the answer read as JSON."""
        at = (url or self.url).partition("//")[2]
        connection = http.client.HTTPConnection(at, timeout=60)
        try:
            connection.request(method, path, body=None if body is None else json.dumps(body))
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def end(self) -> int:
        """Have it end; gives its status."""
        self._process.terminate()
        return self.wait()

    def kill(self) -> None:
        """Kill it."""
        self._process.kill()
        self.wait()

    def wait(self) -> int:
        """Wait for its end; gives its status."""
        assert self._process.stdout is not None
        self._process.stdout.close()
        return self._process.wait(60)


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Starts servers in processes of their own; all are ended after the test."""
    running: list[Process] = []

    def start(*env_ids: str, **settings: Any) -> Process:
        running.append(Process(tmp_path, *(env_ids or ["llmgym/Calculator-v0"]), **settings))
        return running[-1]

    yield start
    for each in running:
        each.kill()
