"""The policy of chat endpoints against a small real server that misbehaves."""

from __future__ import annotations

import copy
import json
import logging
import re
import sys
import traceback
from typing import Any

import pytest
from aiohttp import web

from llmgym.chat import ChatPolicy, Usage
from llmgym.errors import (
    ConfigError,
    LLMGymError,
    MissingExtraError,
    PolicyError,
    PolicyUnavailable,
)
from llmgym.messages import Message, assistant, tool_call, user
from llmgym.policies import make_policy
from llmgym.policies.openai import OpenAIPolicy
from tests.endpoints.server import (
    TOOL,
    Answer,
    ask,
    completion,
    hang,
    refuses,
    reply,
    says,
    serving,
    started,
)
from tests.rollouts import letters, trajectories


async def test_a_request_and_its_reply() -> None:
    call = {"id": "c1", "type": "function", "index": 0, "function": {"name": "add", "arguments": '{"a": 1'}}
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    answer = says({"content": None, "tool_calls": [call], "reasoning_content": "hm", "refusal": None}, usage=usage)
    async with serving(answer) as server, started(server.policy()) as policy:
        await policy.start()  # again: nothing happens
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


async def test_ways_to_sample_are_sent_where_they_are_set() -> None:
    ways: dict[str, Any] = {"top_k": 20, "min_p": 0.1, "repetition_penalty": 1.1, "presence_penalty": -1.0,
                            "frequency_penalty": 0.5}  # fmt: skip
    async with serving(says({"content": "x"})) as server, started(server.policy()) as policy:
        await ask(policy)
        await ask(policy, stop=("\n\n", "END"), **ways)
    assert server.requests[0].keys().isdisjoint({"stop", *ways})
    assert {name: server.requests[1][name] for name in ("stop", *ways)} == {"stop": ["\n\n", "END"], **ways}


async def test_without_tools_none_are_sent() -> None:
    async with serving(says({"content": "x"})) as server, started(server.policy()) as policy:
        await ask(policy, tools=())
    assert server.requests[0].keys().isdisjoint({"tools", "seed"})


@pytest.mark.parametrize("model", ["gpt", "m:7b", "models/gpt", "M"])
async def test_a_model_that_is_not_offered(model: str) -> None:
    async with serving(hang) as server:
        server.models = reply({"data": [{"id": "m:8b"}, {"id": "n"}]})
        with pytest.raises(PolicyError, match=f"v1 does not offer '{model}'; it offers m:8b, n"):
            await server.policy(model).start()


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


async def test_a_server_that_is_away() -> None:
    async with serving() as server:
        pass
    with pytest.raises(PolicyUnavailable, match=r"openai:m at http://127.0.0.1:\d+/v1: Connection error"):
        await server.policy().start()


async def test_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(PolicyUnavailable, match="OPENAI_API_KEY"):
        await OpenAIPolicy("m").start()


async def test_without_the_package_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    policy = make_policy("openai:m")
    with pytest.raises(MissingExtraError, match=r"pip install 'llmgym\[openai\]'"):
        await policy.start()  # type: ignore[union-attr]


# --- what it costs ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("usage", "prices", "expected"),
    [
        (None, None, Usage(calls=1)),
        (None, {"input": 1, "output": 10}, Usage(calls=1)),
        ({"prompt_tokens": 7, "completion_tokens": 3}, None, Usage(7, 3, calls=1)),
        ({"prompt_tokens": 700_000, "completion_tokens": 30_000}, {"input": 1, "output": 10.0},
         Usage(700_000, 30_000, cost=1.0, calls=1)),
        ({"prompt_tokens": 7, "completion_tokens": 3, "cost": 0.25}, {"input": 1, "output": 10}, Usage(7, 3, 0.25, 1)),
        ({"prompt_tokens": 7, "completion_tokens": 3, "cost": 0.0}, None, Usage(7, 3, 0.0, 1)),
    ],
)  # fmt: skip
async def test_tokens_and_dollars(usage: Any, prices: Any, expected: Usage) -> None:
    async with serving(says({"content": "x"}, usage=usage)) as server, started(server.policy(prices=prices)) as policy:
        assert (await ask(policy)).usage == expected


