"""The gateway as a server: sessions by path, each a recording, and protocols over them."""

from __future__ import annotations

import asyncio
import functools
import secrets
import socket
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Final

import msgspec

from llmgym.adapters.remote.protocol import STATUS
from llmgym.chat import Sampling
from llmgym.codec.base import ChatCodec
from llmgym.errors import CodecError, ContextLengthExceeded, MessageError, PolicyError, PolicyUnavailable
from llmgym.messages import Role, ToolCall, assistant, system, user
from llmgym.policies.base import TokenPolicy
from llmgym.serve.bodies import left, read_body, respond
from llmgym.serve.gateway.attempts import Attempt, Attempts
from llmgym.serve.gateway.conversation import Reader
from llmgym.serve.gateway.protocols import DIALECTS, anthropic_messages
from llmgym.serve.gateway.recording import Asked, Node, Recording
from llmgym.serve.listening import listening
from llmgym.serve.trouble import ServeError

if TYPE_CHECKING:
    from llmgym.serve.mcp import Toolbox, ToolServer

_Read = Callable[[], Awaitable[bytes]]
_EVENTS: Final = b"text/event-stream; charset=utf-8"
_OF_THE_REQUEST: Final = (ContextLengthExceeded, CodecError, MessageError, msgspec.DecodeError, RecursionError)
_QUIET_S: Final = 5.0  # after which a stream is begun, and between the comments that keep it open


class Session:
    """What one program does in one episode.

    Attributes:
        token: Its name, which nobody can guess.
        recording: What it has the policy say.
        reader: Reads its requests.
        attempts: Those requests.
        tools: Its tools, where a gateway offers any.
        trouble: The first failure of the policy, if there was one: then nothing here can be scored.
        touched: When it was last asked for something, in seconds of `time.monotonic`.
    """

    def __init__(self, recording: Recording, reader: Reader, tools: Toolbox | None = None) -> None:
        """Begin."""
        self.token = secrets.token_urlsafe(18)
        self.recording, self.reader, self.attempts, self.tools = recording, reader, Attempts(), tools
        self.trouble: PolicyError | None = None
        self.touched = time.monotonic()

    @property
    def idle_s(self) -> float:
        """Seconds since it was last asked for something; 0 while that is under way."""
        return 0.0 if self.attempts.running else time.monotonic() - self.touched

    @property
    def path(self) -> str:
        """Where it is; a program is given it as its base URL."""
        return f"/s/{self.token}"

    async def reply(self, asked: Asked, seconds: float) -> Node:
        """Have the policy answer, and note where it fails."""
        try:
            async with asyncio.timeout(seconds):
                return await self.recording.reply(asked)
        except (ContextLengthExceeded, CodecError):  # of what the program asks, which it is told
            raise
        except TimeoutError:
            error = PolicyError(f"no reply within {seconds:g} s")
        except Exception as raised:  # noqa: BLE001 -- whatever a policy raises
            error = raised if isinstance(raised, PolicyError) else PolicyError(f"{type(raised).__name__}: {raised}")
        self.trouble = self.trouble or error
        raise error


