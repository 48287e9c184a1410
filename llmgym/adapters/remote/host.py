"""A server of environments, as clients in this process see it: what it is, its tasks, and a line for sessions."""

from __future__ import annotations

import asyncio
import functools
import http.client
import threading
import time
import weakref
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar
from urllib.parse import urlencode, urlsplit

import msgspec

from llmgym.adapters.remote.protocol import (
    VERSION,
    EnvInfo,
    Error,
    Failed,
    Opened,
    Oracle,
    Request,
    Reset,
    Said,
    ServerInfo,
    Tasks,
)
from llmgym.env.episode import Report
from llmgym.errors import ConfigError, EnvironmentFailure, TaskError
from llmgym.messages import Message
from llmgym.redaction import redact_text
from llmgym.tasks import Task

T = TypeVar("T")

_ASKING_S = 30.0  # for what is no work of an environment
_OPENING_S = 10.0  # for a connection
_HEARTBEAT_S = 60.0  # between signs of life of a server; without one for half as long again it is lost
_PAUSES: Final = (0.1, 0.3, 1.0, 2.0, 4.0)  # seconds between tries to reach a server, the last again and again
_ANSWER = msgspec.json.Decoder(tuple[int, int, msgspec.Raw])
_FAILED = msgspec.json.Decoder(Failed)
_encode = msgspec.json.Encoder().encode


class Refused(EnvironmentFailure):
    """A server did not do what it was asked for.

    Attributes:
        error: What it said.
    """

    def __init__(self, error: Error, where: str) -> None:
        """Keep what it said."""
        known = error.wrong == "environment"
        super().__init__(
            error.message if known else f"{where} answered: {error.message}",
            kind=error.kind or "infrastructure",
            stage=error.stage,
        )
        self.error = error

    @property
    def report(self) -> Report:
        """What the server knows of the episode."""
        return self.error.report or Report()


