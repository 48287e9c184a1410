"""Clients that are slow, half-open, flooding or lying: they are refused within bounds, and leave nothing behind."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from urllib.parse import quote

import gymnasium
import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("aiohttp")

from llmgym.messages import assistant, tool_call
from llmgym.serve import EnvServer
from tests.serve.environments import Begun
from tests.serve.test_rest import ask, begin
from tests.serving import served

ENV = "llmgym/Calculator-v0"
CALL = assistant("", tool_call("add", a=1, b=2))
HEAD = b"POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\n"
OPEN = b"GET /v1/ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" + (
    b"Sec-WebSocket-Key: " + base64.b64encode(bytes(16)) + b"\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


@pytest.fixture(scope="module")
def bounded() -> Iterator[EnvServer]:
    """A server with small bounds."""
    with served(ENV, header_s=0.5, body_s=0.5, ping_s=0.5, body_limit=100_000, connections=40) as made:
        yield made


@pytest.fixture
def server(bounded: EnvServer) -> Iterator[EnvServer]:
    """The same, which does its work after each test, and has as much open as before."""
    play(bounded)
    before = open_files()
    yield bounded
    play(bounded)
    assert len(bounded.sessions) == 0
    while open_files() > before:  # the test's timeout bounds it
        time.sleep(0.05)


def play(server: EnvServer) -> None:
    """An episode."""
    path = f"/v1/sessions/{begin(server)['session']}"
    assert ask(server, "POST", f"{path}/step", {"action": CALL})[0] == 200
    assert ask(server, "POST", f"{path}/step", {"action": "3"})[1]["terminated"] is True
    assert ask(server, "DELETE", path)[0] == 200


def open_files() -> int:
    """How many this process has."""
    return len(os.listdir("/proc/self/fd"))


def connected(server: EnvServer) -> socket.socket:
    """A connection."""
    host, _, port = server.url.partition("//")[2].rpartition(":")
    return socket.create_connection((host, int(port)), timeout=30)


def rest(connection: socket.socket) -> bytes:
    """All that comes until the connection is ended."""
    found = b""
    with contextlib.suppress(ConnectionResetError):
        while data := connection.recv(1 << 16):
            found += data
    return found


def masked(text: bytes, opcode: int = 0x81) -> bytes:
    """A frame of a WebSocket, with a mask that changes nothing."""
    size = len(text)
    head = bytes([opcode, 0x80 | size]) if size < 126 else bytes([opcode, 0xFF]) + struct.pack("!Q", size)
    return head + bytes(4) + text


# --- slow and half-open ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sent",
    [
        HEAD + b"X: " + b"y" * 200,
        HEAD + b"Content-Length: 200\r\n\r\n" + b" " * 150,
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * 40,
        OPEN[:-2] + b"X: " + b"y" * 200,
    ],
)
def test_a_drop_at_a_time_is_too_slow(server: EnvServer, sent: bytes) -> None:
    with connected(server) as connection:
        connection.sendall(sent[:-100])
        with contextlib.suppress(OSError):
            for place in range(len(sent) - 100, len(sent)):
                connection.sendall(sent[place : place + 1])
                time.sleep(0.02)
            pytest.fail("the connection lived to the end of the request")
        found = rest(connection)
        assert not found or found.startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize("path", ["/v1/sessions", "/v1/sessions/none/mcp", "/none"])
def test_a_body_that_stops_half_way_is_refused_wherever_it_goes(server: EnvServer, path: str) -> None:
    with connected(server) as connection:
        connection.sendall(f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{{".encode())
        assert rest(connection).startswith((b"HTTP/1.1 408", b"HTTP/1.1 404"))


def test_a_request_behind_another_has_its_own_time(serve: Callable[..., EnvServer]) -> None:
    server = serve("tests.serve.environments:Slow-v0", body_s=0.3)
    path = f"/v1/sessions/{begin(server, env='Slow-v0', options={'seconds': 1.0})['session']}/step"
    body = json.dumps({"action": "x"}).encode()
    with connected(server) as connection:
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        connection.sendall(head + body + HEAD + b"Content-Length: 9\r\n\r\n{")
        found = rest(connection)
    assert re.findall(rb"HTTP/1.1 (\d+)", found) == [b"200", b"408"]


def test_the_bounds_of_a_request_are_none_of_a_socket(serve: Callable[..., EnvServer]) -> None:
    server = serve(header_s=0.2, body_s=0.2)
    with connected(server) as connection:
        connection.sendall(OPEN)
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 101")
        time.sleep(0.5)
        connection.sendall(masked(b"[7,{}]"))
        assert b"[7,400," in connection.recv(1 << 16)


def test_a_client_that_does_not_read_is_let_go(server: EnvServer) -> None:
    with connected(server) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with contextlib.suppress(OSError):
            connection.sendall(
                b"GET /v1/tasks?env=%b&count=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n" % ENV.encode() * 12
            )
            while True:  # until the connection is ended
                connection.sendall(b"G")
                time.sleep(0.05)


def test_requests_that_run_ahead_of_their_answers_are_refused(server: EnvServer) -> None:
    with connected(server) as connection, contextlib.suppress(OSError):
        while True:
            connection.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50)


def test_a_socket_that_does_not_read_is_let_go(server: EnvServer) -> None:
    with connected(server) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(OPEN)
        with contextlib.suppress(OSError):
            while True:
                connection.sendall(masked(b"[1,{}]") * 1000)


def test_a_rest_that_nobody_reads_ends_the_connection(server: EnvServer) -> None:
    with connected(server) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n")
        assert rest(connection).startswith(b"HTTP/1.1 200")


def test_a_client_that_leaves_in_the_middle_may_come_again(serve: Callable[..., EnvServer]) -> None:
    server = serve("tests.serve.environments:Slow-v0")
    path = f"/v1/sessions/{begin(server, env='Slow-v0', options={'seconds': 0.5})['session']}/step"
    body = json.dumps({"turn": 1, "action": "x"}).encode()
    for _ in range(3):
        with connected(server) as connection:
            head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
            connection.sendall(head.encode() + body)
            time.sleep(0.05)
    status, found = ask(server, "POST", path, json.loads(body))
    assert (status, found["report"]["metrics"]["answers"]) == (200, 1.0)


# --- floods ---------------------------------------------------------------------------------------


def test_connections_beyond_the_bound_are_ended_at_once(server: EnvServer) -> None:
    with contextlib.ExitStack() as stack:
        many = [stack.enter_context(connected(server)) for _ in range(60)]
        late = many[-1]
        assert rest(late) == b""
    play(server)


@pytest.mark.parametrize("line", [b"X-%d: " + b"y" * 1000 + b"\r\n", b"X-%d: y\r\n"])
def test_headers_without_end_are_refused(server: EnvServer, line: bytes) -> None:
    with connected(server) as connection:
        connection.sendall(HEAD)
        with contextlib.suppress(OSError):
            for number in range(1_000_000):
                connection.sendall(line % number)
        found = rest(connection)
        assert not found or found.startswith(b"HTTP/1.1 400")


def test_a_path_without_end_is_refused(server: EnvServer) -> None:
    with connected(server) as connection:
        connection.sendall(b"GET /")
        with contextlib.suppress(OSError):
            for _ in range(10_000):
                connection.sendall(b"x" * 1000)
        found = rest(connection)
        assert not found or found.startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize(
    "frames",
    [
        [masked(b" " * 100_001)],
        [masked(b" " * 60_000, 0x01), masked(b" " * 60_000, 0x80)],
        [masked(b" ", 0x01), *[masked(b"", 0x00)] * 5000],
        [bytes([0x81, 0xFF]) + struct.pack("!Q", 1 << 62)],
        [bytes([0x81, 5]) + b"[1,2]"],  # without a mask
        [masked(b"\xff\xff")],
        [b"\xff" * 100],
    ],
)
def test_frames_that_may_not_be_end_the_socket(server: EnvServer, frames: list[bytes]) -> None:
    with connected(server) as connection:
        connection.sendall(OPEN)
        with contextlib.suppress(OSError):
            connection.sendall(b"".join(frames))
        rest(connection)  # ends


def test_a_batch_has_a_bound(server: EnvServer) -> None:
    status, told = ask(server, "POST", "/v1/batch", [{"op": "close"}] * 5000)
    assert (status, told["error"]["wrong"]) == (400, "bad_request")


# --- bodies ---------------------------------------------------------------------------------------


def nested(levels: int) -> str:
    """Arrays and objects within one another."""
    return '[{"a":' * (levels // 2) + "1" + "}]" * (levels // 2)


@pytest.mark.parametrize("levels", [10, 60, 90, 110, 500, 3000])
@pytest.mark.parametrize(
    "form",
    [
        '{"action": %s}',
        '{"action": {"role": "assistant", "content": "", "tool_calls": %s}}',
        '{"action": {"role": "assistant", "content": "x", "metadata": %s}}',
    ],
)
def test_deep_bodies_change_nothing(server: EnvServer, form: str, levels: int) -> None:
    path = f"/v1/sessions/{begin(server)['session']}"
    status, told = ask(server, "POST", f"{path}/step", (form % nested(levels)).encode())
    if levels > 100:
        assert "nested" in told["error"]["message"]
    assert status in (200, 400), told
    if status == 400:
        assert told["error"]["wrong"] == "bad_request"
        assert ask(server, "POST", f"{path}/step", {"action": CALL})[0] == 200, "the episode goes on"
    ask(server, "DELETE", path)


@pytest.mark.parametrize("levels", [90, 5000])
@pytest.mark.parametrize("name", ["options", "task", "task_id"])
def test_deep_beginnings_are_refused_or_begin(server: EnvServer, name: str, levels: int) -> None:
    given = {"options": '{"x": %s}', "task": '{"prompt": "x", "answer": 1, "metadata": {"x": %s}}', "task_id": "%s"}
    body = f'{{"env": "{ENV}", "{name}": {given[name] % nested(levels)}}}'
    status, told = ask(server, "POST", "/v1/sessions", body.encode())
    assert status in (200, 400), told
    if status == 200:
        ask(server, "DELETE", f"/v1/sessions/{told['session']}")


@pytest.mark.parametrize("arguments", [nested(90), nested(10_000), "{" * 50_000, '"' + "\\" * 40_000, "9" * 50_000])
def test_arguments_of_a_call_may_be_anything(server: EnvServer, arguments: str) -> None:
    path = f"/v1/sessions/{begin(server)['session']}"
    call = {"id": "1", "type": "function", "function": {"name": "add", "arguments": arguments[:45_000]}}
    status, told = ask(server, "POST", f"{path}/step", {"action": {"role": "assistant", "tool_calls": [call]}})
    assert status in (200, 400), told
    if status == 200:
        assert told["messages"][0]["role"] == "tool"
    ask(server, "DELETE", path)


def test_brackets_within_texts_nest_nothing(server: EnvServer) -> None:
    path = f"/v1/sessions/{begin(server)['session']}"
    status, found = ask(server, "POST", f"{path}/step", {"action": '[{"\\"' * 1000})
    assert (status, found["terminated"]) == (200, True)
    ask(server, "DELETE", path)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"\xef\xbb\xbf{}",
        b'{"env": "\\ud800"}',
        b'{"env": "\\u0000"}',
        b'{"seed": NaN}',
        b'{"seed": -0}',
        b'{"seed": 1e400}',
        b'{"seed": %d}' % (1 << 64),
        b'{"seed": %d}' % (10**400),
        b'{"index": %d}' % (1 << 62),
        b'{"turn": %d}' % (10**30),
        b'{"turn": 3}',
        b'{"task": {"id": {}}}',
        b'{"task": null, "task_id": null, "options": {"task": 3}}',
        b'{"options": {"task_id": []}}',
        b'{"options": {"\\ud800": 1}}',
        b'{"env": "x", "env": "y"}',
        b'{"op": "close"}',
        b'{"session": "other"}',
    ],
)
def test_bodies_that_lie_are_refused(server: EnvServer, body: bytes) -> None:
    text = body.replace(b"{", b'{"env": "%b", ' % ENV.encode(), 1) if body.startswith(b'{"') else body
    for sent in {body, text}:
        status, told = ask(server, "POST", "/v1/sessions", sent)
        assert status < 500, (sent, told)
        if status == 200:
            ask(server, "DELETE", f"/v1/sessions/{told['session']}")


@pytest.mark.parametrize(
    "query",
    [
        "seed=1" + "0" * 39, "start=1" + "0" * 39, "start=1" + "0" * 18, "count=0", "count=-1", "count=1e3", "seed=",
        "seed=%D9%A3", "split=%00", "env=%FF", "split=train&split=test", "stream=true&start=1" + "0" * 30,
        "count=9" + "9" * 30,
    ],
)  # fmt: skip
def test_queries_that_lie_are_refused(server: EnvServer, query: str) -> None:
    given = query if "env=" in query else f"env={ENV}&{query}"
    status, told = ask(server, "GET", f"/v1/tasks?{given}")
    assert status in (200, 400), told


@pytest.mark.parametrize("given", ["9870", "True", ""])
def test_what_is_neither_true_nor_false_is_refused(server: EnvServer, given: str) -> None:
    status, told = ask(server, "GET", f"/v1/tasks?env={ENV}&stream={given}")
    assert status == 400
    assert f"stream is true or false, not {given!r}" in str(told)


@pytest.mark.parametrize(
    "sent",
    [
        HEAD + b"Content-Length: 2\r\nContent-Length: 5\r\n\r\n{}",
        HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Content-Length: -1\r\n\r\n{}",
        HEAD + b"Content-Length: 99999999999999999999\r\n\r\n{}",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n{}\r\n0\r\n\r\n",
        HEAD + b"Content-Length: 2\r\n\r\n{}" + b"\x00" * 64,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64,
        b"GET / HTTP/0.9\r\n\r\n",
        b"G\x00T / HTTP/1.1\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /v1 HTTP/1.1\r\nHost: localhost\r\nX: \x00\r\n\r\n",
        b"GET http://localhost/v1/%2e%2e/%00 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"CONNECT evil.example:80 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        OPEN.replace(b"Version: 13", b"Version: 99"),
        OPEN.replace(b"Sec-WebSocket-Key: ", b"Sec-WebSocket-Key: !"),
        OPEN.replace(b"/v1/ws", b"/\xff"),
        OPEN.replace(b"/v1/ws", b"/v1/ws?\xff"),
        OPEN.replace(b"/v1/ws", b"/health"),
        OPEN.replace(b"/v1/ws", b"/v1/ws?" + b"x" * 9000),
        OPEN[:-2] + b"X: y\r\n" * 200 + b"\r\n",
        OPEN.replace(b"GET", b"POST"),
    ],
)
def test_what_is_no_request_is_refused(server: EnvServer, sent: bytes) -> None:
    with connected(server) as connection:
        connection.sendall(sent)
        found = rest(connection)
        assert b" 500 " not in found.partition(b"\r\n")[0]


# --- tokens, sessions, tools ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/v1", {"Authorization": "Bearer "}),
        ("/v1", {"Authorization": "s3cret-of-another"}),
        ("/v1", {"Authorization": "Bearer s3cre"}),
        ("/v1", {"Authorization": "Basic d3Jvbmc6d3Jvbmc="}),
        ("/v1", {"X-API-Key": ""}),
        ("/v1?token=s3cret", {}),
        ("/t//v1", {}),
        ("/t/s3cre/v1", {}),
        ("/t/wrong/../s3cret/v1", {}),
        ("/t/t/s3cret/v1", {}),
        ("/health/../v1", {}),
        ("//v1", {}),
        ("/metrics", {}),
        ("/openapi.json", {}),
    ],
)
def test_a_token_that_is_not_it_opens_nothing(
    serve: Callable[..., EnvServer], path: str, headers: dict[str, str]
) -> None:
    server = serve(token="s3cret")
    status, told = ask(server, "GET", path, **headers)
    assert (status, told["error"]["wrong"]) == (401, "unauthorized")
    assert "s3cret" not in told["error"]["message"]


def test_a_client_that_leaves_while_its_session_begins_leaves_none(serve: Callable[..., EnvServer]) -> None:
    server = serve("tests.serve.environments:Begun-v0")
    body = b'{"env": "Begun-v0", "seed": 1}'
    with Begun.later():
        with connected(server) as connection:
            connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            while len(server.sessions) == 0:
                threading.Event().wait(0.01)
        while len(server.sessions):
            threading.Event().wait(0.01)
    assert begin(server, env="Begun-v0")["session"]


@pytest.mark.parametrize("token", ["s3cret", "aGk/+A==", "%2F%", "a:b c"])
def test_a_token_of_any_characters_opens(serve: Callable[..., EnvServer], token: str) -> None:
    server, quoted = serve(token=token), quote(token, safe="")
    basic = base64.b64encode(f"llmgym:{token}".encode()).decode()
    shown = [f"Bearer {token}", f"bearer {token}", f"Basic {basic}", f"basic {basic}"]
    ways = [("/v1", {"Authorization": each}) for each in shown]
    for path, headers in [*ways, ("/v1", {"X-API-Key": token}), (f"/t/{quoted}/v1", {})]:
        assert ask(server, "GET", path, **headers)[0] == 200, (path, headers)
    remote = f"{server.url}/t/{quoted}"
    gymnasium.make("llmgym/Remote-v0", url=remote, env_id="llmgym/Calculator-v0").reset(seed=1)


def test_a_socket_needs_the_token(serve: Callable[..., EnvServer]) -> None:
    server = serve(token="s3cret")
    with connected(server) as connection:
        connection.sendall(OPEN)
        assert rest(connection).startswith(b"HTTP/1.1 403")


def test_sessions_that_were_guessed_or_have_ended_are_nobodys(server: EnvServer) -> None:
    session = begin(server)["session"]
    start = session.partition("-")[0]
    other = begin(server)["session"]
    ask(server, "DELETE", f"/v1/sessions/{session}")
    again = begin(server)["session"]  # on the same instance
    for guess in (session, f"{start}-", start, other[:-1], other + "x", other.swapcase(), "", "..", "%2e%2e", "*"):
        for what in ("step", "reset", "call", "end", "oracle"):
            status, told = ask(server, "POST", f"/v1/sessions/{guess}/{what}", {"action": "x", "call": {}}
                               if what in ("step", "call") else {})  # fmt: skip
            assert status in (400, 404), (guess, what, told)
    for live in (other, again):
        step = ask(server, "POST", f"/v1/sessions/{live}/step", {"action": CALL, "turn": 1})
        assert step[0] == 200, "untouched: its first turn is still to come"
        ask(server, "DELETE", f"/v1/sessions/{live}")


def test_of_different_requests_for_a_turn_one_is_taken(serve: Callable[..., EnvServer]) -> None:
    server = serve("tests.serve.environments:Slow-v0")
    path = f"/v1/sessions/{begin(server, env='Slow-v0')['session']}/step"
    answers: list[int] = []
    asking = [
        threading.Thread(target=lambda n=n: answers.append(ask(server, "POST", path, {"turn": 1, "action": str(n)})[0]))
        for n in range(8)
    ]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()
    assert sorted(answers) == [200] + [409] * 7


@pytest.mark.parametrize(
    "name",
    ["", "verify", "reset", "__class__", "__init__", "oracle", "add ", "ADD", "../add", "add;drop", "\x00", "🦆",
     "x" * 50_000],
)  # fmt: skip
def test_a_name_of_a_tool_is_looked_up_and_nothing_else(server: EnvServer, name: str) -> None:
    path = f"/v1/sessions/{begin(server)['session']}"
    call = {"id": "1", "type": "function", "function": {"name": name, "arguments": "{}"}}
    for what, body in (("step", {"action": {"role": "assistant", "tool_calls": [call]}}), ("call", {"call": call})):
        status, found = ask(server, "POST", f"{path}/{what}", body)
        assert status in (200, 400), found
        if status == 200:
            assert found["messages"][0]["content"].startswith("Error"), found
            assert found["terminated"] is False
    page = ask(server, "GET", "/metrics")[1].decode()
    assert name == "" or f'"{name}"' not in page
    ask(server, "DELETE", path)


# --- together -------------------------------------------------------------------------------------


def test_thousands_of_bad_frames_are_answered_and_leave_nothing(serve: Callable[..., EnvServer]) -> None:
    import aiohttp

    server = serve()  # with pings that a busy machine answers in time

    async def flood() -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"{server.url}/v1/ws", max_msg_size=0) as ws,
        ):
            bad = ["", "{", "[]", "[1]", "[1,{}]", "[-5,3]", '[1,{"op":"step","session":"x","action":1}]', "[" * 2000]
            for number in range(2000):
                await ws.send_str(bad[number % len(bad)])
            for _ in range(2000):
                told = await ws.receive_json()
                assert told[1] in (400, 404), told
            await ws.send_str(json.dumps([7, {"op": "reset", "env": ENV, "seed": 1}]))
            number, status, opened = await ws.receive_json()
            assert (number, status) == (7, 200)
            await ws.send_str(json.dumps([8, {"op": "close", "session": opened["session"]}]))
            assert (await ws.receive_json())[1] == 200

    asyncio.run(flood())
    assert len(server.sessions) == 0
