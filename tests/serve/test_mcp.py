"""The tools of a session over MCP, by the SDK's own client."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import Callable

import pytest

from llmgym.serve import EnvServer
from tests.serve.test_rest import ask, begin

mcp = pytest.importorskip("mcp")


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_the_tools_of_a_session_are_those_of_its_episode(serve: Callable[..., EnvServer], mode: str) -> None:
    server = serve()
    session = begin(server)["session"]

    async def run() -> None:
        async with mcp.Client(f"{server.url}/v1/sessions/{session}/mcp", mode=mode) as client:
            tools = (await client.list_tools()).tools
            assert {tool.name for tool in tools} == {"add", "subtract", "multiply", "divide"}
            assert set(tools[0].input_schema["properties"]) == {"a", "b"}
            results = await asyncio.gather(*(client.call_tool("add", {"a": n, "b": 1}) for n in range(5)))
            assert [result.content[0].text for result in results] == ["1", "2", "3", "4", "5"]
            unknown = await client.call_tool("../../v1", {})
            assert "there is no tool" in unknown.content[0].text

    asyncio.run(run())
    status, found = ask(server, "POST", f"/v1/sessions/{session}/end", {})
    assert (status, found["report"]["metrics"]["tool_calls"]) == (200, 6.0)


def test_a_session_that_has_ended_has_no_tools(serve: Callable[..., EnvServer]) -> None:
    server = serve()
    session = begin(server)["session"]
    ask(server, "POST", f"/v1/sessions/{session}/end", {})

    async def run() -> None:
        async with mcp.Client(f"{server.url}/v1/sessions/{session}/mcp") as client:
            result = await client.call_tool("add", {"a": 1, "b": 1})
            assert result.is_error

    asyncio.run(run())


def test_nothing_is_kept_of_a_client_that_only_begins(serve: Callable[..., EnvServer]) -> None:
    server = serve()
    client = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}
    begins = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": client}
    url = f"{server.url}/v1/sessions/{begin(server)['session']}/mcp"
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    with urllib.request.urlopen(urllib.request.Request(url, json.dumps(begins).encode(), headers)) as answer:
        assert "mcp-session-id" not in answer.headers
        assert "tools" in json.loads(answer.read())["result"]["capabilities"]