@pytest.mark.parametrize(
    "prices",
    [{"input": 1}, {"input": 1, "output": 2, "cached": 3}, {"input": "1", "output": 2}, {"input": -1, "output": 2},
     {"input": float("nan"), "output": 2}, 3, {1: 2}],
)  # fmt: skip
def test_what_are_no_prices(prices: Any) -> None:
    with pytest.raises(ConfigError, match="prices"):
        make_policy("openai:m", prices=prices)


# --- secrets ------------------------------------------------------------------------------------


def dump(value: Any) -> str:
    """All that a dump of a configuration would find."""
    return json.dumps(value, default=lambda thing: getattr(thing, "__dict__", None) or repr(thing))


def shown(error: BaseException) -> str:
    """An error with all that led to it."""
    assert error.__cause__ is error.__context__ is None
    return "".join(traceback.format_exception_only(error)) + dump(vars(error))


@pytest.mark.parametrize("status", [200, 400, 401, 500])
async def test_secrets_are_shown_nowhere(status: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "llmgym")

    async def echo(request: web.Request) -> web.StreamResponse:
        heard = f"{'x' * 480} {dict(request.headers)} sk-secret us:hunter22"
        return web.json_response({"error": {"message": heard}}, status=status)

    async with serving(echo) as server:
        policy = server.policy(base_url=server.url.replace("//", "//us:hunter22@"), api_key="sk-secret")
        seen = [repr(policy), policy.name, policy.model, dump(policy), dump(vars(policy)), dump(policy.options)]
        async with started(policy):
            seen += [repr(policy), dump(policy)]
            with pytest.raises(PolicyError) as error:
                await ask(policy)
        seen.append(shown(error.value))
        server.models = echo
        with pytest.raises(PolicyError) as error:
            await policy.start()
        seen += [shown(error.value), caplog.text]
    with pytest.raises(PolicyUnavailable) as error:
        await policy.start()
    seen.append(shown(error.value))
    for text in seen:
        assert not re.search("secret|hunter22|us:|c2stc2VjcmV0|dXM6", text), text
    assert "127.0.0.1" in seen[0]


async def test_a_key_that_is_no_header_is_shown_nowhere() -> None:
    for key in ("sk-secret\nsecond", "sk-secré"):
        with pytest.raises(PolicyError) as error:
            await OpenAIPolicy("m", base_url="http://127.0.0.1:9/v1", api_key=key, max_retries=0).start()
        assert "secr" not in shown(error.value)


def test_the_identity_holds_what_decides_the_replies(monkeypatch: pytest.MonkeyPatch) -> None:
    first = OpenAIPolicy("m", base_url="http://u:p@gpu:8000/v1", api_key="sk-secret", timeout=1, max_retries=1)
    assert first.options == {"base_url": "http://gpu/v1", "api": "chat"}
    assert first.options == OpenAIPolicy("m", base_url="http://gpu:9000/v1/", prices={"input": 1, "output": 2}).options
    assert first.options != OpenAIPolicy("m", base_url="http://gpu:8000/v2").options
    monkeypatch.setenv("OPENAI_BASE_URL", "https://elsewhere/v1")
    assert OpenAIPolicy("m", api="responses").options == {"base_url": "https://elsewhere/v1", "api": "responses"}


# --- busy servers -------------------------------------------------------------------------------


async def test_a_server_that_asks_to_wait_for_too_long_is_unavailable() -> None:
    busy = reply({"error": {"message": "slow down"}}, 429, retry_after="3600")
    async with serving(busy) as server, started(server.policy(max_retries=3)) as policy:
        with pytest.raises(PolicyUnavailable, match="slow down; it asks to wait 3600 s"):
            await ask(policy)
    assert len(server.requests) == 1


async def test_tries_are_used_up() -> None:
    async with serving(refuses("boom", 500)) as server, started(server.policy(max_retries=1)) as policy:
        with pytest.raises(PolicyUnavailable, match="boom"):
            await ask(policy)
    assert len(server.requests) == 2


