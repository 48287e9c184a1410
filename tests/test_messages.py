"""Chat messages: parsing what models write, and reading actions."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.messages import as_assistant, assistant, parse_tool_calls, scrub, tool_call, user

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
ANY_TEXT = st.text(st.characters(exclude_categories=()))  # lone surrogates too
PIECES = st.lists(st.sampled_from(["<tool_call>", "</tool_call>", '{"name": "f"}', "{", "é", "\ud800", '"', " "]))


def block(call: object) -> str:
    return f"<tool_call>{json.dumps(call)}</tool_call>"


@given(st.text(), st.dictionaries(st.text(), JSON))
def test_a_well_formed_block_keeps_name_and_arguments(name: str, arguments: dict[str, Any]) -> None:
    text = block({"name": name, "arguments": arguments})
    if text.count("</tool_call>") > 1 or text.count("<tool_call>") > 1:
        return
    content, (call,) = parse_tool_calls(f"before {text} after")
    assert content == "before  after"
    assert call["function"]["name"] == scrub(name)
    assert json.loads(call["function"]["arguments"]) == arguments


def test_the_digits_of_a_number_survive() -> None:
    _, (call,) = parse_tool_calls('<tool_call>{"name": "f", "arguments": {"n": 123456789012345678901234567890}}')
    assert call["function"]["arguments"] == '{"n": 123456789012345678901234567890}'


def test_arguments_written_as_a_string_of_json_are_unwrapped() -> None:
    _, (call,) = parse_tool_calls(block({"name": "f", "arguments": '{"a": "é"}'}))
    assert call["function"]["arguments"] == '{"a": "é"}'


def test_absent_arguments_are_none_given() -> None:
    _, (call,) = parse_tool_calls(block({"name": "f"}))
    assert call["function"]["arguments"] == "{}"


@pytest.mark.parametrize(
    "broken", ["", "{", "[]", "7", '"f"', '{"name": 1}', '{"arguments": {}}', "null", '{"name": "f"} x', "[" * 10_000]
)
def test_a_broken_block_keeps_its_text_under_an_empty_name(broken: str) -> None:
    content, (call,) = parse_tool_calls(f"a <tool_call>{broken}</tool_call>")
    assert content == "a"
    assert call["function"] == {"name": "", "arguments": broken}


def test_blocks_are_read_in_order_and_the_last_may_be_unclosed() -> None:
    content, calls = parse_tool_calls(f'x {block({"name": "a"})} y <tool_call>{{"name": "b"}}')
    assert content == "x  y"
    assert [call["function"]["name"] for call in calls] == ["a", "b"]


@given(ANY_TEXT | PIECES.map("".join))
def test_any_text_is_an_action_that_can_be_stored(text: str) -> None:
    message = as_assistant(text)
    assert message["role"] == "assistant"
    orjson.dumps(message)
    assert as_assistant(message) == message


@given(ANY_TEXT)
def test_scrub_changes_lone_surrogates_alone(text: str) -> None:
    clean = scrub(text)
    clean.encode()
    assert len(clean) == len(text)
    assert all(a == b or b == "\ufffd" for a, b in zip(text, clean, strict=True))


@given(ANY_TEXT, ANY_TEXT, ANY_TEXT)
def test_a_message_with_any_text_can_be_stored(content: str, name: str, arguments: str) -> None:
    call = {"id": name, "type": "function", "function": {"name": name, "arguments": arguments}}
    message = as_assistant({"role": "assistant", "content": content, "tool_calls": [call]})
    orjson.dumps(message)


def test_an_action_is_never_shared() -> None:
    action = assistant("", tool_call("f", a=1))
    message = as_assistant(action)
    message["tool_calls"][0]["id"] = "changed"
    message["tool_calls"].append(tool_call("g"))
    assert action == assistant("", tool_call("f", a=1))


def test_reasoning_and_ids_are_kept_and_nulls_dropped() -> None:
    call = {"id": "x", **tool_call("f")}
    given = {"role": "assistant", "content": None, "reasoning_content": "hm", "tool_calls": [call], "refusal": None}
    expected = {"role": "assistant", "content": "", "reasoning_content": "hm", "tool_calls": [call]}
    assert as_assistant(given) == expected
    assert as_assistant({"role": "assistant", "content": "a", "tool_calls": None}) == assistant("a")


@pytest.mark.parametrize(
    "action",
    [
        None,
        7,
        b"text",
        [],
        {},
        user("hi"),
        {"role": "assistant", "content": 3},
        {"role": "assistant", "tool_calls": [{}]},
        {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}]},
    ],
)
def test_anything_else_is_refused_with_what_it_was(action: Any) -> None:
    with pytest.raises(ValueError, match="not an assistant message"):
        as_assistant(action)
