"""Tools of MCP servers, against real servers in processes of their own."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium
import pytest

from llmgym.env import Episode, ToolEnv
from llmgym.errors import ConfigError, EnvironmentFailure, RegistryError, ToolError
from llmgym.messages import Message, assistant, tool_call
from llmgym.tasks import Task, TaskSet
from llmgym.tools import tool
from tests.adapters.mcp_servers import COMMAND, Answer, free_port, result, scripted, start, stop

pytest.importorskip("mcp")

from llmgym.adapters.mcp import MCP, MCPSession, text_of
from llmgym.registry import make_core

pytestmark = pytest.mark.integration


@pytest.fixture
def url() -> Iterator[str]:
    port = free_port()
    process = start(port)
    yield f"http://127.0.0.1:{port}/mcp"
    stop(process)


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps({"prompt": "What is 2 + 3?", "answer": "5"}) + "\n")
    return file


def within(server: Any, play: Callable[[MCPSession], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        session = await MCPSession.open(server)
        try:
            return await play(session)
        finally:
            await session.close()

    return asyncio.run(run())


def test_an_episode_over_a_command(rows: Path) -> None:
    env = make_core("llmgym/MCP-v0", server=COMMAND, tasks=rows)
    _, info = env.reset(seed=0)
    assert [schema["function"]["name"] for schema in info["tools"]][:2] == ["add", "notes_keep"]
    (answer,), *_ = env.step(assistant("", tool_call("add", a=2, b=3)))
    assert answer["content"] == "5"
    _, reward, done, _, _ = env.step("Answer: 5")
    assert (reward, done) == (1.0, True)
    env.close()


def test_each_episode_has_a_session_and_a_process_of_its_own(rows: Path) -> None:
    env = make_core("llmgym/MCP-v0", server=COMMAND, tasks=rows)
    for _ in range(2):
        env.reset(seed=0)
        (answer,), *_ = env.step(assistant("", tool_call("notes_keep", text="one")))
        assert answer["content"] == "1"
    env.close()


def test_what_the_model_writes_is_checked_before_it_is_sent(url: str, rows: Path) -> None:
    env = make_core("llmgym/MCP-v0", server=url, tasks=rows)
    env.reset(seed=0)
    calls = [
        tool_call("../admin", a=1),
        tool_call("notes.keep", text="by the server's own name"),
        tool_call("add", a="two", b=3),
        tool_call("add", a=2),
        tool_call("add", "{"),
        tool_call("boom"),
        tool_call("add", a=1, b=1),
    ]
    said = [message["content"] for message in env.step(assistant("", *calls))[0]]
    assert said[0].startswith("Error: there is no tool '../admin'")
    assert said[1].startswith("Error: there is no tool 'notes.keep'")
    assert said[2] == "Error: invalid arguments for add: 'two' is not of type 'integer' - at `$.a`"
    assert said[3] == "Error: invalid arguments for add: 'b' is missing"
    assert said[4].startswith("Error: arguments of add are not valid JSON")
    assert said[5] == "Error: Error executing tool boom"
    assert said[6] == "2"
    *_, info = env.step("Answer: 6")
    assert info["tool_errors"] == {"UnknownTool": 2, "InvalidArguments": 3, "ToolError": 1}
    env.close()


class Beside(ToolEnv):
    """Any environment with a server's tools beside its own."""

    tasks = TaskSet.generated(lambda rng: Task(prompt=str(rng.integers(1000))))

    def __init__(self, server: Any) -> None:
        self.server = server
        super().__init__()

    @tool
    def own(self) -> str:
        """A tool of its own."""
        return "mine"

    async def setup(self, task: Task) -> None:
        self.session = await MCPSession.open(self.server)

    async def offered(self, task: Task) -> list[Any]:
        return ["own", *self.session.tools]

    async def teardown(self) -> None:
        await self.session.close()

    def verify(self, episode: Episode) -> float:
        return 1.0


def test_many_episodes_of_any_environment_at_once(url: str) -> None:
    async def episode() -> list[str]:
        env = Beside(url)
        await env.areset(seed=0)
        answers, *_ = await env.astep(assistant("", tool_call("own"), *(tool_call("add", a=i, b=1) for i in range(5))))
        await env.aclose()
        return [message["content"] for message in answers]

    async def run() -> list[list[str]]:
        return await asyncio.gather(*(episode() for _ in range(8)))

    assert asyncio.run(run()) == [["mine", "1", "2", "3", "4", "5"]] * 8