# --- conversations ------------------------------------------------------------------------------


async def test_messages_and_tools_stay_as_they_are() -> None:
    conversation: list[Message] = [
        user("hi"),
        {**assistant("", tool_call("functions.add"), tool_call("add")), "reasoning_content": "hm"},
        {"role": "tool", "content": "no", "name": "functions.add"},
        {"role": "tool", "content": "3", "name": "add"},
    ]
    conversation[1]["tool_calls"][1]["function"]["arguments"] = '{"a": '  # type: ignore[typeddict-item]
    before, tools = copy.deepcopy(conversation), [copy.deepcopy(TOOL)]
    async with serving(says({"content": "x"})) as server, started(server.policy()) as policy:
        await ask(policy, tools=tools, messages=conversation)
        await ask(policy, tools=tools, messages=[*conversation, user("on")])
    assert (conversation, tools) == (before, [TOOL])
    first, second = (request["messages"] for request in server.requests)
    assert second == [*first, user("on")]
    assert [call["function"] for call in first[1]["tool_calls"]] == [
        {"name": "functions_add", "arguments": "{}"},
        {"name": "add", "arguments": '{"invalid_arguments": "{\\"a\\": "}'},
    ]
    assert "reasoning_content" not in first[1]


async def strict(request: web.Request) -> web.StreamResponse:
    """Checks a history as the strictest servers together do; calls a tool badly for three turns, then stops."""
    messages = (await request.json())["messages"]
    waiting: list[str] = []
    for message in messages:
        if message.keys() - {"role", "content", "tool_calls", "tool_call_id", "name"}:
            return web.json_response({"error": {"message": f"Unknown parameter in {message}"}}, status=400)
        for call in message.get("tool_calls", ()):
            arguments, name = call["function"]["arguments"], call["function"]["name"]
            if not isinstance(json.loads(arguments), dict) or not re.fullmatch("[a-zA-Z0-9_-]{1,64}", name):
                return web.json_response({"error": {"message": f"bad call {call}"}}, status=400)
            waiting.append(call["id"])
        if message["role"] == "tool":
            waiting.remove(message["tool_call_id"])
    function = {"name": "functions.shout", "arguments": '{"letter": "a"'}
    bad = [{"id": None, "function": function}, {"function": {"name": "shout", "arguments": "[]"}}]
    turn = sum(message["role"] == "assistant" for message in messages)
    called = {"content": None, "reasoning": "hm", "tool_calls": bad}
    return web.json_response(completion(called, "tool_calls") if turn < 3 else completion({"content": "?"}))


async def test_what_a_model_writes_wrong_is_never_a_failure_of_the_endpoint() -> None:
    async with serving(strict) as server, started(server.policy()) as policy:
        found = await trajectories(letters(num_tasks=2, max_attempts=1)(policy=policy))
    assert [(t.status, t.reward, len(t.turns)) for t in found.values()] == [("completed", 0.0, 4)] * 2
    for trajectory in found.values():  # the transcript has what the model wrote
        function = trajectory.messages[2]["tool_calls"][0]["function"]  # type: ignore[typeddict-item]
        assert function == {"name": "functions.shout", "arguments": '{"letter": "a"'}


async def test_a_policy_that_is_not_started() -> None:
    policy = OpenAIPolicy("m", api_key="key")
    assert isinstance(policy, ChatPolicy)
    with pytest.raises(PolicyError, match="openai:m is not started"):
        await ask(policy)
    await policy.close()


@pytest.mark.parametrize("url", ["localhost:8000", "http://u:hunter22@[host/v1"])
def test_a_wrong_address(url: str) -> None:
    with pytest.raises(ConfigError, match="no address of a server") as error:
        make_policy("openai:m", base_url=url)
    assert isinstance(error.value, LLMGymError)


@pytest.mark.parametrize(
    "options", [{"timeout": 0}, {"timeout": float("inf")}, {"unavailable_timeout": -1}, {"max_retries": -1}]
)
def test_numbers_that_make_no_sense(options: Any) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        make_policy("openai:m", **options)
