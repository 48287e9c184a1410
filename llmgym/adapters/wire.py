"""Servers of other people's environments, spoken to over HTTP and WebSockets.

What they answer is bounded in size and in time, and whatever is no answer is an `EnvironmentFailure`, which leaves the
episode unscored. Nothing is sent twice: a call that failed may have been made.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
from collections.abc import AsyncGenerator, Coroutine, Mapping
from typing import Any, NamedTuple, TypeVar

import orjson

from llmgym.errors import ConfigError, EnvironmentFailure
from llmgym.failures import Kind
from llmgym.redaction import redact_text

T = TypeVar("T")

_LARGEST = 16 << 20  # bytes of an answer
_CONNECT_S = 10.0
_KEEP_ALIVE_S = 4.0  # uvicorn closes after 5 s, and a request that is sent just then is lost
_CLOSING_S = 5.0
_IDLE_S = 5.0  # uvicorn sends a ping each 20 s, and waits as long for the answer
_TOO_LARGE = 1009  # how a WebSocket closes then
_SHOWN = 300  # characters of an answer that is none


class Answer(NamedTuple):
    """What a server answered.

    Attributes:
        status: Of HTTP.
        data: The body.
        cookies: Those that it sets, by name.
    """

    status: int
    data: bytes
    cookies: dict[str, str]

    @property
    def text(self) -> str:
        """The body as text."""
        return self.data.decode(errors="replace")

    @property
    def good(self) -> bool:
        """Whether the status is one of success."""
        return 200 <= self.status < 300


class Server:
    """A server, by its URL.

    Attributes:
        url: Its URL, without a slash at its end.
        headers: Sent with each request.
    """

    def __init__(self, what: str, tested: str, url: str, headers: Mapping[str, str] | None = None) -> None:
        """Keep where it is.

        Args:
            what: What speaks there, for messages: "NeMo Gym".
            tested: The versions that it was tested with, for messages.
            url: Its URL.
            headers: Sent with each request.

        Raises:
            ConfigError: The URL is none of HTTP, or a header is no text.
        """
        import yarl

        try:
            parsed = yarl.URL(url)
            fits = parsed.scheme in {"http", "https"} and parsed.host and not (parsed.query_string or parsed.fragment)
        except (TypeError, ValueError):
            fits = False
        if not fits:
            shown = redact_text(url) if isinstance(url, str) else url
            raise ConfigError(f"{what}: url is that of a server, such as http://127.0.0.1:8000; not {shown!r:.200}")
        given = {} if headers is None else headers
        if not isinstance(given, Mapping) or not all(isinstance(text, str) for pair in given.items() for text in pair):
            raise ConfigError(f"{what}: headers are texts by name")
        self.url = url.rstrip("/")
        self.headers = {"Content-Type": "application/json", **given}
        self._what, self._tested = what, tested

    def __str__(self) -> str:
        """Name it, without secrets."""
        return f"the {self._what} server {redact_text(self.url)}"

    def fault(self, what: str, kind: Kind = "infrastructure") -> EnvironmentFailure:
        """The failure that something about it is; one of another schema names the versions that were tested."""
        tested = f"; tested with {self._what} {self._tested}" if kind == "invalid" else ""
        return EnvironmentFailure(f"{self} {redact_text(what)}{tested}", kind=kind)

    async def ask(
        self, path: str, body: Any = None, *, seconds: float, cookies: Mapping[str, str] | None = None
    ) -> Answer:
        """Send one request: POST with a body, which becomes JSON, else GET.

        Raises:
            EnvironmentFailure: There is no answer within the time, or it is too large.
        """
        import aiohttp

        headers = self.headers
        if cookies:
            headers = {**headers, "Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}
        http = (await pool()).http
        try:
            async with http.request(
                "GET" if body is None else "POST",
                self.url + path,
                data=None if body is None else orjson.dumps(body),
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=seconds, sock_connect=min(seconds, _CONNECT_S)),
                allow_redirects=False,
            ) as response:
                set_cookies = {name: morsel.coded_value for name, morsel in response.cookies.items()}
                return Answer(response.status, await self._body(response, path), set_cookies)
        except TimeoutError:
            raise self.fault(f"did not answer {path} within {seconds:g} s", "timeout") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise self.fault(f"did not answer {path}: {type(error).__name__}: {error}") from None

    async def _body(self, response: Any, path: str) -> bytes:
        parts: list[bytes] = []
        size = 0
        while part := await response.content.readany():
            parts.append(part)
            size += len(part)
            if size > _LARGEST:
                raise self.fault(f"answered {path} with more than {_LARGEST >> 20} MiB", "invalid")
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def read(self, path: str, answer: Answer) -> dict[str, Any]:
        """The object that an answer holds.

        Raises:
            EnvironmentFailure: It says that something is wrong, or holds none.
        """
        return self.parse(path, self._good(path, answer))

    def read_list(self, path: str, answer: Answer) -> list[Any]:
        """The list that an answer holds; raises as `read`."""
        found = self._json(path, self._good(path, answer))
        if type(found) is not list:
            raise self.fault(f"answered {path} with {found!r:.{_SHOWN}}, which is no list", "invalid")
        return found

    def parse(self, path: str, data: bytes | str) -> dict[str, Any]:
        """The object in a JSON text.

        Raises:
            EnvironmentFailure: It is none.
        """
        found = self._json(path, data)
        if type(found) is not dict:
            raise self.fault(f"answered {path} with {found!r:.{_SHOWN}}, which is no object", "invalid")
        return found

    def _good(self, path: str, answer: Answer) -> bytes:
        if not answer.good:
            kind = "infrastructure" if answer.status >= 500 else "invalid"
            raise self.fault(f"answered {path} with HTTP {answer.status}: {answer.text:.{_SHOWN}}", kind)
        return answer.data

    def _json(self, path: str, data: bytes | str) -> Any:
        try:
            return orjson.loads(data)
        except orjson.JSONDecodeError as error:
            raise self.fault(f"answered {path} with what is no JSON ({error}): {data[:_SHOWN]!r}", "invalid") from None

    async def watch(self) -> Watch:
        """A connection that nothing is sent over: it ends when the server does, and with it all its sessions.

        Raises:
            EnvironmentFailure: The server cannot be reached.
        """
        import yarl

        url = yarl.URL(self.url)
        watches = (await pool()).watches
        place = url.host or "", url.port or 0
        found = watches.get(place)
        if found is None or _has_ended(found):
            watches[place] = found = asyncio.ensure_future(Watch.open(*place, tls=url.scheme == "https"))
        try:
            return await asyncio.shield(found)  # of all episodes that begin meanwhile, though this one is cancelled
        except (OSError, TimeoutError) as error:
            raise self.fault(f"cannot be reached: {type(error).__name__}: {error}") from None


class Watch(asyncio.Protocol):
    """See `Server.watch`.

    Attributes:
        ended: Whether the other side has closed it.
    """

    def __init__(self) -> None:
        """Nothing has happened."""
        self.ended = self._closed = False
        self._transport: asyncio.BaseTransport | None = None

    @classmethod
    async def open(cls, host: str, port: int, *, tls: bool) -> Watch:
        """Connect."""
        async with asyncio.timeout(_CONNECT_S):
            return (await asyncio.get_running_loop().create_connection(cls, host, port, ssl=tls or None))[1]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection."""
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end."""
        self.ended = not self._closed

    def close(self) -> None:
        """Watch no more."""
        self._closed = True
        if self._transport is not None:
            self._transport.close()


def _has_ended(opening: asyncio.Future[Watch]) -> bool:
    """Whether a connection has ended, or there never was one."""
    return opening.done() and (opening.cancelled() or opening.exception() is not None or opening.result().ended)


class Socket:
    """A WebSocket to a server, over which one question at a time is asked.

    What has been idle is read by a task of its own, in the loop that opened it, so that pings are answered while nobody
    asks; a server takes who does not answer them for dead. An answer that nobody waited for to the end would be taken
    for that to the next question, so the socket closes then.
    """

    def __init__(self, server: Server, socket: Any) -> None:
        """Read an open socket; see `open`."""
        self._server, self._socket = server, socket
        self._loop = asyncio.get_running_loop()
        self._open = True
        self._asked = 0
        self._reading: asyncio.Task[Any] | None = None
        self._look(-1)

    @classmethod
    async def open(cls, server: Server, path: str, *, seconds: float) -> Socket:
        """Connect.

        Raises:
            EnvironmentFailure: The server cannot be reached, or speaks no WebSockets there.
        """
        import aiohttp

        http = (await pool()).http
        limits: Any = aiohttp.ClientWSTimeout(ws_close=_CLOSING_S)  # type: ignore[call-arg]
        try:
            async with asyncio.timeout(seconds):
                socket = await http.ws_connect(
                    server.url + path, headers=server.headers, max_msg_size=_LARGEST, timeout=limits, compress=0
                )
        except TimeoutError:
            raise server.fault(f"cannot be reached at {path} within {seconds:g} s", "timeout") from None
        except (aiohttp.ClientError, OSError) as error:
            raise server.fault(f"cannot be reached at {path}: {type(error).__name__}: {error}") from None
        return cls(server, socket)

    async def ask(self, message: Mapping[str, Any], *, seconds: float) -> dict[str, Any]:
        """Send a message, and give the object that it is answered with.

        Raises:
            EnvironmentFailure: There is no answer within the time, or it is no object, or the socket is closed.
        """
        if asyncio.get_running_loop() is self._loop:
            return await self._ask(message, seconds)
        return await self._at_home(self._ask(message, seconds))

    async def close(self) -> None:
        """Close it, and wait until it is."""
        if self._loop.is_running():
            await self._at_home(self._close())

    # --- in the loop that opened it ---------------------------------------------------------------

    async def _at_home(self, work: Coroutine[Any, Any, T]) -> T:
        if asyncio.get_running_loop() is self._loop:
            return await work
        if not self._loop.is_running():
            work.close()
            raise self._server.fault("was spoken to in an event loop that has ended, and the session with it")
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    async def _ask(self, message: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        import aiohttp

        kind = str(message.get("type"))
        self._asked += 1
        if not self._open:
            raise self._server.fault("was not waited for, and an answer may still come", "abandoned")
        unasked = self._reading is not None and self._reading.done()
        self._open = False  # until the answer is there
        try:
            async with asyncio.timeout(seconds):
                if not unasked:
                    await self._socket.send_str(orjson.dumps(message).decode())
                said = await (self._reading or self._socket.receive())
        except TimeoutError:
            raise self._server.fault(f"did not answer {kind!r} within {seconds:g} s", "timeout") from None
        except (aiohttp.ClientError, OSError) as error:
            raise self._server.fault(f"has closed the connection: {type(error).__name__}: {error}") from None
        if said.type is not aiohttp.WSMsgType.TEXT:
            raise self._gone()
        if unasked:
            raise self._server.fault(f"said without being asked: {said.data:.{_SHOWN}}", "invalid")
        self._open, self._reading = True, None
        return self._server.parse(kind, said.data)

    def _look(self, asked: int) -> None:
        """Read from now on where nothing was asked since this last looked."""
        if self._open and self._reading is None and self._asked == asked:
            self._reading = self._loop.create_task(self._socket.receive())
        self._looking = self._loop.call_later(_IDLE_S, self._look, self._asked)

    async def _close(self) -> None:
        self._looking.cancel()
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait({self._reading})
        await self._socket.close()

    def _gone(self) -> EnvironmentFailure:
        code = self._socket.close_code
        if code == _TOO_LARGE:
            return self._server.fault(f"answered with more than {_LARGEST >> 20} MiB", "invalid")
        return self._server.fault(f"has closed the connection (code {code}), and the session with it")


# --- connections of an event loop -----------------------------------------------------------------


class _Pool(NamedTuple):
    """What the episodes of an event loop share."""

    http: Any
    watches: dict[tuple[str, int], asyncio.Future[Watch]]


# With the process, since a forked one inherits loops that do not run in it.
_pools: dict[tuple[int, asyncio.AbstractEventLoop], tuple[AsyncGenerator[_Pool], _Pool]] = {}


async def pool() -> _Pool:
    """The connections of the running event loop, made when it first asks; they are closed with it."""
    key = os.getpid(), asyncio.get_running_loop()
    found = _pools.get(key)
    if found is None:
        for other in [other for other in _pools if other[1].is_closed()]:
            del _pools[other]
        life = _connections()
        _pools[key] = found = life, await anext(life)
    return found[1]


async def _connections() -> AsyncGenerator[_Pool]:
    """Give connections that are closed with this generator: at the latest with the event loop, which ends those."""
    import aiohttp

    made = _Pool(
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_ALIVE_S),
            cookie_jar=aiohttp.DummyCookieJar(),  # each episode has its own
        ),
        {},
    )
    try:
        yield made
    finally:
        for opening in made.watches.values():
            if not opening.cancel() and not _has_ended(opening):
                opening.result().close()
        await made.http.close()


@atexit.register
def _close_all() -> None:
    """Close those of the background loop, which never ends."""
    for (pid, loop), (life, _) in list(_pools.items()):
        if pid == os.getpid() and loop.is_running():
            with contextlib.suppress(Exception):
                asyncio.run_coroutine_threadsafe(life.aclose(), loop).result(_CLOSING_S)
