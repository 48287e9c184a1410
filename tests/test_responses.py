"""The Responses form of a transcript: nothing is lost, nothing is written that need not be."""

from __future__ import annotations

import json
from typing import Any, Literal

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.errors import LLMGymError, MessageError
from llmgym.messages import Message, ToolSchema, assistant, system, tool_call, user
from llmgym.responses import from_items, from_tools, to_input, to_items, to_tools

TEXT = st.sampled_from(["", "a", "é🙂\u2028\x00", "null"]) | st.text(max_size=5)
CALLS = st.builds(
    lambda has, name, arguments: {"function": {"name": name, "arguments": arguments}} | has,
    st.fixed_dictionaries({}, optional={"id": TEXT, "type": st.just("function")}),
    TEXT,
    TEXT,
)
# Whatever the type allows, sensible or not.
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["system", "user", "assistant", "assistant", "tool", "tool"]), "content": TEXT},
        optional={
            "tool_calls": st.lists(CALLS, max_size=3),
            "reasoning_content": TEXT,
            "tool_call_id": TEXT,
            "name": TEXT,
        },
    ),
    max_size=6,
)
SCHEMAS = st.lists(
    st.builds(
        lambda name, about, parameters: {
            "type": "function",
            "function": {"name": name, "description": about, "parameters": parameters},
        },
        TEXT,
        TEXT,
        st.dictionaries(TEXT, TEXT),
    )
)
CALL: Any = {"id": "c", **tool_call("add", a=1)}
RESULT: Any = {"role": "tool", "tool_call_id": "c", "name": "add", "content": "1"}


@given(MESSAGES)
def test_messages_come_back_from_their_items(messages: list[Message]) -> None:
    assert from_items(orjson.loads(orjson.dumps(to_items(messages)))) == messages
    assert from_items(orjson.loads(orjson.dumps(to_input(messages)))) == messages


@given(MESSAGES)
def test_messages_come_back_from_items_that_went_through_arrow(messages: list[Message]) -> None:
    """Each object gets the fields of all others as nulls."""
    items = to_items(messages)
    keys = {key for item in items for key in item}
    assert from_items([dict.fromkeys(keys) | item for item in items]) == messages


@given(MESSAGES)
def test_what_is_read_is_not_shared_with_what_it_was_read_from(messages: list[Message]) -> None:
    items = to_items(messages)
    before = orjson.dumps(items)
    for message in from_items(items):
        for call in message.get("tool_calls", ()):
            call["function"]["name"] += "!"
    assert orjson.dumps(items) == before


@given(SCHEMAS)
def test_schemas_come_back_from_their_flat_form(schemas: list[ToolSchema]) -> None:
    assert from_tools(to_tools(schemas)) == schemas
    assert from_tools(schemas) == schemas


def test_a_usual_episode_has_the_standard_items_and_no_more() -> None:
    thought: Message = {**assistant("so", CALL, {**CALL, "id": "d"}), "reasoning_content": "hm"}
    messages = [assistant("", CALL), RESULT, thought, RESULT, {**RESULT, "tool_call_id": "d"}, user("u"), assistant("")]
    called = {"type": "function_call", "call_id": "c", "name": "add", "arguments": '{"a":1}'}
    result = {"type": "function_call_output", "call_id": "c", "output": "1"}
    assert to_items(messages) == [
        called,
        result,
        {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "so"}]},
        called,
        called | {"call_id": "d"},
        result,
        result | {"call_id": "d"},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "u"}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": ""}]},
    ]
    assert to_input([system("s"), user("u"), assistant("", CALL), RESULT, assistant("x")]) == [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "u"},
        called,
        result,
        {"role": "assistant", "content": "x"},
    ]


def test_openai_takes_the_items_as_input() -> None:
    responses = pytest.importorskip("openai.types.responses")
    adapter = pytest.importorskip("pydantic").TypeAdapter
    messages = [system("s"), user("u"), assistant("", CALL), RESULT, assistant("x"), assistant("", CALL), user("y")]
    adapter(list[responses.ResponseInputItemParam]).validate_python(to_input(messages))
    call, result = to_items([assistant("", CALL), RESULT])
    responses.ResponseFunctionToolCall.model_validate(call, strict=True)
    adapter(list[responses.ResponseInputItemParam]).validate_python([call, result])


