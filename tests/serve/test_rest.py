"""Our protocol over HTTP, spoken by hand."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

from llmgym.serve import EnvServer

Serve = Callable[..., EnvServer]
ENV = "llmgym/Calculator-v0"
CALL = {
    "role": "assistant",
    "content": "",
    "tool_calls": [{"type": "function", "function": {"name": "add", "arguments": '{"a": 1, "b": 2}'}}],
}


def ask(server: EnvServer, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    """Send a request, and give status and body of the answer."""
    connection = http.client.HTTPConnection(server.url.partition("//")[2], timeout=30)
    try:
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        connection.request(method, path, data, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        said = answer.read()
        return answer.status, json.loads(said) if answer.headers["content-type"] == "application/json" else said
    finally:
        connection.close()


def begin(server: EnvServer, **asked: Any) -> dict[str, Any]:
    status, opened = ask(server, "POST", "/v1/sessions", {"env": ENV, "seed": 3, **asked})
    assert status == 200
    return opened


def test_an_episode_is_played_to_its_reward(serve: Serve) -> None:
    server = serve()
    opened = begin(server)
    assert [message["role"] for message in opened["messages"]] == ["system", "user"]
    assert {tool["function"]["name"] for tool in opened["tools"]} == {"add", "subtract", "multiply", "divide"}
    path = f"/v1/sessions/{opened['session']}"
    while True:
        _, said = ask(server, "POST", f"{path}/oracle", {})
        status, found = ask(server, "POST", f"{path}/step", {"action": said["message"]})
        assert status == 200
        if found["terminated"]:
            break
    assert found["reward"] == 1.0
    assert found["report"]["metrics"]["answered"] == 1.0
    assert ask(server, "POST", f"{path}/step", {"action": "more"})[1]["error"]["wrong"] == "ended"
    assert ask(server, "DELETE", path) == (200, {})
    assert ask(server, "POST", f"{path}/reset", {})[1]["error"]["wrong"] == "unknown_session"


def test_the_last_turn_may_be_sent_again_and_no_other(serve: Serve) -> None:
    server = serve()
    path = f"/v1/sessions/{begin(server)['session']}"
    step = {"turn": 1, "action": CALL}
    first = ask(server, "POST", f"{path}/step", step)
    assert ask(server, "POST", f"{path}/step", step) == first
    for turn in (0, 3):
        status, told = ask(server, "POST", f"{path}/step", {"turn": turn, "action": CALL})
        assert (status, told["error"]["wrong"]) == (409, "conflict")
    assert ask(server, "POST", f"{path}/step", {"turn": 1, "action": "another"})[0] == 409
    status, found = ask(server, "POST", f"{path}/end", {"turn": 2})
    assert (status, found["truncated"], found["report"]["metrics"]["tool_calls"]) == (200, True, 1.0)


def test_equal_requests_at_once_are_done_once(serve: Serve) -> None:
    server = serve("tests.serve.environments:Slow-v0")
    path = f"/v1/sessions/{begin(server, env='Slow-v0')['session']}"
    answers: list[Any] = []
    asking = [
        threading.Thread(target=lambda: answers.append(ask(server, "POST", f"{path}/step", {"turn": 1, "action": "x"})))
        for _ in range(4)
    ]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()
    assert answers[0][0] == 200
    assert answers.count(answers[0]) == 4
    assert answers[0][1]["report"]["metrics"]["answers"] == 1.0


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/sessions", b"{", 400),
        ("/v1/sessions", b"[" * 100_000, 400),
        ("/v1/sessions", b'{"env": "\xff"}', 400),
        ("/v1/sessions", {"env": 3}, 400),
        ("/v1/sessions", {"env": "llmgym/None-v0"}, 400),
        ("/v1/sessions", {"env": ENV, "task_id": "none"}, 400),
        ("/v1/sessions", {"env": ENV, "split": "none"}, 400),
        ("/v1/sessions", {"env": ENV, "index": -1}, 400),
        ("/v1/sessions", {"env": ENV, "options": {"level": 3}}, 400),
        ("/v1/sessions", {"env": ENV, "kwargs": {"max_turns": 3}}, 400),
        ("/v1/sessions/none/step", {"action": "x"}, 404),
        ("/v1/sessions/../step", {"action": "x"}, 404),
        ("/v1/batch", {"op": "reset"}, 400),
        ("/v1/none", {}, 404),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_reason(serve: Serve, path: str, body: Any, status: int) -> None:
    server = serve()
    found, told = ask(server, "POST", path, body)
    assert found == status, told
    assert told["error"]["message"]
    assert len(server.sessions) == 0


@pytest.mark.parametrize("action", [None, 3, [], {}, {"role": "user", "content": "x"}])
def test_an_action_that_is_none_leaves_the_episode_as_it_is(serve: Serve, action: Any) -> None:
    server = serve()
    path = f"/v1/sessions/{begin(server)['session']}"
    assert ask(server, "POST", f"{path}/step", {"action": action})[0] == 400
    assert ask(server, "POST", f"{path}/step", {"action": CALL})[0] == 200


def test_a_batch_is_answered_in_its_order(serve: Serve) -> None:
    server = serve()
    sessions = [begin(server)["session"] for _ in range(3)]
    asked = [{"op": "step", "session": session, "action": CALL} for session in (*sessions, "none")]
    status, answers = ask(server, "POST", "/v1/batch", asked)
    assert (status, [answer["status"] for answer in answers]) == (200, [200, 200, 200, 404])
    assert answers[0]["body"]["messages"][0]["content"] == "3"


def test_a_failure_of_the_environment_is_no_reward(serve: Serve) -> None:
    server = serve("tests.serve.environments:Broken-v0")
    path = f"/v1/sessions/{begin(server, env='Broken-v0')['session']}"
    status, told = ask(server, "POST", f"{path}/step", {"action": "x"})
    assert (status, told["error"]["wrong"], told["error"]["stage"]) == (500, "environment", "verify")
    assert told["error"]["kind"] == "environment"


def test_a_token_is_asked_for(serve: Serve) -> None:
    server = serve(token="s3cret")
    assert ask(server, "GET", "/v1")[0] == 401
    assert ask(server, "GET", "/v1", Authorization="Bearer wrong")[0] == 401
    assert ask(server, "GET", "/t/wrong/v1")[0] == 401
    assert ask(server, "GET", "/v1", Authorization="Bearer s3cret")[0] == 200
    assert ask(server, "GET", "/v1", X_API_Key="s3cret")[0] == 200
    assert ask(server, "GET", "/t/s3cret/v1")[0] == 200
    assert ask(server, "GET", "/health")[0] == 200


def test_a_name_that_is_not_this_machines_is_turned_away(serve: Serve) -> None:
    server = serve()
    assert ask(server, "GET", "/v1", Host="evil.example")[0] == 401
    assert ask(server, "GET", "/v1", Host="localhost:1")[0] == 200


def test_a_body_is_bounded_in_size_whatever_its_header_says(serve: Serve) -> None:
    server = serve(body_limit=1000)
    assert ask(server, "POST", "/v1/sessions", b" " * 1001)[0] == 413
    host, _, port = server.url.partition("//")[2].rpartition(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(b"POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        connection.sendall(b"200\r\n" + b" " * 0x200 + b"\r\n" + b"200\r\n" + b" " * 0x200 + b"\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"POST /v1/sessions HTTP/1.1\r\nHost: loc",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{",
    ],
)
def test_a_request_that_stops_half_way_is_ended(serve: Serve, sent: bytes) -> None:
    server = serve(header_s=0.5, body_s=0.5)
    host, _, port = server.url.partition("//")[2].rpartition(":")
    path = b"/v1/sessions"
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(sent.replace(b"POST / ", b"POST " + path + b" "))
        rest = connection.recv(100)
        assert not rest or rest.startswith(b"HTTP/1.1 408")
        while rest:
            rest = connection.recv(1000)  # ends, and does not time out


def test_there_is_room_for_so_many_sessions(serve: Serve) -> None:
    server = serve(sessions=2)
    first = begin(server)
    begin(server)
    status, told = ask(server, "POST", "/v1/sessions", {"env": ENV})
    assert (status, told["error"]["wrong"]) == (503, "overloaded")
    ask(server, "DELETE", f"/v1/sessions/{first['session']}")
    begin(server)


def test_a_session_that_is_asked_for_nothing_is_ended(serve: Serve) -> None:
    server = serve(idle_s=0.2)
    session = begin(server)["session"]
    ended = threading.Event()
    while len(server.sessions):
        ended.wait(0.05)
    status, told = ask(server, "POST", f"/v1/sessions/{session}/step", {"action": "x"})
    assert (status, told["error"]["wrong"]) == (404, "unknown_session")


def test_figures_are_counted(serve: Serve) -> None:
    server = serve()
    path = f"/v1/sessions/{begin(server)['session']}"
    ask(server, "POST", f"{path}/step", {"action": "x"})
    page = ask(server, "GET", "/metrics")[1].decode()
    assert 'llmgym_episodes_total{env="llmgym/Calculator-v0"} 1.0' in page
    assert 'llmgym_step_seconds_count{env="llmgym/Calculator-v0"} 1.0' in page
    assert "llmgym_sessions 1.0" in page
