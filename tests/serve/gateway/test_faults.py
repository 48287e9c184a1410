"""What programs do wrong: bodies that are none, too large or too deep, sessions that have ended or were guessed."""

from __future__ import annotations

import asyncio
import gc
import json
import weakref
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.chat import Sampling
from llmgym.serve.gateway.server import Gateway
from tests.rollouts import WordPolicy, Words

PATHS = ["v1/chat/completions", "v1/responses", "v1/messages", "v1/messages/count_tokens", "tools", "v1/models", "x"]


def opened(reply: str = "fine", **bounds: Any) -> tuple[Gateway, Any]:
    policy: Any = WordPolicy(codec := Words(), lambda prompt: reply)
    gateway = Gateway(policy, codec, **bounds)  # type: ignore[arg-type]
    return gateway, gateway.open("e", Sampling(max_tokens=64, stop_token_ids=(0,)))


async def post(gateway: Gateway, path: str, *pieces: bytes) -> tuple[int, dict[bytes, bytes], bytes]:
    """Send a body in pieces; its status, headers and answer."""
    left, sent, gone = list(pieces), list[dict[str, Any]](), asyncio.Event()

    async def receive() -> dict[str, Any]:
        if not left:
            await gone.wait()
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await gateway({"type": "http", "method": "POST", "path": path, "headers": []}, receive, send)
    return sent[0]["status"], dict(sent[0]["headers"]), b"".join(message["body"] for message in sent[1:])


LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just("user") | st.just("tool_use")
KEYS = st.sampled_from([
    "role", "content", "type", "text", "tool_calls", "function", "name", "arguments", "id", "input", "tool_use_id",
    "call_id", "output", "parameters", "input_schema", "messages", "summary", "tools", "namespace",
])  # fmt: skip
JSON: Any = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)
BODIES = st.fixed_dictionaries({}, optional={
    "messages": st.lists(JSON, max_size=3) | JSON, "input": st.lists(JSON, max_size=3) | JSON,
    "tools": st.lists(JSON, max_size=2) | JSON, "system": JSON, "instructions": JSON, "stream": st.booleans() | JSON,
    "max_tokens": st.integers() | JSON, "stop": JSON, "tool_choice": JSON, "text": JSON, "response_format": JSON,
    "n": JSON, "function": JSON,
})  # fmt: skip


@given(st.sampled_from(PATHS), BODIES)
def test_no_body_is_the_gateways_failure(path: str, body: Any) -> None:
    gateway, session = opened()
    status, headers, said = asyncio.run(post(gateway, f"{session.path}/{path}", json.dumps(body).encode()))
    assert status in (200, 400), said
    assert session.trouble is None
    for _, sampling, *_ in gateway._policy.requests:  # type: ignore[attr-defined]
        assert sampling.max_tokens > 0
        assert all(sampling.stop)
    if status == 400:
        assert orjson.loads(said)["error"]["message"]
        assert headers[b"x-should-retry"] == b"false"


@pytest.mark.parametrize("path", PATHS[:5])
@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"null", b"[]", b"\xff\xfe", b'{"messages": "\\ud800"}', b"[" * 100_000,
     b'{"messages":' + b'[{"a":' * 100_000, b'{"messages":[' + b"[" * 5000 + b"]" * 5000 + b"]}"],
)  # fmt: skip
def test_what_is_no_request_is_refused(path: str, body: bytes) -> None:
    gateway, session = opened()
    assert asyncio.run(post(gateway, f"{session.path}/{path}", body))[0] == 400


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("chat/completions", {"n": 2}), ("chat/completions", {"tool_choice": "required"}),
        ("chat/completions", {"response_format": {"type": "json_object"}}), ("chat/completions", {"logprobs": True}),
        ("chat/completions", {"functions": [{"name": "look", "parameters": {}}]}),
        ("responses", {"previous_response_id": "r"}), ("responses", {"conversation": {"id": "c"}}),
        ("responses", {"conversation": "c"}), ("responses", {"text": {"format": {"type": "json_schema"}}}),
        ("messages", {"tool_choice": {"type": "any"}}), ("messages", {"mcp_servers": [{"type": "url", "url": "x"}]}),
    ],
)  # fmt: skip
def test_what_is_not_done_is_refused_by_name(path: str, asked: dict[str, Any]) -> None:
    gateway, session = opened()
    said: Any = [{"role": "user", "content": "x"}]
    for body in ({"messages": said, "input": said}, {"messages": said, "input": said, **dict.fromkeys(asked)}):
        assert asyncio.run(post(gateway, f"{session.path}/v1/{path}", orjson.dumps(body)))[0] == 200
    status, _, told = asyncio.run(post(gateway, f"{session.path}/v1/{path}", orjson.dumps({**body, **asked})))
    assert status == 400
    assert next(iter(asked)) in orjson.loads(told)["error"]["message"]


