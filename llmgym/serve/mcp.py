"""Tools of sessions over MCP: each session is a server of its own, at a path that nobody can guess.

The protocol of 2026 has no sessions, so what says whose tools are meant is the path. The SDK speaks older forms too.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

import orjson
from mcp.server.lowlevel import Server  # noqa: TID253 -- this module is imported where `mcp` is installed
from mcp.server.transport_security import TransportSecuritySettings  # noqa: TID253
from mcp_types import CallToolRequestParams, CallToolResult, ListToolsResult, TextContent, Tool

from llmgym.messages import ToolSchema, tool_call
from llmgym.serve.trouble import error_of


class Toolbox(Protocol):
    """What has tools."""

    @property
    def schemas(self) -> Sequence[ToolSchema]:
        """Schemas of those that are offered now."""
        ...

    async def call(self, call: Any) -> str:
        """Run a call, and give its result as text; raises `LLMGymError` where the episode is over or failed."""
        ...


class ToolServer:
    """The MCP servers of all sessions, as one ASGI application.

    `running` must be entered as long as it serves.
    """

    def __init__(self, find: Callable[[str], Toolbox], *, path: str, body_limit: int) -> None:
        """Serve toolboxes.

        Args:
            find: The toolbox of a session; raises `LLMGymError` where there is none.
            path: Path, with `{session}` in it.
            body_limit: Most bytes of a request.
        """
        self._find = find
        server: Any = Server("llmgym", on_list_tools=self._list, on_call_tool=self._call)
        # Which names of this host are let in is decided before a request comes here.
        self.application = server.streamable_http_app(
            streamable_http_path=path,
            json_response=True,
            stateless_http=True,  # nothing is kept beside the session that the path names
            max_request_body_size=body_limit,
            transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
        )
        self._manager = server.session_manager

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """The time in which requests are served; a stream of a collector that is closed early may leave it, too."""
        end = asyncio.Event()
        began: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # A group of tasks bears no `GeneratorExit`, and is left in the task that entered it.
        owner = asyncio.create_task(self._own(began, end))
        try:
            await asyncio.wait({owner, began}, return_when=asyncio.FIRST_COMPLETED)
            yield
        finally:
            end.set()
            await owner

    async def _own(self, began: asyncio.Future[None], end: asyncio.Event) -> None:
        async with self._manager.run():
            began.set_result(None)
            await end.wait()

    async def _list(self, context: Any, params: Any) -> ListToolsResult:
        return ListToolsResult(tools=[_tool(schema) for schema in self._find(_session(context)).schemas])

    async def _call(self, context: Any, params: CallToolRequestParams) -> CallToolResult:
        try:
            arguments = orjson.dumps(params.arguments or {}).decode()
            text = await self._find(_session(context)).call(tool_call(params.name, arguments))
        except Exception as error:  # noqa: BLE001 -- whatever it is, the client is told
            told = error_of(error).message
            return CallToolResult(content=[TextContent(type="text", text=told)], is_error=True)
        return CallToolResult(content=[TextContent(type="text", text=text)])


def _session(context: Any) -> str:
    return context.request.path_params["session"]


def _tool(schema: ToolSchema) -> Tool:
    function: Mapping[str, Any] = schema["function"]
    return Tool(
        name=function["name"],
        description=function.get("description", ""),
        input_schema=function.get("parameters") or {"type": "object", "properties": {}},
    )
