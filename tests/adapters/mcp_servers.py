"""Servers that the tests of MCP talk to: a real one in a process, and one that answers what a test says."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).parent / "servers" / "mcp_tools.py"
COMMAND = [sys.executable, str(SCRIPT)]


def free_port() -> int:
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return asked.getsockname()[1]


def start(port: int) -> subprocess.Popen[bytes]:
    """The server in a process, when it takes connections."""
    process = subprocess.Popen([*COMMAND, str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(600):
        with socket.socket() as asked:
            if asked.connect_ex(("127.0.0.1", port)) == 0:
                return process
        assert process.poll() is None, "the server has ended"
        time.sleep(0.1)
    raise TimeoutError("the server takes no connections")


def stop(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


Answer = Callable[[dict[str, Any]], tuple[int, str, bytes]]


def result(request: dict[str, Any], **said: Any) -> tuple[int, str, bytes]:
    """A JSON-RPC result."""
    body = json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": said})
    return 200, "application/json", body.encode()


@contextmanager
def scripted(answer: Answer, tools: list[dict[str, Any]] | None = None) -> Iterator[str]:
    """A server of the protocol of 2025 whose `tools/call` is answered by a function."""
    listed = tools or [{"name": "ask", "description": "Ask.", "inputSchema": {"type": "object"}}]

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            match request.get("method"):
                case "initialize":
                    known = {"protocolVersion": request["params"]["protocolVersion"], "capabilities": {"tools": {}}}
                    said = result(request, **known, serverInfo={"name": "scripted", "version": "1"})
                case "tools/list":
                    said = result(request, tools=listed)
                case "tools/call":
                    said = answer(request)
                case _ if "id" in request:
                    body = {"jsonrpc": "2.0", "id": request["id"], "error": {"code": -32601, "message": "unknown"}}
                    said = 200, "application/json", json.dumps(body).encode()
                case _:
                    said = 202, "application/json", b""
            status, kind, body = said
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Mcp-Session-Id", "one")
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            self.send_error(405)

        def do_DELETE(self) -> None:
            self.send_error(405)

        def log_message(self, *_: Any) -> None:
            pass

    served = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.daemon_threads = True
    thread = threading.Thread(target=served.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{served.server_port}/mcp"
    finally:
        served.shutdown()
        served.server_close()
        thread.join()
