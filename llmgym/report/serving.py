"""A page of runs that may go on, served on this machine; it asks for what is new every two seconds."""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import parse_qs, urlsplit

from llmgym.errors import ConfigError, LLMGymError
from llmgym.report.page import pack_script, page, script_json
from llmgym.report.report import Progress, Report

HOST = "127.0.0.1"
_NAMES = {"127.0.0.1", "localhost"}
_PACK = re.compile(r"/pack/(\d+)\.js")
_HTML, _SCRIPT = "text/html; charset=utf-8", "text/javascript; charset=utf-8"


class Viewer:
    """A report that is served.

    Attributes:
        url: Where it is.
    """

    def __init__(
        self,
        report: Report,
        *,
        port: int = 0,
        progress: Progress | None = None,
        complain: Callable[[LLMGymError], None] | None = None,
    ) -> None:
        """Read the runs as they are, and listen.

        Args:
            report: Runs that were named, and not read yet.
            port: Where to listen; 0 takes any that is free.
            progress: Told how far the reading is.
            complain: Told where a run cannot be read any more; the page then stays as it is.

        Raises:
            ConfigError: The port is taken.
            LLMGymError: A row cannot be used; names file and line.
        """
        self._report, self._complain = report, complain
        self._lock = threading.Lock()
        self._folder = TemporaryDirectory(prefix="llmgym-view-")
        self._name, self._version = secrets.token_hex(4), 0
        try:
            report.update(self._keep, progress)
            self._server = self._listening(port)
        except BaseException:
            self._folder.cleanup()
            raise
        self._server.daemon_threads = True
        self.url = f"http://{HOST}:{self._server.server_address[1]}/"

    @property
    def state(self) -> str:
        """What there is, in a word that no other state and no other viewer has."""
        return f"{self._name}-{self._version}"

    def run(self) -> None:
        """Serve until `close`."""
        self._server.serve_forever(poll_interval=0.2)

    def close(self) -> None:
        """Stop, and remove what was kept for the pages."""
        self._server.shutdown()
        self._server.server_close()
        self._folder.cleanup()

    def page(self) -> str:
        """The page as it is now."""
        with self._lock:
            self._update()
            return page(self._report, packs={}, place="pack/", live=self.state)

    def news(self, have: str) -> str:
        """A script with what a page does not have yet; an empty one where there is nothing.

        Args:
            have: The state that the page has.
        """
        with self._lock:
            self._update()
            if have == self.state:
                return ""
            summary = {**self._report.summary(), "place": "pack/", "live": self.state}
            return f'R.live({script_json(summary)},"{self._report.index()}")\n'

    def pack(self, number: int) -> str | None:
        """A pack as a script; None where there is none."""
        try:
            return pack_script(number, (Path(self._folder.name) / str(number)).read_bytes())
        except FileNotFoundError:
            return None

    def _listening(self, port: int) -> ThreadingHTTPServer:
        try:
            return ThreadingHTTPServer((HOST, port), _handler(self))
        except OSError as error:
            raise ConfigError(f"cannot listen on port {port}: {error.strerror}; --port names another") from error

    def _keep(self, number: int, data: bytes) -> None:
        path = Path(self._folder.name) / f"{number}.new"
        path.write_bytes(data)
        path.replace(path.with_suffix(""))
        self._version += 1

    def _update(self) -> None:
        try:
            self._version += self._report.update(self._keep)
        except LLMGymError as error:
            if self._complain is not None:
                self._complain(error)
                self._complain = None  # once: the page asks every two seconds


def _handler(viewer: Viewer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """Answers what a page asks; nothing of the folder is served but that."""

        def do_GET(self) -> None:
            if (self.headers.get("Host") or "").partition(":")[0] not in _NAMES:  # another site's name, bound to us
                self.send_error(HTTPStatus.FORBIDDEN)
                return
            asked = urlsplit(self.path)
            found = _PACK.fullmatch(asked.path)
            if asked.path == "/":
                self._answer(viewer.page(), _HTML)
            elif asked.path == "/live.js":
                self._answer(viewer.news(parse_qs(asked.query).get("have", [""])[0]), _SCRIPT)
            elif found and (text := viewer.pack(int(found[1]))) is not None:
                self._answer(text, _SCRIPT)
            else:
                self.send_error(HTTPStatus.NOT_FOUND)

        def _answer(self, text: str, kind: str) -> None:
            data = text.encode()
            self.send_response(HTTPStatus.OK)
            for name, value in (
                ("Content-Type", kind), ("Content-Length", str(len(data))), ("Cache-Control", "no-store"),
                ("X-Content-Type-Options", "nosniff"), ("Cross-Origin-Resource-Policy", "same-origin"),
            ):  # fmt: skip
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    return Handler
