"""What servers refuse is learned once, from their words, said once, and sent otherwise."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web

from llmgym.errors import ContextLengthExceeded, PolicyError
from llmgym.messages import Message, assistant, tool_call, user
from tests.endpoints.server import ask, completion, says, serving, started

ASKED = {"temperature": 0.3, "top_p": 0.9, "seed": 5, "max_tokens": 7}
PARAMETERS = {"temperature", "top_p", "seed", "max_completion_tokens"}
Check = Callable[[dict[str, Any]], Any]


def picky(check: Check, status: int = 400) -> Any:
    """A server that answers what `check` finds nothing wrong with."""

    async def answer(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        if wrong := check(body):
            error = wrong if isinstance(wrong, dict) else {"error": {"message": wrong}}
            return web.json_response(error, status=status)
        return web.json_response(completion({"content": "x"}))

    return answer


def unless(name: str, words: Any) -> Check:
    """Complains with these words where a parameter is given."""
    return lambda body: words if name in body else None


WORDS = [
    ("temperature", "Unsupported value: 'temperature' does not support 0.3 with this model. Only the default (1) value "
                    "is supported."),
    ("temperature", "Unsupported parameter: 'temperature' is not supported with this model."),
    ("temperature", "`temperature` is deprecated for this model."),
    ("temperature", {"error": {"message": "No.", "param": "temperature", "code": "unsupported_value"}}),
    ("temperature", {"error": "400 Bad Request", "details": {"error": {"message": "azure: no", "param": "temperature",
                                                                       "code": "unsupported_parameter"}}}),
    ("top_p", "`temperature` and `top_p` cannot both be specified for this model. Please use only one."),
    ("top_p", "Unsupported parameter: 'top_p' is not supported with this model."),
    ("top_p", "Argument not supported on this model: top_p"),
    ("seed", "property 'seed' is unsupported"),
    ("seed", 'Invalid JSON payload received. Unknown name "seed": Cannot find field.'),
    ("seed", {"object": "error", "message": {"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"],
                                                         "msg": "Extra inputs are not permitted", "input": 5}]}}),
    ("seed", "Additional properties are not allowed ('seed' was unexpected)"),
    ("seed", "create() got an unexpected keyword argument 'seed'"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "words"), WORDS)
@pytest.mark.parametrize("status", [400, 422])
async def test_a_parameter_that_is_refused_is_left_out(
    name: str, words: Any, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(picky(unless(name, words), status)) as server, started(server.policy()) as policy:
        for _ in range(3):
            assert (await ask(policy, **ASKED)).message == assistant("x")
    given = [PARAMETERS & request.keys() for request in server.requests]
    assert given == [PARAMETERS, *[PARAMETERS - {name}] * 3]
    assert caplog.messages == [f"openai:m does not take {name}: it is left out, and the server's own default holds"]
    assert caplog.records[0].levelno == logging.WARNING


@pytest.mark.parametrize(
    "words",
    [
        "Unrecognized request argument supplied: max_completion_tokens",
        "[{'type': 'extra_forbidden', 'loc': ('body', 'max_completion_tokens'), 'msg': 'Extra inputs are not permitted'"
        ", 'input': 7}]",
        "Extra inputs are not permitted, field: 'max_completion_tokens', value: 7",
        "'max_completion_tokens' is not supported. Use 'max_tokens' instead.",
        {"detail": [{"type": "extra_forbidden", "loc": ["body", "max_completion_tokens"], "msg": "Extra inputs are not "
                     "permitted", "input": 7}]},
    ],
)  # fmt: skip
async def test_the_limit_has_an_older_name(words: Any, caplog: pytest.LogCaptureFixture) -> None:
    async with serving(picky(unless("max_completion_tokens", words))) as server, started(server.policy()) as policy:
        await ask(policy, **ASKED)
        await ask(policy, **ASKED)
    limits = [{name: value for name, value in request.items() if "tokens" in name} for request in server.requests]
    assert limits == [{"max_completion_tokens": 7}, {"max_tokens": 7}, {"max_tokens": 7}]
    assert caplog.messages == ["openai:m knows no max_completion_tokens: the limit of a reply is sent as max_tokens"]


async def test_a_reply_without_a_limit_is_never_asked_for() -> None:
    def check(body: dict[str, Any]) -> Any:
        return next((f"Unsupported parameter: '{name}'" for name in body if name.startswith("max_")), None)

    async with serving(picky(check)) as server, started(server.policy()) as policy:
        with pytest.raises(PolicyError, match="HTTP 400: Unsupported parameter: 'max_tokens'"):
            await ask(policy)
    assert len(server.requests) == 2


async def test_a_reasoning_model_refuses_one_after_the_other(caplog: pytest.LogCaptureFixture) -> None:
    def check(body: dict[str, Any]) -> Any:
        refused = next((name for name in ("seed", "temperature", "top_p") if name in body), None)
        return refused and f"Unsupported parameter: '{refused}' is not supported with this model."

    async with serving(picky(check)) as server, started(server.policy()) as policy:
        await asyncio.gather(*(ask(policy, **ASKED) for _ in range(8)))
        await ask(policy, **ASKED)
    assert PARAMETERS & server.requests[-1].keys() == {"max_completion_tokens"}
    assert len(server.requests) == 8 * 4 + 1
    assert len(caplog.messages) == 3  # once each, however many asked at once


@pytest.mark.parametrize(
    "words",
    [
        "temperature must be between 0 and 0.2",
        "Invalid 'temperature': decimal above maximum value. Expected a value <= 0.2, but got 0.3 instead.",
        "top_p is wrong",
        "Unknown parameter: 'temperatures'",
        "Unsupported parameter: 'messages.temperature'",
        "'tools' is not supported with this model; temperature is",
        "unknown field in {'temperature': 0.3, 'seed': 5}",
        "m does not support tools",
        {"error": {"message": "temperature is not supported", "param": "tools", "code": "unsupported_parameter"}},
    ],
)
async def test_other_refusals_are_errors(words: Any, caplog: pytest.LogCaptureFixture) -> None:
    async with serving(picky(lambda _: words)) as server, started(server.policy()) as policy:
        with pytest.raises(PolicyError, match="HTTP 400: "):
            await ask(policy, **ASKED)
    assert len(server.requests) == 1
    assert not caplog.messages


async def test_what_did_not_help_is_not_learned(caplog: pytest.LogCaptureFixture) -> None:
    stubborn = picky(lambda _: "Unsupported parameter: 'temperature' is not supported")
    async with serving(stubborn) as server, started(server.policy()) as policy:
        for _ in range(2):
            with pytest.raises(PolicyError, match="'temperature' is not supported"):
                await ask(policy, **ASKED)
        server.answers = [says({"content": "x"})]
        await ask(policy, **ASKED)
    assert server.requests[-1].keys() >= PARAMETERS
    assert not caplog.messages


async def test_a_long_conversation_is_no_parameter() -> None:
    long = "prompt is too long: 9 tokens > 8 maximum (temperature is not supported)"
    async with serving(picky(lambda _: long)) as server, started(server.policy()) as policy:
        with pytest.raises(ContextLengthExceeded):
            await ask(policy, **ASKED)
    assert len(server.requests) == 1


# --- histories ----------------------------------------------------------------------------------


def content_is(value: Any, beside_calls: bool | None = None) -> Check:
    def check(body: dict[str, Any]) -> bool:
        return any(
            message["content"] == value and beside_calls in (None, "tool_calls" in message)
            for message in body["messages"]
        )

    return check


def calls_of(body: dict[str, Any]) -> list[dict[str, Any]]:
    return [message for message in body["messages"] if message.get("tool_calls")]


def thoughtless(body: dict[str, Any]) -> bool:
    return any("reasoning_content" not in message for message in calls_of(body))


def several(body: dict[str, Any]) -> bool:
    return any(len(message["tool_calls"]) > 1 for message in calls_of(body))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (content_is(None), "invalid message content type: <nil>"),
        (content_is(None), "Invalid type for 'messages[1].content': expected a string, but got null instead."),
        (content_is(None), "None is not of type 'string' - 'messages.1.content'"),
        (content_is(None), {"detail": [{"loc": ["body", "messages", 1, "content"],
                                        "msg": "Input should be a valid string"}]}),
        (content_is(""), "messages.3: all messages must have non-empty content except for the optional final assistant "
                         "message"),
        (content_is(""), "messages: text content blocks must be non-empty"),
        (content_is(""), "Invalid request: the message at position 3 with role 'assistant' must not be empty"),
        (content_is(""), "text content blocks must contain non-whitespace text"),
        (content_is(""), "The content field in the Message object at messages.3 is empty. Add a ContentBlock object."),
        (lambda body: content_is("")(body) or content_is(None)(body), "bedrock error: The content field in the Message "
         "object at messages.1 is empty. Add a ContentBlock object to the content field and try again."),
        (thoughtless, "thinking is enabled but reasoning_content is missing in assistant tool call message at index 1"),
        (thoughtless, "The `reasoning_content` in the thinking mode must be passed back to the API."),
        (thoughtless, "messages[1]: assistant message with tool_calls must include reasoning_content."),
        (thoughtless, "Missing `reasoning_content` field in the assistant message at message index 1."),
        (several, "This model only supports single tool-calls at once!"),
    ],
)  # fmt: skip
async def test_a_history_is_sent_as_the_server_takes_it(
    wrong: Any, words: Any, caplog: pytest.LogCaptureFixture
) -> None:
    conversation: list[Message] = [
        user("hi"),
        {**assistant("", tool_call("add"), tool_call("add")), "reasoning_content": "hm"},
        {"role": "tool", "content": "3", "name": "add"},
        {"role": "tool", "content": "", "name": "add"},
        assistant(""),
        user("on"),
    ]
    async with (
        serving(picky(lambda body: words if wrong(body) else None)) as server,
        started(server.policy()) as policy,
    ):
        await ask(policy, messages=conversation)
        await ask(policy, messages=conversation)
    assert len(server.requests) <= 4
    assert server.requests[-1] == server.requests[-2]
    assert caplog.messages
    assert all("earlier messages are sent in another form" in line for line in caplog.messages)
