"""The client of chat endpoints against a small real server that misbehaves."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from llmgym.chat import Usage
from llmgym.errors import ContextLengthExceeded, MissingExtraError, PolicyError, PolicyUnavailable
from llmgym.messages import assistant, tool_call, user
from llmgym.policies import Sampling, make_policy
from llmgym.policies.openai import OpenAIPolicy
from tests.rollouts import letters, trajectories

pytest.importorskip("openai")

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
TOOL: Any = {"type": "function", "function": {"name": "add", "description": "", "parameters": {}}}


class Server:
    """Offers the model "m"; answers as it is told."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.answers: list[Answer] = []
        self.models: Answer = reply({"object": "list", "data": [{"id": "m", "object": "model"}]})
        self.port = 0

    async def chat(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(await request.json())
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return await answer(request)

    async def list(self, request: web.Request) -> web.StreamResponse:
        return await self.models(request)

    def policy(self, model: str = "m", **options: Any) -> OpenAIPolicy:
        options = {"api_key": "key", "timeout": 5.0, "max_retries": 0, **options}
        return OpenAIPolicy(model, base_url=f"http://127.0.0.1:{self.port}/v1", **options)


@asynccontextmanager
async def serving(*answers: Answer) -> AsyncIterator[Server]:
    server = Server()
    server.answers = list(answers)
    app = web.Application()
    app.router.add_post("/v1/chat/completions", server.chat)
    app.router.add_get("/v1/models", server.list)
    runner = web.AppRunner(app, shutdown_timeout=0.01)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.port = runner.addresses[0][1]
    try:
        yield server
    finally:
        await runner.cleanup()


def reply(body: Any, status: int = 200, content_type: str = "application/json") -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        text = body if isinstance(body, str) else json.dumps(body)
        return web.Response(text=text, status=status, content_type=content_type)

    return answer


def says(message: dict[str, Any], finish_reason: str = "stop", **extra: Any) -> Answer:
    choice = {"index": 0, "finish_reason": finish_reason, "message": {"role": "assistant", **message}}
    return reply({"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], **extra})


async def hang(request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(3600)
    return web.Response()


async def drop(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.close()
    return web.Response()


@asynccontextmanager
async def started(policy: OpenAIPolicy) -> AsyncIterator[OpenAIPolicy]:
    await policy.start()
    try:
        yield policy
    finally:
        await policy.close()


async def ask(policy: OpenAIPolicy, tools: Any = (TOOL,), **sampling: Any) -> Any:
    return await policy.chat([user("hi")], tools, Sampling(**sampling), request_id="r", session_id="s")


async def test_a_request_and_its_reply() -> None:
    call = {"id": "c1", "type": "function", "index": 0, "function": {"name": "add", "arguments": '{"a": 1'}}
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    answer = says({"content": None, "tool_calls": [call], "reasoning_content": "hm", "refusal": None}, usage=usage)
    async with serving(answer) as server, started(server.policy()) as policy:
        generation = await ask(policy, temperature=0.3, top_p=0.9, max_tokens=11, seed=5)
    kept = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1'}}
    assert generation.message == {**assistant("", kept), "reasoning_content": "hm"}  # type: ignore[arg-type]
    assert generation.usage == Usage(7, 3, calls=1)
    assert server.requests == [
        {
            "model": "m", "messages": [user("hi")], "tools": [TOOL],
            "temperature": 0.3, "top_p": 0.9, "max_completion_tokens": 11, "seed": 5,
        }
    ]  # fmt: skip


async def test_without_tools_none_are_sent() -> None:
    async with serving(says({"content": "x"})) as server, started(server.policy()) as policy:
        await ask(policy, tools=())
    assert server.requests[0].keys().isdisjoint({"tools", "seed"})


@pytest.mark.parametrize(("reason", "kept"), [("length", "length"), ("tool_calls", "stop"), ("content_filter", "stop")])
async def test_finish_reasons(reason: str, kept: str) -> None:
    async with serving(says({"content": "x"}, reason)) as server, started(server.policy()) as policy:
        assert (await ask(policy)).finish_reason == kept


async def test_lone_surrogates_are_replaced() -> None:
    async with serving(says({"content": "a\ud800b"})) as server, started(server.policy()) as policy:
        assert (await ask(policy)).message == assistant("a\ufffdb")


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (reply({"error": {"message": "boom"}}, 500), PolicyUnavailable, "boom"),
        (reply("<html>bad gateway</html>", 502, "text/html"), PolicyUnavailable, "502|bad gateway"),
        (reply({"error": {"message": "slow down"}}, 429), PolicyUnavailable, "slow down"),
        (reply({"error": {"message": "bad key"}}, 401), PolicyError, "bad key"),
        (reply({"error": {"message": "no such model"}}, 404), PolicyError, "no such model"),
        (reply({"error": {"message": "top_p is wrong"}}, 400), PolicyError, "top_p is wrong"),
        (reply({"error": {"message": "This model's maximum context length is 9"}}, 400), ContextLengthExceeded, "9"),
        (reply("{torn"), PolicyError, "not the answer of a chat endpoint"),
        (reply("null"), PolicyError, "not the answer of a chat endpoint"),
        (reply("[]"), PolicyError, "not the answer of a chat endpoint"),
        (reply("<html>hello</html>", 200, "text/html"), PolicyError, "not the answer of a chat endpoint"),
        (reply({"id": "1"}), PolicyError, "no choices"),
        (reply({"choices": []}), PolicyError, "no choices"),
        (reply({"choices": None}), PolicyError, "no choices"),
        (reply({"choices": [{"index": 0}]}), PolicyError, "not the answer of a chat endpoint"),
        (reply({"choices": ["x"]}), PolicyError, "not the answer of a chat endpoint"),
        (says({"content": 3}), PolicyError, "not an assistant message"),
        (says({"content": None, "tool_calls": [{"function": {"name": "f"}}]}), PolicyError, "not an assistant message"),
        (drop, PolicyUnavailable, "openai:m"),
    ],
)  # fmt: skip
async def test_a_server_that_misbehaves(answer: Answer, kind: type[Exception], said: str) -> None:
    async with serving(answer) as server, started(server.policy()) as policy:
        with pytest.raises(kind, match=said) as error:
            await ask(policy)
    assert type(error.value) is kind


async def test_a_server_that_hangs_runs_into_the_timeout() -> None:
    async with serving(hang) as server, started(server.policy(timeout=0.2)) as policy:
        with pytest.raises(PolicyUnavailable, match="timed out"):
            await ask(policy)


async def test_an_overloaded_server_is_asked_again() -> None:
    busy = reply({"error": {"message": "busy"}}, 503)
    async with serving(busy, says({"content": "x"})) as server, started(server.policy(max_retries=1)) as policy:
        assert (await ask(policy)).message == assistant("x")
    assert len(server.requests) == 2


async def test_a_model_that_is_not_offered() -> None:
    async with serving(hang) as server:
        with pytest.raises(PolicyError, match="does not offer 'gpt'; it offers m"):
            await server.policy("gpt").start()


@pytest.mark.parametrize(
    ("models", "kind"),
    [
        (reply({"error": {"message": "boom"}}, 500), PolicyUnavailable),
        (reply({"error": {"message": "bad key"}}, 401), PolicyUnavailable),
        (reply("{torn"), PolicyUnavailable),
        (reply("<html>hello</html>", 200, "text/html"), PolicyUnavailable),
        (hang, PolicyUnavailable),
    ],
)
async def test_a_server_that_cannot_be_asked_for_its_models(models: Answer, kind: type[Exception]) -> None:
    async with serving(hang) as server:
        server.models = models
        with pytest.raises(kind, match=r"openai:m at http://127\.0\.0\.1"):
            await server.policy(timeout=0.2).start()


@pytest.mark.parametrize("models", [reply({}, 404), reply({"data": []}), reply({})])
async def test_a_server_need_not_list_its_models(models: Answer) -> None:
    async with serving(says({"content": "x"})) as server:
        server.models = models
        async with started(server.policy()) as policy:
            await policy.start()  # again: nothing happens
            assert (await ask(policy)).message == assistant("x")


async def test_a_server_that_is_away() -> None:
    async with serving() as server:
        pass
    with pytest.raises(PolicyUnavailable, match=r"openai:m at http://127.0.0.1:\d+/v1/: Connection error"):
        await server.policy().start()


async def test_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(PolicyUnavailable, match="OPENAI_API_KEY"):
        await OpenAIPolicy("m").start()


async def test_without_the_package_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    policy = make_policy("openai:m")
    with pytest.raises(MissingExtraError, match=r"pip install 'llmgym\[openai\]'"):
        await policy.start()  # type: ignore[union-attr]


async def test_a_run_over_a_server_that_fails_now_and_then() -> None:
    async def letter(request: web.Request) -> web.StreamResponse:
        messages = (await request.json())["messages"]
        if messages[-1]["role"] == "tool":
            return await says({"content": messages[-1]["content"]})(request)
        arguments = json.dumps({"letter": messages[-1]["content"].split()[-1]})
        call = {"id": "1", **tool_call("shout")}
        call["function"] = {"name": "shout", "arguments": arguments}
        return await says({"content": "", "tool_calls": [call]})(request)

    boom = reply({"error": {"message": "boom"}}, 500)
    async with serving(boom, letter, reply("{torn"), letter) as server, started(server.policy()) as policy:
        found = await trajectories(letters(num_tasks=4)(policy=policy))
    assert all(t.reward == 1.25 for t in found.values())
    assert sum(t.attempts for t in found.values()) == 6
