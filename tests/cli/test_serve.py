"""`llmgym serve` and `llmgym tool` where nothing can be served or reached: a line says what to do."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn")

from tests.command import environ, llmgym

CALCULATOR = "llmgym/Calculator-v0"
FILES = {
    "list.yaml": b"[1]",
    "empty.yaml": b"",
    "token.yaml": b"token: x",
    "binary": b"\xff\xfe",
    "empty": b"\n",
    "lines": b"a\nb\n",
}


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["env"], "there is nothing to serve: name an environment"),
        (["env", "--config", "empty.yaml"], "there is nothing to serve: name an environment"),
        (["env", "--config", "list.yaml"], "list.yaml: a configuration is a mapping, this is a list"),
        (["env", CALCULATOR, CALCULATOR], "'llmgym/Calculator-v0' is there twice"),
        (["env", CALCULATOR, "--config", "token.yaml"], "give it by --token-file"),
        (["gateway", "--set", "token=x"], "give it by --token-file"),
        (["env", CALCULATOR, "--token-file", "binary"], "letters beyond ASCII"),
        (["env", CALCULATOR, "--token-file", "empty"], "the token is empty"),
        (["env", CALCULATOR, "--token-file", "lines"], "line breaks"),
        (["env", CALCULATOR, "--token-file", "none"], "No such file"),
    ],
)
def test_what_cannot_be_served_is_said(tmp_path: Path, args: list[str], said: str) -> None:
    for name, data in FILES.items():
        (tmp_path / name).write_bytes(data)
    done = llmgym("serve", *args, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_an_error_in_the_event_loop_is_not_said_to_be_the_loops() -> None:
    done = llmgym("serve", "env", CALCULATOR, "--host", "256.1.1.1", env=environ(LLMGYM_TOKEN="x"))
    assert done.returncode == 2
    assert "cannot listen at 256.1.1.1:8300" in done.stderr
    assert ".pyx" not in done.stderr


ANSWERS: dict[str, tuple[int, bytes]] = {
    "/page": (200, b"<html>"),
    "/nothing": (200, b""),
    "/other": (200, b'{"detail": "x"}'),
    "/crash": (500, b"Internal Server Error"),
    "/detail": (404, b'{"detail": "not found"}'),
}


@pytest.fixture(scope="module")
def strange() -> Iterator[str]:
    """The address of a server that is no gateway."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, body = ANSWERS[self.path]
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("path", [*ANSWERS, "nonsense"])
@pytest.mark.parametrize("args", [[], ["add", '{"a": 1}']])
def test_tools_that_are_not_there_are_said(strange: str, path: str, args: list[str]) -> None:
    url = strange + path if path in ANSWERS else path
    done = llmgym("tool", *args, env=environ(LLMGYM_TOOLS_URL=url))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert "is no gateway's" in done.stderr or "cannot be reached" in done.stderr
