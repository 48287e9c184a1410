"""A server of environments, as clients in this process see it: what it is, its tasks, and a line for sessions."""

from __future__ import annotations

import asyncio
import http.client
import threading
import time
import weakref
from typing import Any, Final, TypeVar
from urllib.parse import urlencode, urlsplit

import msgspec

from llmgym.adapters.remote.protocol import (
    VERSION,
    EnvInfo,
    Error,
    Failed,
    Oracle,
    Request,
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
        self.headers = {} if token is None else {"Authorization": f"Bearer {token}"}
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
        """Ask for something from synchronous code."""
        kind = http.client.HTTPSConnection if self._parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(self._parts.netloc.rpartition("@")[2], timeout=_ASKING_S)
        try:
            connection.request(method, self._path + path, body, self.headers)
            answer = connection.getresponse()
            said = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise self.failure(f"cannot be reached: {type(error).__name__}: {error}") from error
        finally:
            connection.close()
        if answer.status != 200:
            self._refuse(answer.status, said)
        try:
            return msgspec.json.decode(said, type=form)
        except msgspec.DecodeError as error:
            raise self.failure(f"answered what is no {form.__name__}: {error}", "invalid") from error

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
        self._socket: Any = None
        self._opening = asyncio.Lock()
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
        ends = time.monotonic() + seconds
        number = self._number = self._number + 1
        frame = b"[%d,%b]" % (number, _encode(request))
        tries = 0
        while True:
            try:
                async with asyncio.timeout(ends - time.monotonic()):
                    status, body = await self._once(number, frame)
                break
            except TimeoutError:
                raise self._host.failure(f"did not answer within {seconds:g} s", "timeout") from None
            except OSError as error:  # aiohttp's errors of a socket that closes are ConnectionResetError
                pause = _PAUSES[min(tries, len(_PAUSES) - 1)]
                tries += 1
                if time.monotonic() + pause > min(ends, ends - seconds + _ASKING_S):
                    raise self._host.failure(f"cannot be reached: {error}") from error
                await asyncio.sleep(pause)
            finally:
                self._waiting.pop(number, None)
        try:
            if status != 200:
                raise Refused(_FAILED.decode(body).error, self._host.where)
            return msgspec.json.decode(body, type=form)
        except msgspec.DecodeError as error:
            raise self._host.failure(f"answered what is no {form.__name__}: {error}", "invalid") from error

    async def _once(self, number: int, frame: bytes) -> tuple[int, bytes]:
        socket = self._socket
        if socket is None or socket.closed:
            socket = await self._open()
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        await socket.send_bytes(frame)
        return await answer

    async def _open(self) -> Any:
        async with self._opening:
            if self._socket is None or self._socket.closed:
                ready = asyncio.get_running_loop().create_future()
                self._reader = asyncio.create_task(self._read(ready))
                self._socket = await ready
            return self._socket

    async def _read(self, ready: asyncio.Future[Any]) -> None:
        """Open the line, and hand answers to those who wait until it is lost."""
        import aiohttp

        why: Exception = ConnectionResetError("the connection was lost")
        try:
            async with (
                aiohttp.ClientSession(headers=self._host.headers) as session,
                session.ws_connect(self._host.socket_url, max_msg_size=0, compress=0) as socket,
            ):
                ready.set_result(socket)
                async for message in socket:
                    number, status, body = _ANSWER.decode(message.data)
                    waiting = self._waiting.get(number)
                    if waiting is not None and not waiting.done():
                        waiting.set_result((status, bytes(body)))
        except aiohttp.WSServerHandshakeError as error:
            why = ConfigError(f"{self._host.where} refuses the token") if error.status == 401 else OSError(str(error))
        except aiohttp.ClientError as error:
            why = OSError(str(error))
        except msgspec.DecodeError as error:
            why = self._host.failure(f"answered what is no frame: {error}", "invalid")
        finally:
            for waiting in (ready, *self._waiting.values()):
                if not waiting.done():
                    waiting.set_exception(why)
