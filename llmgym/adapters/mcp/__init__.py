"""MCP servers, by command or URL: their tools for any environment, within one session for each episode.

The session lives in a task of its own in the background loop: a client must be entered and left in one task, a server
that dies cancels that task, and an episode's steps may run in several, of a loop that may end before the episode does.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cache
from inspect import cleandoc
from pathlib import Path
from typing import IO, Annotated, Any, TypeVar, cast

import msgspec

from llmgym.adapters.packages import expect_packages
from llmgym.adapters.schemas import checker, tool_name
from llmgym.concurrency import start_in_background
from llmgym.env import Episode, ToolEnv
from llmgym.env.boundary import leaves
from llmgym.env.dispatch import InvalidArguments
from llmgym.errors import ConfigError, EnvironmentFailure, LLMGymError, ToolError
from llmgym.failures import Kind
from llmgym.messages import ToolSchema
from llmgym.redaction import redact, redact_text
from llmgym.tasks import Task, TaskSet
from llmgym.tools import Tool
from llmgym.verifiers import answers

T = TypeVar("T")
Server = str | Sequence[str | os.PathLike[str]] | Mapping[str, Any]

_OPENING_S = 30.0
_CONNECTING_S = 30.0  # and for each write; how long an answer may take, is the caller's business
_CLOSING_S = 10.0  # the SDK takes up to 6 to end a process
_TAIL = 500  # characters of what a process wrote to its standard error
_PAGES = 100  # of a list of tools
_OF_CALLS = frozenset({-32602, -32603})  # JSON-RPC's errors of what was asked for, in which some servers put a tool's
_RESERVED = range(-32768, -31999)  # all others of JSON-RPC and MCP; an application has codes of its own
_NO_ANSWER = "Server returned an error response"  # the SDK's words for a status of HTTP without an answer


class MCPSession:
    """A session with an MCP server; `await MCPSession.open(...)` makes one, and `close` ends it.

    Attributes:
        tools: The server's tools, as `offered` gives them. A character that endpoints refuse in names is a "_" in them.
    """

    def __init__(self, server: Server) -> None:
        """Keep which server it is; see `open`.

        Raises:
            ConfigError: It is named in no form that there is.
        """
        self._target = _Target(server)
        self.tools: tuple[Tool, ...] = ()
        self._client: Any = None
        self._stop = asyncio.Event()
        self._owner: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None

    @classmethod
    async def open(cls, server: Server, *, seconds: float = _OPENING_S) -> MCPSession:
        """Start a server or connect to one, and ask for its tools.

        Args:
            server: A URL (streamable HTTP); a command with its arguments, which is started for this session and spoken
                to by its standard input and output; or a mapping with `url` and `headers`, or with `command`, `args`,
                `env` and `cwd`. A command gets few variables of the environment beside those in `env`.
            seconds: Time that the server has to answer.

        Raises:
            ConfigError: The server is named in no form that there is.
            MissingExtraError: The extra `mcp` is not installed.
            EnvironmentFailure: There is no such server, or it does not speak MCP.
        """
        expect_packages("MCP", "mcp", "mcp")
        session = cls(server)
        try:
            await _elsewhere(session._begin(seconds))
        except BaseException:
            await session.close()
            raise
        return session

    async def call(self, name: str, arguments: Mapping[str, Any]) -> str:
        """Call a tool by the server's name, and give its result as text.

        Raises:
            ToolError: The server says that the call is wrong, or that it failed.
            EnvironmentFailure: The server is gone, or its answer cannot be read.
        """
        result = await _elsewhere(self._within(self._call(name, dict(arguments))))
        text = text_of(result)
        if result.is_error:
            raise ToolError(text or f"{name} failed")
        return text

    async def close(self) -> None:
        """End the session, and the server where it was started for it."""
        await _elsewhere(self._end())

    # --- in the background loop -------------------------------------------------------------------

    async def _begin(self, seconds: float) -> None:
        ready = asyncio.Event()
        self._owner = asyncio.create_task(self._own(ready))
        try:
            async with asyncio.timeout(seconds):
                await self._within(ready.wait(), "cannot be reached")
                self.tools = tuple(self._tools(await self._within(self._list())))
        except TimeoutError:
            raise self._fault(f"did not answer within {seconds:g} s", "timeout") from None

    async def _own(self, ready: asyncio.Event) -> None:
        """Enter and leave the client, in one task; how that ends is kept, and nobody else's."""
        from mcp import Client

        try:
            async with self._target.transport() as transport, Client(transport, cache=None) as self._client:
                ready.set()
                await self._stop.wait()
        except BaseException as error:  # noqa: BLE001 -- a server that dies cancels this task
            self._failure = error

    async def _call(self, name: str, arguments: dict[str, Any]) -> Any:
        from mcp import MCPError

        try:
            return await self._client.call_tool(name, arguments)
        except MCPError as error:
            if error.code in _RESERVED and (error.code not in _OF_CALLS or error.message == _NO_ANSWER):
                raise
            raise ToolError(error.message or f"{name} failed") from None

    async def _within(self, work: Awaitable[T], ended: str = "is gone") -> T:
        """Await what asks the server, for as long as the session lives."""
        from mcp import MCPError

        assert self._owner is not None
        asking = asyncio.ensure_future(work)
        try:
            await asyncio.wait({asking, self._owner}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            asking.cancel()
        if not asking.done() or asking.cancelled():
            raise self._gone(ended)
        try:
            return asking.result()
        except MCPError as error:
            raise self._fault(f"answered: {error.message} ({error.code})") from error
        except LLMGymError:
            raise
        except Exception as error:  # what it answered is no result, or does not fit its own schema
            raise self._fault(f"answered: {type(error).__name__}: {error}", "invalid") from error

    async def _list(self) -> list[Any]:
        found: list[Any] = []
        cursor = None
        for _ in range(_PAGES):
            page = await self._client.list_tools(cursor=cursor)
            found += page.tools
            cursor = page.next_cursor
            if not cursor:
                return found
        raise self._fault("has no end of tools", "invalid")

    def _tools(self, found: Iterable[Any]) -> Iterable[Tool]:
        known = set[str]()
        for listed in found:
            name = tool_name(listed.name)
            if name in known:
                raise self._fault(f"has two tools called {name!r}", "invalid")
            known.add(name)
            yield self._tool(name, listed)

    def _tool(self, name: str, listed: Any) -> Tool:
        # Some servers say `properties: null` of a tool without parameters.
        parameters = {name: said for name, said in listed.input_schema.items() if said is not None}
        check = checker(f"{self._target}: tool {listed.name!r}", parameters)
        schema: ToolSchema = {
            "type": "function",
            "function": {"name": name, "description": cleandoc(listed.description or ""), "parameters": parameters},
        }

        async def call(env: Any, /, **arguments: Any) -> str:
            if problem := check(arguments):
                raise InvalidArguments(f"invalid arguments for {name}: {problem}")
            return await self.call(listed.name, arguments)

        return Tool.of_schema(schema, call)

    async def _end(self) -> None:
        if self._owner is None:
            return
        self._stop.set()
        if self._client is not None:  # else it is still being entered, and nothing else ends that
            await asyncio.wait({self._owner}, timeout=_CLOSING_S)
        if not self._owner.done():
            self._owner.cancel()
            await asyncio.wait({self._owner}, timeout=_CLOSING_S)

    def _gone(self, what: str) -> EnvironmentFailure:
        error = None if self._failure is None else next(leaves(self._failure))
        return self._fault(what if error is None else f"{what}: {type(error).__name__}: {error}")

    def _fault(self, what: str, kind: Kind = "infrastructure") -> EnvironmentFailure:
        words = self._target.last_words()
        return EnvironmentFailure(f"{self._target} {what}{words and f'; it wrote: {words}'}", kind=kind)


class MCP(ToolEnv):
    r"""Tasks over the tools of an MCP server.

    ## Description

    Questions that the tools of an MCP server help to answer. The tasks are yours: rows of a file with `prompt` and
    `answer`. Where more than an answer counts, write a subclass with a `verify` of its own; its tools marked `@tool`
    are offered beside the server's.

    ## Actions

    Calls of the server's tools, and a last message without calls, which ends the episode. A call is checked against the
    tool's schema before it is sent.

    ## Observations

    What the server answers: texts as they are, other contents by type and size, structured content as JSON where there
    is no other.

    ## Rewards

    1 where the last message has the answer, in its last `\boxed{}`, else after "Answer:", else as its last line,
    whatever its case and blanks; else 0. A server that cannot be started, that dies or answers nonsense leaves the
    episode unscored.

    ## Episode End

    Terminates with a message without calls. Truncates after `max_turns` messages.

    ## Arguments

    - `server`: a URL, a command as a list, or a mapping; see `llmgym.adapters.mcp.MCPSession.open`. Each episode has a
      session of its own, and with a command a process of its own.
    - `tasks`: the file of tasks.
    """

    max_turns = 16

    def __init__(self, *, server: Server, tasks: TaskSet | str | Path | None = None, **options: Any) -> None:
        """Make the environment.

        Args:
            server: The server, as in `MCPSession.open`.
            tasks: The tasks; a subclass may have its own.
            **options: Passed to `ToolEnv`.

        Raises:
            ConfigError: The server is named in no form that there is, or there are no tasks.
            MissingExtraError: The extra `mcp` is not installed.
        """
        expect_packages(type(self).__name__, "mcp", "mcp")
        if tasks is None and not hasattr(self, "tasks"):
            raise ConfigError("tools have no tasks: pass tasks=FILE, of rows with `prompt` and `answer`")
        self.server = server
        self.session = MCPSession(server)
        super().__init__(tasks=tasks, **options)

    async def setup(self, task: Task) -> None:
        """Open a session."""
        self.session = await MCPSession.open(self.server, seconds=self.hook_timeout / 2)

    async def offered(self, task: Task) -> list[Tool]:
        """The server's tools beside those of the class."""
        return [*self.tools.values(), *self.session.tools]

    async def teardown(self) -> None:
        """Close the session."""
        await self.session.close()

    def verify(self, episode: Episode) -> Any:
        """Compare the answer."""
        return answers.check(episode.final_text, str(episode.task.answer)).score


async def _elsewhere(work: Coroutine[Any, Any, T]) -> T:
    """Await work that the background loop does."""
    return await asyncio.wrap_future(start_in_background(work))


class _Address(msgspec.Struct, forbid_unknown_fields=True):
    url: Annotated[str, msgspec.Meta(pattern="^(?i:https?)://[^/]")]
    headers: dict[str, str] = {}


class _Command(msgspec.Struct, forbid_unknown_fields=True):
    command: str
    args: list[str] = []
    env: dict[str, str] | None = None
    cwd: str | None = None


def _texts(known: Any) -> Any:
    """The same with paths as texts."""
    if isinstance(known, Mapping):
        return {name: _texts(part) for name, part in known.items()}
    if isinstance(known, list | tuple):
        return list(map(_texts, known))
    return os.fspath(known) if isinstance(known, os.PathLike) else known


class _Target:
    """How to reach a server, and what to call it in messages, without its secrets."""

    def __init__(self, server: Server) -> None:
        known: Any = server
        if isinstance(server, str):
            known = {"url": server}
        elif isinstance(server, list | tuple):
            known = {"command": server[0], "args": server[1:]} if server else {}
        try:
            form = _Address if "url" in known else _Command
            self._known = msgspec.structs.asdict(msgspec.convert(_texts(known), form))
        except (TypeError, msgspec.ValidationError) as error:
            raise ConfigError(
                f'an MCP server is a URL (http://HOST:PORT/mcp), a command (a list such as ["python", "server.py"]), '
                f"or a mapping with url and headers, or with command, args, env and cwd; not {redact(server)!r:.200}: "
                f"{error}"
            ) from None
        self._log: IO[bytes] | None = None
        self._said = ""

    def __str__(self) -> str:
        where = self._known.get("url") or " ".join([self._known["command"], *self._known["args"]])
        return f"the MCP server {redact_text(where)}"

    @asynccontextmanager
    async def transport(self) -> AsyncGenerator[Any]:
        """A way to the server for one client, which is the caller's to enter."""
        import httpx2
        from mcp.client.stdio import StdioServerParameters, stdio_client
        from mcp.client.streamable_http import streamable_http_client

        if "url" in self._known:
            headers, timeout = self._known["headers"], httpx2.Timeout(_CONNECTING_S, read=None)
            async with httpx2.AsyncClient(headers=headers, timeout=timeout, verify=_certificates()) as http:
                yield streamable_http_client(self._known["url"], http_client=http)
            return
        with tempfile.TemporaryFile() as self._log:
            try:
                yield stdio_client(StdioServerParameters(**self._known), errlog=cast("Any", self._log))
            finally:
                self._said = self.last_words()

    def last_words(self) -> str:
        """The end of what a process has written to its standard error."""
        if self._log is not None and not self._log.closed:
            self._log.seek(max(0, self._log.seek(0, io.SEEK_END) - _TAIL))
            self._said = redact_text(self._log.read().decode(errors="replace").strip())
        return self._said


@cache
def _certificates() -> Any:
    """Those that are trusted, read once: a client of its own for each session would take 30 ms to read them."""
    import httpx2

    return httpx2.create_ssl_context()


def text_of(result: Any) -> str:
    """What a tool's result says to a policy of text: texts as they are, other contents by type and size.

    Structured content counts where there is no other.
    """
    if not result.content:
        return "" if result.structured_content is None else json.dumps(result.structured_content, ensure_ascii=False)
    return "\n".join(map(_content, result.content))


def _content(part: Any) -> str:
    if part.type == "text":
        return part.text
    held = getattr(part, "resource", part)
    if getattr(held, "text", None) is not None:
        return held.text
    kind = getattr(held, "mime_type", None) or part.type
    data = getattr(held, "data", None) or getattr(held, "blob", None)
    size = f", {len(data) * 3 // 4} bytes" if data else ""
    where = f" {held.uri}" if getattr(held, "uri", None) else ""
    return f"[{kind}{where}{size}]"