@pytest.mark.parametrize("body", [{"text": {"format": None}}, {"text": None}, {"text": {"verbosity": "low"}}])
def test_a_format_that_is_none_is_none(body: Any) -> None:
    gateway, session = opened()
    given = json.dumps({"input": "x", **body}).encode()
    assert asyncio.run(post(gateway, f"{session.path}/v1/responses", given))[0] == 200


@pytest.mark.parametrize(
    "arguments",
    ['{"a":123456789012345678901234567890}', '{"a":1.10,"b":1e400}', '{"a":NaN}', "[1]", "{", '{"a":1,"a":2}',
     '{"a":' + "[" * 500 + "]" * 500 + "}"],
)  # fmt: skip
@pytest.mark.parametrize("stream", [False, True])
def test_whatever_arguments_a_model_writes_reach_the_program_and_come_back(arguments: str, stream: bool) -> None:
    gateway, session = opened(f'<tool_call>{{"name":"look","arguments":{arguments}}}</tool_call>')
    said: Any = [{"role": "user", "content": "x"}]

    async def ask() -> Any:
        body = json.dumps({"messages": said, "stream": stream, "tools": [{"name": "look", "input_schema": {}}]})
        status, _, answer = await post(gateway, f"{session.path}/v1/messages", body.encode())
        assert status == 200, answer
        if not stream:
            return json.loads(answer, parse_constant=pytest.fail)["content"]
        events = [json.loads(line[6:]) for line in answer.decode().splitlines() if line.startswith("data: ")]
        (start,) = (event["content_block"] for event in events if event["type"] == "content_block_start")
        (delta,) = (event["delta"] for event in events if event["type"] == "content_block_delta")
        return [{**start, "input": json.loads(delta["partial_json"], parse_constant=pytest.fail)}]

    async def run() -> None:
        content = await ask()
        result = {"type": "tool_result", "tool_use_id": content[0]["id"], "content": "seen"}
        said.extend([{"role": "assistant", "content": content}, {"role": "user", "content": [result]}])
        await ask()

    asyncio.run(run())
    first, second = session.recording.nodes
    assert second.parent is first  # the tokens go on
    assert session.trouble is None


def test_a_body_that_is_too_large_is_refused_before_it_is_there() -> None:
    gateway, session = opened(body_limit=1000)
    status, _, said = asyncio.run(post(gateway, f"{session.path}/v1/messages", *[b"x" * 600] * 50))
    assert (status, b"larger than 1000 bytes" in said) == (413, True)


def test_sessions_that_ended_or_were_guessed_are_not_there() -> None:
    async def run() -> None:
        gateway, session = opened()
        await gateway.close(session)
        body = orjson.dumps({"messages": [{"role": "user", "content": "x"}]})
        for path in (session.path, "/s/guess", "/s/", "/s", ""):
            status, headers, _ = await post(gateway, f"{path}/v1/chat/completions", body)
            assert (status, headers[b"x-should-retry"]) == (404, b"false")

    asyncio.run(run())


def test_a_session_that_has_ended_leaves_nothing() -> None:
    async def run() -> None:
        gateway, session = opened()
        body = orjson.dumps({"messages": [{"role": "user", "content": "x"}]})
        assert (await post(gateway, f"{session.path}/v1/chat/completions", body))[0] == 200
        left = [weakref.ref(session), weakref.ref(session.attempts), weakref.ref(session.reader)]
        await gateway.close(session)
        del session
        await asyncio.sleep(0)
        gc.collect()
        assert [one() for one in left] == [None, None, None]
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(run())
