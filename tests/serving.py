"""Servers of environments in threads of this process, reached by real sockets."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

pytest.importorskip("uvicorn")

from llmgym.serve import EnvServer, ServeConfig


@pytest.fixture
def serve() -> Iterator[Callable[..., EnvServer]]:
    """Starts a server of environments; all are ended after the test."""
    running: list[tuple[EnvServer, threading.Thread]] = []

    def start(*env_ids: Any, port: int = 0, **settings: Any) -> EnvServer:
        server = EnvServer(
            msgspec.convert(
                {"env_ids": list(env_ids) or ["llmgym/Calculator-v0"], "port": port, **settings}, ServeConfig
            )
        )
        listening = threading.Event()
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(lambda _: listening.set())))
        thread.start()
        running.append((server, thread))
        assert listening.wait(30)
        return server

    yield start
    for server, _ in running:
        server.stop()
    for _, thread in running:
        thread.join(30)
        assert not thread.is_alive()