def test_two_messages_that_the_form_would_join_are_kept_apart_by_an_empty_text() -> None:
    messages = [assistant("a", CALL), assistant("", CALL)]
    kinds = [item["type"] for item in to_items(messages)]
    assert kinds == ["message", "function_call", "message", "function_call"]


@pytest.mark.parametrize(
    ("messages", "keys"),
    [
        ([{**user("u"), "name": "bob"}], {"name"}),
        ([assistant("", CALL), {**RESULT, "name": "other"}], {"name"}),
        ([assistant("", CALL), {k: v for k, v in RESULT.items() if k != "name"}], {"unnamed"}),
        ([RESULT], {"name"}),
        ([{"role": "tool", "content": "1"}], set()),
        ([{"role": "tool", "content": "1", "tool_call_id": ""}], {"tool_call_id"}),
        ([assistant("", tool_call("add"))], set()),
        ([assistant("", {**CALL, "id": ""})], {"tool_call"}),
        ([assistant("", {"id": "c", "function": CALL["function"]})], {"tool_call"}),
        ([{**assistant("a"), "tool_calls": []}], {"tool_calls"}),
    ],
)
def test_further_keys_stand_where_the_form_says_too_little(messages: list[Message], keys: set[str]) -> None:
    items = to_items(messages)
    standard = {"type", "role", "content", "call_id", "arguments", "output"}
    extra = {key for item in items for key in item} - standard
    assert extra - ({"name"} if items[0]["type"] == "function_call" else set()) == keys - (
        {"name"} if items[0]["type"] == "function_call" else set()
    )
    assert from_items(items) == messages


def test_items_of_others_are_read() -> None:
    items = [
        {"role": "developer", "content": "Be brief."},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "a"}, {"text": "b"}]},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "first"}]},
        {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": "x"},
        {"type": "reasoning", "id": "rs_3", "summary": [{"type": "summary_text", "text": "then"}], "content": None},
        {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "add", "arguments": {"a": 1}, "status": "done"},
        {"type": "function_call", "id": "fc_2", "call_id": "d", "name": "now", "arguments": None},
        {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "1"}]},
        {"type": "message", "id": "msg_1", "content": [{"text": "no role"}]},
        {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "No."}], "status": None},
    ]
    assert from_items(items) == [
        system("Be brief."),
        user("ab"),
        {**assistant("", CALL, {"id": "d", **tool_call("now")}), "reasoning_content": "first\nthen"},
        RESULT,
        assistant("no role"),
        assistant("No."),
    ]


CODE: Literal["code_interpreter_call"] = "code_interpreter_call"


@pytest.mark.parametrize(
    ("item", "says"),
    [
        ({"type": CODE}, "item 1 has the type 'code_interpreter_call'; types are function_call, "),
        ({"role": "bot", "content": "x"}, "item 1 has the role 'bot'; roles are system, "),
        ({}, "item 1 has the role None; roles are"),
        ("text", "item 1 is 'text'; an item is an object"),
        ({"role": "user", "content": [{"type": "input_image"}]}, "item 1 has a part of the type 'input_image'"),
        ({"role": "user", "content": 7}, "item 1 has the content 7"),
        ({"type": "function_call", "call_id": "c", "arguments": "{}"}, "item 1 has None as `name`"),
        ({"type": "function_call", "name": "f", "arguments": [1]}, r"item 1 has a call with the arguments \[1\]"),
        ({"type": "function_call_output", "call_id": 1, "output": ""}, "item 1 has 1 as `call_id`"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(item: Any, says: str) -> None:
    with pytest.raises(MessageError, match=says):
        from_items([{"role": "user", "content": "x"}, item])


@pytest.mark.parametrize(
    ("tool", "says"),
    [
        ({"type": "web_search"}, "tool 1 has the type 'web_search'; llmgym takes functions alone"),
        ({"type": "function", "parameters": {}}, "tool 1 has the name None"),
        ({"type": "function", "function": {}}, "tool 1 has the name None"),
    ],
)
def test_a_tool_that_is_no_function_is_refused(tool: Any, says: str) -> None:
    with pytest.raises(LLMGymError, match=says):
        from_tools([{"type": "function", "name": "f"}, tool])


def test_tools_of_others_are_read() -> None:
    schema = {"type": "function", "name": "f", "description": None, "parameters": {"type": "object"}, "strict": None}
    assert from_tools([schema]) == [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    json.dumps(from_tools([schema]))
