"""Our protocol over a WebSocket, with a client of another library."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable

import pytest

pytest.importorskip("uvicorn")

from websockets.sync.client import connect

from llmgym.serve import EnvServer
from tests.serve.environments import Begun
from tests.serve.test_rest import ENV

Serve = Callable[..., EnvServer]


@pytest.mark.parametrize("size", [1, 100, 1_000, 100_000])
@pytest.mark.parametrize("kind", [str, bytes])
def test_messages_of_any_length_come_as_what_they_were_sent(serve: Serve, size: int, kind: type) -> None:
    with connect(serve().url.replace("http", "ws", 1) + "/v1/ws", max_size=None) as socket:
        prompt = "ä" * size
        asked = json.dumps([1, {"op": "reset", "env": ENV, "task": {"id": "t", "prompt": prompt, "answer": "1"}}])
        socket.send(asked if kind is str else asked.encode())
        answer = socket.recv(timeout=30)
        assert type(answer) is kind
        assert json.loads(answer)[2]["messages"][-1]["content"] == prompt


def test_many_messages_at_once_are_answered_in_their_order(serve: Serve) -> None:
    with connect(serve().url.replace("http", "ws", 1) + "/v1/ws") as socket:
        numbers = list(range(500))
        for number in numbers:
            socket.send(json.dumps([number, {"op": "close", "session": "none"}]))
        assert [json.loads(socket.recv(timeout=30))[0] for _ in numbers] == numbers


def test_a_client_that_leaves_while_its_session_begins_leaves_none(serve: Serve) -> None:
    server = serve("tests.serve.environments:Begun-v0")
    url = server.url.replace("http", "ws", 1) + "/v1/ws"
    with connect(url) as socket, connect(url) as other:
        with Begun.later():
            for number in range(3):
                socket.send(json.dumps([number, {"op": "reset", "env": "Begun-v0", "seed": number}]))
            while len(server.sessions) < 3:
                threading.Event().wait(0.01)
            socket.close()
            while len(server.sessions):
                threading.Event().wait(0.01)
        other.send(json.dumps([1, {"op": "reset", "env": "Begun-v0", "seed": 1}]))
        assert json.loads(other.recv(timeout=30))[1] == 200
