"""Transcripts of clients with a server: recorded, stored as JSON, and said again to another server.

Names that a server draws, such as those of sessions, are `$1`, `$2` ... in a transcript.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
from pathlib import Path
from typing import Any

from websockets.sync.client import connect

FOLDER = Path(__file__).parent / "transcripts"
_DRAWN = re.compile(r"(?<![\w-])(?:[0-9a-f]{8}-[\w-]{24}|[0-9a-f]{32})(?![\w-])")
_NAMED = re.compile(r"\$\d+\b")
_HEADERS = ("cookie", "x-session-id", "x-deployment")


class Recorder:
    """An ASGI application that notes what passes through."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.exchanges: list[dict[str, Any]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        serve = self._http if scope["type"] == "http" else self._socket
        await serve(scope, receive, send)

    async def _http(self, scope: Any, receive: Any, send: Any) -> None:
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        kept = {name: headers[name] for name in _HEADERS if name in headers}
        noted: dict[str, Any] = {"method": scope["method"], "path": scope["path"], "headers": kept}
        sent, answered = bytearray(), bytearray()

        async def hear() -> Any:
            message = await receive()
            sent.extend(message.get("body", b""))
            return message

        async def say(message: Any) -> None:
            await send(message)
            answered.extend(message.get("body", b""))
            if message["type"] == "http.response.start":
                noted["status"] = message["status"]
                noted["cookie"] = next((v.decode() for n, v in message["headers"] if n == b"set-cookie"), None)

        await self._app(scope, hear, say)
        self.exchanges.append({**noted, "sent": _data(sent.decode()), "answer": _data(answered.decode())})

    async def _socket(self, scope: Any, receive: Any, send: Any) -> None:
        query = scope["query_string"].decode()
        noted = {"socket": scope["path"] + (f"?{query}" if query else "")}

        async def hear() -> Any:
            message = await receive()
            if message["type"] == "websocket.receive":
                self.exchanges.append({**noted, "sent": _data(message["text"]), "answer": None})
            return message

        async def say(message: Any) -> None:
            if message["type"] == "websocket.send":
                self.exchanges[-1]["answer"] = _data(message["text"])
            await send(message)

        await self._app(scope, hear, say)

    def store(self, name: str, **also: Any) -> None:
        """Write the transcript."""
        text = json.dumps({**also, "exchanges": self.exchanges}, indent=1)
        for number, drawn in enumerate(self._drawn()):
            text = text.replace(drawn, f"${number}")
        FOLDER.mkdir(exist_ok=True)
        (FOLDER / f"{name}.json").write_text(text + "\n")

    def _drawn(self) -> list[str]:
        """The names that the server drew: those that it said first."""
        asked, drawn = set[str](), dict[str, None]()
        for exchange in self.exchanges:
            sent = json.dumps({**exchange, "answer": "", "cookie": ""})
            asked.update(found for found in _DRAWN.findall(sent) if found not in drawn)
            drawn |= dict.fromkeys(found for found in _DRAWN.findall(json.dumps(exchange)) if found not in asked)
        return list(drawn)


def _data(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


class Replay:
    """A transcript that is said again."""

    def __init__(self, name: str) -> None:
        self.recorded: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
        self._bound: dict[str, str] = {}

    def run(self, url: str) -> None:
        """Say all of it to a server, and expect the same answers."""
        with contextlib.ExitStack() as stack:
            sockets: dict[str, Any] = {}
            for exchange in self.recorded["exchanges"]:
                if "socket" not in exchange:
                    self._http(url, exchange)
                    continue
                path = self._filled(exchange["socket"])
                if path not in sockets:
                    sockets[path] = stack.enter_context(connect(f"{url.replace('http', 'ws', 1)}{path}"))
                sockets[path].send(json.dumps(self._filled(exchange["sent"])))
                if exchange["answer"] is None:
                    del sockets[path]
                else:
                    self._expect(exchange["answer"], _data(sockets[path].recv(timeout=30)), path)

    def _http(self, url: str, exchange: dict[str, Any]) -> None:
        connection = http.client.HTTPConnection(url.partition("//")[2], timeout=30)
        sent = self._filled(exchange["sent"])
        data = sent if isinstance(sent, str) else json.dumps(sent)
        connection.request(exchange["method"], exchange["path"], data or None, self._filled(exchange["headers"]))
        answer = connection.getresponse()
        said = {
            "answer": _data(answer.read().decode()),
            "status": answer.status,
            "cookie": answer.headers["set-cookie"],
        }
        connection.close()
        self._expect({name: exchange[name] for name in said}, said, exchange["path"])

    def _filled(self, data: Any) -> Any:
        """What was said, with the names of this server."""
        return json.loads(_NAMED.sub(lambda found: self._bound.get(found[0], found[0]), json.dumps(data)))

    def _expect(self, recorded: Any, said: Any, where: str) -> None:
        expected = json.dumps(self._filled(recorded), indent=1)
        pattern, names = "", []
        for piece in re.split(r"(\$\d+\b)", expected):
            if _NAMED.fullmatch(piece) and piece not in names:
                names.append(piece)
                pattern += f"({_DRAWN.pattern})"
            else:
                pattern += re.escape(piece) if piece not in names else f"\\{names.index(piece) + 1}"
        text = json.dumps(said, indent=1)
        found = re.fullmatch(pattern, text)
        assert found, f"{where} is answered by\n{text}\nand was by\n{expected}"
        self._bound |= dict(zip(names, found.groups(), strict=True))