def test_certificates_are_read_once_for_all_sessions(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Any] = []
    load = ssl.SSLContext.load_verify_locations
    monkeypatch.setattr(
        ssl.SSLContext, "load_verify_locations", lambda *given, **more: read.append(load(*given, **more))
    )
    for _ in range(3):
        within(url, lambda session: session.call("add", {"a": 1, "b": 1}))
    assert len(read) <= 1


@pytest.mark.parametrize("over", ["command", "url"])
def test_a_call_that_takes_too_long_is_cancelled_in_the_server(
    over: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    server = COMMAND if over == "command" else request.getfixturevalue("url")
    marker = tmp_path / "marker"

    async def run() -> Message:
        env = Beside(server)
        env.tool_timeout = 2.0
        await env.areset(seed=0)
        (answer,), *_ = await env.astep(assistant("", tool_call("slow", marker=str(marker))))
        for _ in range(100):
            if marker.read_text() == "cancelled":
                break
            await asyncio.sleep(0.1)
        (after,), *_ = await env.astep(assistant("", tool_call("add", a=1, b=1)))
        assert after["content"] == "2"
        await env.aclose()
        return answer

    assert asyncio.run(run())["content"] == "Error: slow did not finish in time"
    assert marker.read_text() == "cancelled"


@pytest.mark.parametrize("over", ["command", "url"])
def test_a_server_that_dies_leaves_the_episode_unscored_and_its_task_alone(
    over: str, request: pytest.FixtureRequest
) -> None:
    server = COMMAND if over == "command" else request.getfixturevalue("url")

    async def run() -> None:
        env = Beside(server)
        await env.areset(seed=0)
        with pytest.raises(EnvironmentFailure) as dead:
            await env.astep(assistant("", tool_call("die")))
        assert (dead.value.kind, dead.value.stage) == ("infrastructure", "tool")
        task = asyncio.current_task()
        assert task is not None
        assert not task.cancelling()
        await env.aclose()

    asyncio.run(run())


def test_a_server_that_comes_back_serves_the_next_episode() -> None:
    port = free_port()
    process = start(port)
    env = Beside(f"http://127.0.0.1:{port}/mcp")
    env.reset(seed=0)
    stop(process)
    with pytest.raises(EnvironmentFailure, match=r"MCP server http://127.0.0.1:\d+/mcp"):
        env.step(assistant("", tool_call("add", a=1, b=1)))
    with pytest.raises(EnvironmentFailure, match="cannot be reached"):
        env.reset()
    process = start(port)
    env.reset()
    (answer,), *_ = env.step(assistant("", tool_call("add", a=1, b=1)))
    assert answer["content"] == "2"
    env.close()
    stop(process)


@pytest.mark.parametrize(
    ("server", "said"),
    [
        (["/no/such/program"], "cannot be reached: FileNotFoundError"),
        ([COMMAND[0], "-c", "import sys; sys.exit('no licence key')"], "it wrote: no licence key"),
        ([COMMAND[0], "-c", "print('hello'); import time; time.sleep(60)"], "did not answer within 2 s"),
        ("http://127.0.0.1:9/mcp", "cannot be reached"),
    ],
)
def test_a_server_that_cannot_be_started(server: Any, said: str) -> None:
    async def run() -> None:
        with pytest.raises(EnvironmentFailure, match=said):
            await MCPSession.open(server, seconds=2)

    asyncio.run(run())


def test_a_huge_answer_is_shortened(rows: Path) -> None:
    env = make_core("llmgym/MCP-v0", server=COMMAND, tasks=rows)
    env.reset(seed=0)
    (answer,), *_ = env.step(assistant("", tool_call("huge", characters=5_000_000)))
    assert len(answer["content"]) < 21_000
    assert "4980000 characters left out" in answer["content"]
    (answer,), *_ = env.step(assistant("", tool_call("picture")))
    assert answer["content"] == "[image/png, 300 bytes]"
    env.close()


@pytest.mark.parametrize(
    "answer",
    [
        lambda request: (200, "application/json", b"<html>"),
        lambda request: (200, "text/html", b"<html>"),
        lambda request: (500, "text/plain", b"oops"),
        lambda request: (404, "text/plain", b"that session has expired"),
        lambda request: result(request, content="of another schema"),
        lambda request: result(request, content=[{"type": "hologram"}]),
    ],
)
def test_an_answer_that_is_none_is_no_answer_to_the_model(answer: Any) -> None:
    with scripted(answer) as server, pytest.raises(EnvironmentFailure, match="answered"):
        within(server, lambda session: session.call("ask", {}))


@pytest.mark.parametrize(("status", "code"), [(200, -32602), (400, -32602), (200, -32603), (500, -32603), (200, 0)])
def test_an_error_of_the_server_about_the_call_is_an_answer_to_the_model(status: int, code: int) -> None:
    with scripted(refuse(code, status)) as server, pytest.raises(ToolError, match="no such city"):
        within(server, lambda session: session.call("ask", {}))


@pytest.mark.parametrize("code", [-32700, -32600, -32601, -32000])
def test_an_error_of_the_protocol_is_no_answer_to_the_model(code: int) -> None:
    with scripted(refuse(code)) as server, pytest.raises(EnvironmentFailure, match="no such city"):
        within(server, lambda session: session.call("ask", {}))


def refuse(code: int, status: int = 200) -> Answer:
    def answer(request: dict[str, Any]) -> tuple[int, str, bytes]:
        error = {"code": code, "message": "no such city"}
        return status, "application/json", json.dumps({"jsonrpc": "2.0", "id": request["id"], "error": error}).encode()

    return answer


def test_nulls_of_a_schema_are_left_out() -> None:
    tools = [{"name": "ask", "inputSchema": {"type": "object", "properties": None, "required": None}}]

    async def play(session: MCPSession) -> Any:
        return session.tools[0].schema["function"]["parameters"], await session.tools[0].function(None)

    with scripted(lambda request: result(request, content=[{"type": "text", "text": "fine"}]), tools) as server:
        assert within(server, play) == ({"type": "object"}, "fine")


@pytest.mark.parametrize(
    ("tools", "said"),
    [
        (
            [{"name": "a.b", "inputSchema": {"type": "object"}}, {"name": "a/b", "inputSchema": {"type": "object"}}],
            "two",
        ),
        ([{"name": "a", "inputSchema": {"type": "object", "properties": {"x": {"type": "whole"}}}}], "schema"),
    ],
)
def test_tools_that_cannot_be_offered(tools: list[dict[str, Any]], said: str) -> None:
    async def nothing(session: MCPSession) -> None:
        """The opening is what fails."""

    with scripted(result, tools) as server, pytest.raises(EnvironmentFailure, match=said):
        within(server, nothing)


def test_a_schema_that_refers_elsewhere_is_not_fetched() -> None:
    reached: list[Any] = []

    def answer(request: dict[str, Any]) -> tuple[int, str, bytes]:
        reached.append(request)
        return result(request, content=[])

    with scripted(answer) as elsewhere:
        schema = {"type": "object", "properties": {"x": {"$ref": elsewhere}}}
        with scripted(answer, [{"name": "ask", "inputSchema": schema}]) as server:

            async def call(session: MCPSession) -> None:
                await session.tools[0].function(None, x=1)

            with pytest.raises(EnvironmentFailure, match="refers elsewhere"):
                within(server, call)
    assert reached == []


def test_contents_as_text() -> None:
    from mcp.types import CallToolResult, EmbeddedResource, ResourceLink, TextContent, TextResourceContents

    parts = [
        TextContent(text="one"),
        EmbeddedResource(resource=TextResourceContents(uri="file:///a", text="two")),
        ResourceLink(name="b", uri="file:///b"),
    ]
    assert text_of(CallToolResult(content=parts)) == "one\ntwo\n[resource_link file:///b]"
    assert text_of(CallToolResult(content=[], structured_content={"result": None})) == '{"result": null}'


def test_a_command_may_be_of_paths() -> None:
    command = [Path(part) for part in COMMAND]
    for server in (command, {"command": command[0], "args": command[1:], "cwd": command[1].parent}):
        assert within(server, lambda session: session.call("add", {"a": 1, "b": 1})) == "2"


@pytest.mark.parametrize(
    "server",
    [
        [],
        [3],
        {"path": "x"},
        {"args": ["x"]},
        {"command": ["python", "server.py"]},
        {"command": "python", "args": "server.py"},
        {"command": "python", "env": {"PORT": 80}},
        {"url": None},
        {"url": "http://x", "command": "y"},
        {"url": "http://x", "headers": {"A": 1}},
        "localhost:80",
        "http://",
        3,
    ],
)
def test_a_server_in_no_form_that_there_is(server: Any, rows: Path) -> None:
    with pytest.raises(ConfigError, match="an MCP server is a URL"):
        MCP(server=server, tasks=rows)


def test_what_is_secret_is_in_no_message() -> None:
    with pytest.raises(ConfigError) as error:
        MCPSession({"url": "http://x/", "headers": {"Authorization": "Bearer abc123"}, "more": 1})
    assert "abc123" not in str(error.value)


def test_tasks_are_needed() -> None:
    with pytest.raises((ConfigError, RegistryError), match="tasks=FILE"):
        gymnasium.make("llmgym/MCP-v0", server=COMMAND)