class Host:
    """A server. There is one object for all environments of this process that are at one address.

    Attributes:
        where: Its address, without secrets.
        body_limit: Most bytes of a request, where that is known.
    """

    _all: Final[dict[tuple[str, str | None], Host]] = {}
    _lock: Final = threading.Lock()

    def __init__(self, url: str, token: str | None) -> None:
        """Keep where it is; see `at`."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"url is {redact_text(url)!r:.200}; a server is at http://HOST:PORT or https://HOST")
        self._parts, self.where = parts, redact_text(f"{parts.scheme}://{parts.netloc}")
        self._path = parts.path.rstrip("/")
        self._token = token
        self.headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self.body_limit: int | None = None
        self._info: ServerInfo | None = None
        self._lines: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Line] = weakref.WeakKeyDictionary()

    @classmethod
    def at(cls, url: str, token: str | None) -> Host:
        """The server at an address.

        Raises:
            ConfigError: That is no address.
        """
        with cls._lock:
            key = url.rstrip("/"), token
            if key not in cls._all:
                cls._all[key] = cls(*key)
            return cls._all[key]

    @property
    def socket_url(self) -> str:
        """Where its WebSocket is."""
        scheme = "wss" if self._parts.scheme == "https" else "ws"
        return f"{scheme}://{self._parts.netloc}{self._path}/v1/ws"

    def line(self) -> Line:
        """The line to it of the running event loop."""
        loop = asyncio.get_running_loop()
        if loop not in self._lines:
            self._lines[loop] = Line(self)
        return self._lines[loop]

    def other(self, url: str) -> Host:
        """The process of this server at which a session is, by the address of the session."""
        found = Host.at(url.partition("/v1/")[0], self._token)
        found.body_limit = self.body_limit
        return found

    async def open(self, request: Reset, seconds: float) -> Opened:
        """Begin a session.

        Where the server is several processes, each connection comes to one of them, so this takes one of its own.

        Raises:
            Refused: The server did not do it.
            EnvironmentFailure: The server cannot be reached, or its answer cannot be read.
        """
        if self._info is None or not self._info.workers:
            return await self.line().ask(request, Opened, seconds)
        return await self.asked(functools.partial(self._post, "/v1/sessions", _encode(request)), Opened, seconds)

    async def asked(self, once: Callable[[], Awaitable[tuple[int, bytes]]], form: type[T], seconds: float) -> T:
        """Ask for something, again where the connection is lost or there is none.

        Args:
            once: Asks, and gives status and body; an `OSError` is a lost connection.
            form: Form of the answer.
            seconds: Time that it has, with all tries.

        Raises:
            Refused: The server did not do it.
            EnvironmentFailure: The server cannot be reached, or its answer cannot be read.
        """
        ends, pauses, lost = time.monotonic() + seconds, iter(_PAUSES), 0.0
        while True:
            began = time.monotonic()
            try:
                async with asyncio.timeout_at(asyncio.get_running_loop().time() + ends - began):
                    status, body = await once()
                break
            except TimeoutError:
                raise self.failure(f"did not answer within {seconds:g} s", "timeout") from None
            except OSError as error:  # aiohttp's errors of a socket that closes are ConnectionResetError
                now = time.monotonic()
                if now - began > _OPENING_S + 1 or not lost:  # it was there
                    pauses, lost = iter(_PAUSES), now
                pause = next(pauses, _PAUSES[-1])
                if now + pause > min(ends, lost + _ASKING_S):
                    raise self.failure(f"cannot be reached: {error}") from error
                await asyncio.sleep(pause)
        try:
            if status != 200:
                raise Refused(_FAILED.decode(body).error, self.where)
            return msgspec.json.decode(body, type=form)
        except msgspec.DecodeError as error:
            raise self.failure(f"answered what is no {form.__name__}: {error}", "invalid") from error

    async def _post(self, path: str, body: bytes) -> tuple[int, bytes]:
        import aiohttp

        url = f"{self._parts.scheme}://{self._parts.netloc}{self._path}{path}"
        try:
            limit = aiohttp.ClientTimeout(total=None, sock_connect=_OPENING_S)
            async with (
                aiohttp.ClientSession(headers=self.headers, timeout=limit) as session,
                session.post(url, data=body) as answer,
            ):
                return answer.status, await answer.read()
        except aiohttp.ClientError as error:
            raise OSError(str(error)) from error

    def environment(self, name: str) -> EnvInfo:
        """What the server says of an environment.

        Args:
            name: The environment; empty for the only one.

        Raises:
            ConfigError: It has none of this name, or speaks another version of the protocol.
            EnvironmentFailure: It cannot be reached, or its answer cannot be read.
        """
        if self._info is None:
            self._info = self._ask("GET", "/v1", None, ServerInfo)
            if self._info.protocol != VERSION:
                raise ConfigError(
                    f"{self.where} ({self._info.server}) speaks version {self._info.protocol} of the protocol, and "
                    f"this is version {VERSION}: install the same llmgym at both ends"
                )
            self.body_limit = self._info.body_limit
        there = {env.name: env for env in self._info.environments}
        if not name and len(there) == 1:
            return next(iter(there.values()))
        if name not in there:
            raise ConfigError(f"{self.where} has no environment {name!r}: env_id is one of {', '.join(there)}")
        return there[name]

    def tasks(self, **query: Any) -> list[Task]:
        """Tasks of an environment; see the route `/v1/tasks`.

        Raises:
            TaskError: There are none such.
            EnvironmentFailure: The server cannot be reached, or its answer cannot be read.
        """
        return self._ask("GET", f"/v1/tasks?{urlencode(query)}", None, Tasks).tasks

    def task(self, env: str, task_id: str) -> Task:
        """The task with an id; raises as `tasks`."""
        return self._ask("GET", f"/v1/task?{urlencode({'env': env, 'id': task_id})}", None, Tasks).tasks[0]

    def oracle(self, request: Oracle) -> Message | str | None:
        """The next message of the oracle of a session; None where it has no more."""
        return self._ask("POST", f"/v1/sessions/{request.session}/oracle", _encode(request), Said).message

    def failure(self, what: str, kind: Any = "infrastructure") -> EnvironmentFailure:
        """A failure of the way to the server, or of what it answers."""
        return EnvironmentFailure(f"the server at {self.where} {what}", kind=kind)

    def _ask(self, method: str, path: str, body: bytes | None, form: type[T]) -> T:
        """Ask for something from synchronous code; again, where a server that was there does not answer."""
        began, pauses = time.monotonic(), iter(_PAUSES)
        while True:
            try:
                status, said = self._request(method, path, body)
                break
            except EnvironmentFailure as failure:
                pause = next(pauses, _PAUSES[-1])
                silent = isinstance(failure.__cause__, TimeoutError)  # of several processes, another may answer
                patience = 3 * _ASKING_S if silent else _ASKING_S
                if self._info is None or time.monotonic() + pause > began + patience:
                    raise
                time.sleep(pause)
        if status != 200:
            self._refuse(status, said)
        try:
            return msgspec.json.decode(said, type=form)
        except msgspec.DecodeError as error:
            raise self.failure(f"answered what is no {form.__name__}: {error}", "invalid") from error

    def _request(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        kind = http.client.HTTPSConnection if self._parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(self._parts.netloc.rpartition("@")[2], timeout=_ASKING_S)
        try:
            connection.request(method, self._path + path, body, self.headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise self.failure(f"cannot be reached: {type(error).__name__}: {error}") from error
        finally:
            connection.close()

    def _refuse(self, status: int, body: bytes) -> None:
        try:
            error = _FAILED.decode(body).error
        except msgspec.DecodeError:
            raise self.failure(f"answered with status {status}: {body[:200]!r}: it is no server of llmgym") from None
        if error.wrong in ("bad_request", "unauthorized"):
            raise (ConfigError if error.wrong == "unauthorized" else TaskError)(
                f"{self.where} answered: {error.message}"
            )
        raise Refused(error, self.where)


class Line:
    """A WebSocket to a server, for all sessions of an event loop; opened again where it is lost.

    What was under way then is sent again: the server does nothing twice.
    """

    def __init__(self, host: Host) -> None:
        """Keep whose line it is."""
        self._host = host
        self._number = 0
        self._waiting: dict[int, asyncio.Future[tuple[int, bytes]]] = {}
        self._ready: asyncio.Future[Any] | None = None
        self._reader: asyncio.Task[None] | None = None

    async def ask(self, request: Request, form: type[T], seconds: float) -> T:
        """Ask for something, and wait for the answer.

        Args:
            request: What.
            form: Form of the answer.
            seconds: Time that it has, with all tries.

        Raises:
            Refused: The server did not do it.
            EnvironmentFailure: The server cannot be reached, or its answer cannot be read.
        """
        number = self._number = self._number + 1
        frame = b"[%d,%b]" % (number, _encode(request))
        if (most := self._host.body_limit) is not None and len(frame) > most:  # which would end the line for all
            raise self._host.failure(f"takes requests of {most} bytes, and not of {len(frame)}: raise its body_limit")
        once = functools.partial(self._once, number, frame)
        try:
            return await self._host.asked(once, form, seconds)
        finally:
            self._waiting.pop(number, None)

    async def _once(self, number: int, frame: bytes) -> tuple[int, bytes]:
        socket = await self._open()
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        await socket.send_bytes(frame)
        return await answer

    async def _open(self) -> Any:
        """The socket; all who ask while it is being opened share what comes of that."""
        if self._ready is None or self._reader is None or self._reader.done():
            self._ready = asyncio.get_running_loop().create_future()
            self._reader = asyncio.create_task(self._read(self._ready))
        return self._ready.result() if self._ready.done() else await asyncio.shield(self._ready)

    async def _read(self, ready: asyncio.Future[Any]) -> None:
        """Open the line, and hand answers to those who wait until it is lost."""
        import aiohttp

        why: Exception = ConnectionResetError("the connection was lost")
        try:
            async with aiohttp.ClientSession(headers=self._host.headers) as session:
                opening = session.ws_connect(self._host.socket_url, max_msg_size=0, compress=0, heartbeat=_HEARTBEAT_S)
                socket = await asyncio.wait_for(opening, _OPENING_S)
                ready.set_result(socket)
                await self._hear(socket)
        except aiohttp.WSServerHandshakeError as error:
            why = ConfigError(f"{self._host.where} refuses the token") if error.status == 401 else OSError(str(error))
        except aiohttp.ClientError as error:
            why = OSError(str(error))
        except TimeoutError:
            why = OSError(f"it did not answer within {_OPENING_S:g} s")
        except msgspec.DecodeError as error:
            why = self._host.failure(f"answered what is no frame: {error}", "invalid")
        finally:
            for waiting in (ready, *self._waiting.values()):
                if not waiting.done():
                    waiting.set_exception(why)
                    waiting.exception()  # perhaps nobody waits any more

    async def _hear(self, socket: Any) -> None:
        async for message in socket:
            if not isinstance(message.data, bytes | str):  # the line is lost
                return
            number, status, body = _ANSWER.decode(message.data)
            waiting = self._waiting.get(number)
            if waiting is not None and not waiting.done():
                waiting.set_result((status, bytes(body)))
