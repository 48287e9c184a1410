from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.messages import as_assistant
from llmgym.policies.openai.chat_completions import read as read_reply
from llmgym.policies.openai.chat_completions import read_broken_call
from llmgym.policies.openai.reply import Completion
from llmgym.policies.openai.trouble import Trouble
from tests.endpoints.server import completion

TEXT, ADD = {"type": "text", "text": "3"}, {"name": "add", "arguments": "{}"}


def read(message: dict[str, Any], reason: str = "stop", **extra: Any) -> Completion:
    found = read_reply(json.dumps(completion(message, reason, **extra)).encode())
    assert isinstance(found, Completion), found
    return found


@pytest.mark.parametrize(
    ("message", "thoughts"),
    [
        ({"content": "3", "reasoning_content": "hm"}, "hm"),
        ({"content": "3", "reasoning": "hm"}, "hm"),
        ({"content": "3", "reasoning": "", "reasoning_content": None, "thinking": "hm"}, "hm"),
        ({"content": "3", "reasoning": "hm", "reasoning_content": "hm"}, "hm"),
        ({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, TEXT]}, "hm"),
        ({"content": [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]}, TEXT]}, "hm"),
        ({"content": [{"type": "thinking", "thinking": "h"}, TEXT, {"type": "thinking", "thinking": "m"}]}, "hm"),
        ({"content": [{"type": "redacted_thinking", "data": "x"}, TEXT]}, None),
        ({"content": "3", "reasoning_details": [{"type": "reasoning.summary", "summary": "hm"}]}, "hm"),
        ({"content": "3", "reasoning": {"effort": "low"}, "reasoning_details": [{"data": "x"}]}, None),
        ({"content": "3", "reasoning": 7}, None),
    ],
)
def test_thoughts_are_kept_apart(message: dict[str, Any], thoughts: str | None) -> None:
    expected = {"role": "assistant", "content": "3"} | ({} if thoughts is None else {"reasoning_content": thoughts})
    assert read(message).message == expected


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ({"id": "c", "type": "function", "index": 0, "function": ADD}, {"id": "c", "function": ADD}),
        ({"id": None, "type": None, "function": ADD}, {"function": ADD}),
        ({"id": " ", "function": ADD}, {"function": ADD}),
        ({"id": 0, "function": ADD}, {"id": "0", "function": ADD}),
        ({"function": {"name": "add", "arguments": {"a": "é", "b": [1]}}},
         {"function": {"name": "add", "arguments": '{"a": "é", "b": [1]}'}}),
        ({"function": {"name": "add", "arguments": None}}, {"function": ADD}),
        ({"function": {"name": "add", "arguments": " "}}, {"function": ADD}),
        ({"function": {"name": "add"}}, {"function": ADD}),
        ({"function": {"name": "add", "arguments": '{"a": '}}, {"function": {"name": "add", "arguments": '{"a": '}}),
        ({"function": {"name": "add", "arguments": "{  }"}}, {"function": {"name": "add", "arguments": "{  }"}}),
        ({"function": {"name": None, "arguments": "{}"}}, {"function": {"name": "", "arguments": "{}"}}),
    ],
)  # fmt: skip
def test_a_call_in_any_form(call: dict[str, Any], expected: dict[str, Any]) -> None:
    message = read({"content": None, "tool_calls": [call]}, "tool_calls").message
    assert message == {"role": "assistant", "content": "", "tool_calls": [{"type": "function", **expected}]}


def test_calls_of_one_id_are_told_apart() -> None:
    twice = [{"id": "c", "function": ADD}, {"id": "c", "function": ADD}, {"id": "d", "function": ADD}]
    calls = read({"content": None, "tool_calls": twice}).message["tool_calls"]  # type: ignore[typeddict-item]
    assert [call.get("id") for call in calls] == ["c", None, "d"]


@pytest.mark.parametrize(
    ("usage", "tokens", "cost"),
    [
        (None, None, None),
        ([], None, None),
        ({}, None, None),
        ({"prompt_tokens": 7, "completion_tokens": 3}, (7, 3), None),
        ({"input_tokens": 7, "output_tokens": 3}, (7, 3), None),
        ({"prompt_tokens": None, "completion_tokens": 3}, (0, 3), None),
        ({"prompt_tokens": None, "completion_tokens": None}, None, None),
        ({"prompt_tokens": "7", "completion_tokens": -1}, None, None),
        ({"prompt_tokens": True, "completion_tokens": 3.0}, (0, 3), None),
        ({"cost": 0.25}, None, 0.25),
        ({"cost": 0}, None, 0),
        ({"cost": {"input_tokens_cost": 0.1, "total_cost": 0.5}}, None, 0.5),
        ({"estimated_cost": 0.125}, None, 0.125),
        ({"cost": "free"}, None, None),
        ({"cost": float("nan")}, None, None),
    ],
)
def test_usage(usage: Any, tokens: Any, cost: Any) -> None:
    found = read({"content": "x"}, usage=usage)
    assert (found.tokens, found.cost) == (tokens, cost)


@pytest.mark.parametrize(
    "body",
    ["{}", "[]", '{"error": []}', '{"error": {"code": 1}}', '{"error": {"code": "tool_use_failed"}}', "torn",
     "[" * 5000, '{"error": {"code": "tool_use_failed", "failed_generation": null}}'],
)  # fmt: skip
def test_what_is_no_broken_call(body: str) -> None:
    assert read_broken_call(body.encode()) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
GOOD = completion(
    {
        "content": [TEXT, {"type": "thinking", "thinking": [TEXT]}],
        "reasoning_content": None,
        "refusal": None,
        "tool_calls": [{"id": "c", "type": "function", "function": ADD}],
        "function_call": None,
    },
    usage={"prompt_tokens": 1, "completion_tokens": 2, "cost": 0.5},
    error=None,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in items for place in places(item, (*path, key)))]


@given(st.sampled_from(places(GOOD)), JSON)
def test_anything_anywhere_is_a_whole_reply_or_none(place: tuple[Any, ...], value: Any) -> None:
    body = {"root": copy.deepcopy(GOOD)}
    holder: Any = body
    for key in (steps := ("root", *place))[:-1]:
        holder = holder[key]
    holder[steps[-1]] = value
    found = read_reply(json.dumps(body["root"]).encode())
    if isinstance(found, Trouble):
        assert found.text
    else:
        assert found.message == as_assistant(found.message)


@given(st.text(max_size=30))
def test_any_text_is_no_reply(text: str) -> None:
    assert isinstance(read_reply(text.encode()), Trouble)
    Trouble.said(text, 400)


@given(JSON)
def test_any_json_is_read_as_an_error(body: Any) -> None:
    found = Trouble.said(json.dumps(body), 500)
    assert found.passing
    assert found.text.startswith("HTTP 500: ")
