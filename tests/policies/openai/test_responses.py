"""The Responses API: items out, items in, and thoughts that go back as they came."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aiohttp import web

from llmgym.chat import Usage
from llmgym.errors import ConfigError, PolicyError
from llmgym.messages import Message, assistant, system, tool_call, user
from llmgym.policies.openai.reply import Completion
from llmgym.policies.openai.responses import read, write
from llmgym.policies.openai.trouble import Trouble
from tests.endpoints.server import TOOL, Server, ask, reply, serving, started


def text(said: str, **fields: Any) -> dict[str, Any]:
    return {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": said}], **fields}


def called(call_id: str | None = "c1", arguments: Any = '{"a": 1}', **fields: Any) -> dict[str, Any]:
    return {"type": "function_call", "id": "fc", "call_id": call_id, "name": "add", "arguments": arguments, **fields}


def response(*output: Any, status: Any = "completed", **fields: Any) -> dict[str, Any]:
    usage = {"input_tokens": 7, "output_tokens": 3}
    return {"object": "response", "model": "m", "status": status, "output": output, "usage": usage, **fields}


HIDDEN = {"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": "gAAA"}
SUMMARY = {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": "hm"}]}
WORDS = {"type": "reasoning", "id": "rs", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]}


def outcome(*output: Any, **fields: Any) -> Completion | Trouble:
    return read(json.dumps(response(*output, **fields)).encode())


def message_of(*output: Any, **fields: Any) -> Message:
    found = outcome(*output, **fields)
    assert isinstance(found, Completion), found
    return found.message


async def test_a_request_and_its_reply() -> None:
    async with serving() as server, started(server.policy(api="responses")) as policy:
        server.answers = [reply(response(text("x")))]
        conversation = [
            system("s"), user("hi"), assistant("", tool_call("add", None, "c1", a=1)),
            {"role": "tool", "content": "3", "name": "add", "tool_call_id": "c1"}, assistant("y"), user("on"),
        ]  # fmt: skip
        found = await ask(policy, messages=conversation, temperature=0.3, top_p=0.9, max_tokens=11, seed=5)
    assert (found.message, found.usage) == (assistant("x"), Usage(7, 3, calls=1))
    assert server.requests == [
        {
            "model": "m", "temperature": 0.3, "top_p": 0.9, "max_output_tokens": 11, "store": False,
            "include": ["reasoning.encrypted_content"],
            "tools": [{"type": "function", "strict": False, **TOOL["function"]}],
            "input": [
                {"role": "system", "content": "s"}, {"role": "user", "content": "hi"},
                {"type": "function_call", "call_id": "c1", "name": "add", "arguments": '{"a":1}'},
                {"type": "function_call_output", "call_id": "c1", "output": "3"},
                {"role": "assistant", "content": "y"}, {"role": "user", "content": "on"},
            ],
        }
    ]  # fmt: skip


async def second_turn(server: Server, policy: Any, *output: Any) -> list[dict[str, Any]]:
    """The items of a second request, after a first reply."""
    server.answers = [reply(response(*output))]
    first = await ask(policy)
    calls = first.message.get("tool_calls", [])
    for number, call in enumerate(calls):  # as the environment does
        call.setdefault("id", f"call_0_{number}")
    results = [{"role": "tool", "content": "3", "name": "add", "tool_call_id": call["id"]} for call in calls]
    await ask(policy, messages=[user("hi"), first.message, *results, user("on")])
    return server.requests[-1]["input"]


async def test_thoughts_go_back_where_they_stood() -> None:
    async with serving() as server, started(server.policy(api="responses")) as policy:
        items = await second_turn(server, policy, HIDDEN, text("a"), {**HIDDEN, "id": "rs2"}, called(), called(None))
        assert [item.get("id") or item.get("type") or item["role"] for item in items] == [
            "user", "rs", "assistant", "rs2", "function_call", "function_call", "function_call_output",
            "function_call_output", "user",
        ]  # fmt: skip
        assert items[1] == HIDDEN
        again = await second_turn(server, policy, called())
        assert not any(item.get("type") == "reasoning" for item in again)


async def test_thoughts_of_a_reply_that_was_changed_stay_away() -> None:
    async with serving() as server, started(server.policy(api="responses")) as policy:
        server.answers = [reply(response(HIDDEN, text("a")))]
        await ask(policy)
        await ask(policy, messages=[user("hi"), assistant("b"), user("on")])
    assert server.requests[-1]["input"][1] == {"role": "assistant", "content": "b"}


async def test_what_a_server_does_not_know_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    async def picky(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        server.requests.append(body)
        if "include" in body:
            return web.json_response(
                {"error": {"message": "Encrypted content is not supported with this model."}}, status=400
            )
        if "store" in body:
            return web.json_response({"error": {"message": "Unknown parameter: 'store'"}}, status=400)
        return await reply(response(text("x")))(request)

    async with serving(picky) as server, started(server.policy(api="responses")) as policy:
        assert (await ask(policy)).message == assistant("x")
        assert (await ask(policy)).message == assistant("x")
    assert len(caplog.messages) == 2


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ([text("a"), text("b")], assistant("a\nb")),
        ([SUMMARY, text("a")], {**assistant("a"), "reasoning_content": "hm"}),
        ([WORDS, {**SUMMARY}, text("a")], {**assistant("a"), "reasoning_content": "hm\nhm"}),
        ([HIDDEN, text("a")], assistant("a")),
        ([called(arguments={"a": 1})], assistant("", tool_call("add", '{"a": 1}', "c1"))),
        ([called(arguments=None)], assistant("", tool_call("add", "{}", "c1"))),
        ([called(), called()], assistant("", tool_call("add", '{"a": 1}', "c1"), tool_call("add", '{"a": 1}'))),
        ([called(None, id=None)], assistant("", tool_call("add", '{"a": 1}'))),
        ([{"type": "message", "content": "a"}], assistant("a")),
        ([], assistant("")),
    ],
)  # fmt: skip
def test_items_are_read(output: list[Any], message: Message) -> None:
    assert message_of(*output) == message


def test_a_reply_that_was_cut_off() -> None:
    for reason in ("max_output_tokens", "max_tokens"):
        found = outcome(text("a"), status="incomplete", incomplete_details={"reason": reason})
        assert isinstance(found, Completion)
        assert found.finish_reason == "length"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, "content_filter"),
        ({"status": "incomplete", "incomplete_details": None}, '"incomplete"'),
        ({"status": "completed", "incomplete_details": {"reason": "content_filter"}}, "content_filter"),
        ({"status": "cancelled"}, '"cancelled"'), ({"status": "in_progress"}, '"in_progress"'),
        ({"status": None}, "null"), ({"error": {"code": "server_error", "message": "Sorry."}}, "Sorry."),
        ({"output": [{"type": "message", "content": [{"type": "refusal", "refusal": "No."}]}]}, "refused: No."),
        ({"output": [{"type": "web_search_call"}]}, "web_search_call"), ({"output": [3]}, "one of its items is '3'"),
        ({"output": None}, "no output"), ({"output": None, "detail": "not here"}, "not here"),
        ({"output": [called(arguments=[], name=7)]}, "a tool is called 7"),
    ],
)  # fmt: skip
def test_what_is_no_whole_reply(fields: dict[str, Any], said: str) -> None:
    found = outcome(text("a"), **fields)
    assert isinstance(found, Trouble)
    assert said in found.text


@pytest.mark.parametrize(("code", "limited"), [("server_error", False), ("rate_limit_exceeded", True)])
def test_a_failure_that_passes(code: str, limited: bool) -> None:
    found = outcome(status="failed", error={"code": code, "message": "Sorry."})
    assert isinstance(found, Trouble)
    assert (found.passing, found.limited) == (True, limited)


def test_a_message_as_items() -> None:
    made = {"role": "assistant", "content": None, "tool_calls": [tool_call("add", "{}", "c1")]}
    assert write(made) == [{"type": "function_call", "call_id": "c1", "name": "add", "arguments": "{}"}]
    assert write({**made, "content": "a", "reasoning_content": "hm"})[0] == {"role": "assistant", "content": "a"}


async def test_there_is_no_other_api() -> None:
    async with serving() as server:
        with pytest.raises(ConfigError, match="api='chats' must be one of chat, responses"):
            server.policy(api="chats")


async def test_what_the_api_has_no_name_for_is_refused() -> None:
    async with serving(web.json_response(response(text("x")))) as server:
        async with started(server.policy(api="responses")) as policy:
            with pytest.raises(PolicyError, match="the Responses API knows no stop, top_k; leave it out"):
                await ask(policy, stop=("END",), top_k=5)
        assert server.requests == []