class Gateway:
    """Sessions of agent programs over one policy; an ASGI application."""

    def __init__(
        self,
        policy: TokenPolicy,
        codec: ChatCodec,
        *,
        reply_s: float = 600.0,
        body_limit: int = 32 << 20,
    ) -> None:
        """Serve a started policy.

        Args:
            policy: The policy.
            codec: Its codec.
            reply_s: Seconds for one reply.
            body_limit: Most bytes of a request.
        """
        self._policy, self._codec = policy, codec
        self._reply_s, self._limit = reply_s, body_limit
        self._late_system: Role = _late_system(codec)
        self._sessions: dict[str, Session] = {}
        self._tools: ToolServer | None = None

    def open(self, name: str, sampling: Sampling, tools: Toolbox | None = None) -> Session:
        """Begin a session.

        Args:
            name: Name of the episode.
            sampling: How replies are sampled.
            tools: What it may call, over MCP and HTTP, where `serving` goes on.
        """
        recording = Recording(self._policy, self._codec, sampling, name)
        session = Session(recording, Reader(self._late_system), tools)
        self._sessions[session.token] = session
        return session

    async def close(self, session: Session) -> Recording:
        """End a session, stop what is under way in it, and give what was recorded."""
        self._sessions.pop(session.token, None)
        await session.attempts.end()
        return session.recording

    @asynccontextmanager
    async def serving(
        self, host: str = "127.0.0.1", port: int = 0, others: Sequence[socket.socket] = ()
    ) -> AsyncGenerator[str]:
        """Serve in this event loop, with tools over MCP, at other sockets too; gives the address."""
        from llmgym.serve.mcp import ToolServer

        self._tools = ToolServer(self._toolbox, path="/s/{session}/mcp", body_limit=self._limit)
        async with self._tools.running(), listening(self, host, port, others) as url:
            yield url

    def _toolbox(self, token: str) -> Toolbox:
        session = self._find(token)
        if session.tools is None:
            raise ServeError("bad_request", "this session has no tools")
        return session.tools

    def _find(self, token: str) -> Session:
        session = self._sessions.get(token)
        if session is None:
            raise ServeError("unknown_session", "there is no such session: it has ended, or never was")
        session.touched = time.monotonic()
        return session

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            return
        token, _, path = scope["path"].removeprefix("/s/").partition("/")
        try:
            session = self._find(token)
            if path == "mcp" and self._tools is not None:
                await self._tools.application(scope, receive, send)
                return
            read = functools.partial(read_body, receive, self._limit)
            if (serve := self._BESIDE.get((scope["method"], path))) is not None:
                await respond(send, *await serve(self, session, read))
                return
            dialect = DIALECTS.get(f"/{path}")
            if dialect is None or scope["method"] != "POST":
                raise ServeError("bad_request", f"there is no {scope['method']} {path!r:.200} here")
            body = await read()
            request = dialect.decode(body)
            asked = request.asked(session.reader)
        except Exception as error:  # noqa: BLE001 -- whatever it is, the program is told
            await _refuse(send, error)
            return
        marked = dict(scope["headers"]).get(b"x-stainless-retry-count", b"0") != b"0"
        attempt = session.attempts.begin(body, marked, lambda: session.reply(asked, self._reply_s))
        gone = asyncio.ensure_future(left(receive))
        try:
            await self._answer(attempt, gone, dialect, request, send)
        finally:
            if gone.done():
                attempt.leave()
            gone.cancel()

    # --- beside the replies -----------------------------------------------------------------------

    async def _models(self, session: Session, read: _Read) -> tuple[int, bytes]:
        model = {"id": self._policy.model, "object": "model", "created": 0, "owned_by": "llmgym"}
        return 200, msgspec.json.encode({"object": "list", "data": [model]})

    async def _count(self, session: Session, read: _Read) -> tuple[int, bytes]:
        asked = anthropic_messages.decode(await read()).asked(session.reader)
        return 200, msgspec.json.encode({"input_tokens": len(self._codec.open(asked.messages, asked.tools))})

    async def _list_tools(self, session: Session, read: _Read) -> tuple[int, bytes]:
        return 200, msgspec.json.encode(self._toolbox(session.token).schemas)

    async def _call_tool(self, session: Session, read: _Read) -> tuple[int, bytes]:
        call = msgspec.json.decode(await read(), type=ToolCall)
        return 200, msgspec.json.encode({"content": await self._toolbox(session.token).call(call)})

    _BESIDE: ClassVar[dict[tuple[str, str], Any]] = {
        ("GET", "v1/models"): _models,
        ("POST", "v1/messages/count_tokens"): _count,
        ("GET", "tools"): _list_tools,
        ("POST", "tools"): _call_tool,
    }

    async def _answer(
        self, attempt: Attempt, gone: asyncio.Future[None], dialect: Any, request: Any, send: Any
    ) -> None:
        """Send a program the reply to its request, once it is there."""
        events = request.stream or False
        there = await attempt.wait(gone, _QUIET_S if events else None)
        begun = False
        while not there and not gone.done():  # a stream, which is kept open
            if not begun:
                await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", _EVENTS)]})
                begun = True
            await send({"type": "http.response.body", "body": dialect.WAITING, "more_body": True})
            there = await attempt.wait(gone, _QUIET_S)
        if gone.done():
            return
        if (error := attempt.error) is not None:
            if begun:
                await send({"type": "http.response.body", "body": b"event: error\ndata: " + _told(error)[1] + b"\n\n"})
            else:
                await _refuse(send, error)
            return
        node = attempt.work.result()
        if events:
            if not begun:
                await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", _EVENTS)]})
            body = b"".join(dialect.events(node, self._policy.model, request))
            await send({"type": "http.response.body", "body": body})
        else:
            await respond(send, 200, dialect.body(node, self._policy.model, request))
        if not gone.done():
            attempt.deliver()


def _late_system(codec: ChatCodec) -> Role:
    """The role of system messages that are not the first message: user, where the model's template refuses them."""
    said = [system("x"), system("x"), user("x"), assistant("x"), system("x"), user("x")]
    try:
        codec.open(said, ())
    except CodecError:
        return "user"
    return "system"


async def _refuse(send: Any, error: Exception) -> None:
    status, body = _told(error)
    await respond(send, status, body)


def _told(error: Exception) -> tuple[int, bytes]:
    """What a program is told, in the form that SDKs read, and by a status that they do not try again in vain."""
    status, kind = 500, "server_error"
    if isinstance(error, PolicyUnavailable):
        status = 503
    elif isinstance(error, ServeError):
        status, kind = STATUS[error.wrong], "invalid_request_error"
    elif isinstance(error, _OF_THE_REQUEST):
        status, kind = 400, "invalid_request_error"
    code = "context_length_exceeded" if isinstance(error, ContextLengthExceeded) else None
    message = str(error) or type(error).__name__
    told = {"message": message, "type": kind, "code": code, "param": None}
    return status, msgspec.json.encode({"type": "error", "error": told})
