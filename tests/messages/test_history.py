"""Chat histories as data sets have them."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from llmgym.errors import LLMGymError
from llmgym.messages import Message, assistant, read_message, read_messages, system, tool_call, user
from llmgym.responses import to_input, to_items

CALL: Any = {"id": "c", **tool_call("add", a=1)}
RESULT: Any = {"role": "tool", "tool_call_id": "c", "name": "add", "content": "1"}
TALK = [system("s"), user("u"), assistant("", CALL), RESULT, assistant("1"), user("and?")]
TEXT = st.text(max_size=4)


def calling(**fields: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": [CALL | fields]}


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (calling(), assistant("", CALL)),
        ({"role": "assistant", "tool_calls": [CALL]}, assistant("", CALL)),
        (calling(function={"name": "add", "arguments": {"a": 1}}), assistant("", CALL)),
        (calling(function={"name": "add", "arguments": {"a": 1, "b": None}}), assistant("", CALL)),
        (calling(type=None, index=0), assistant("", CALL)),
        (calling(function={"name": "now", "arguments": None}), assistant("", {"id": "c", **tool_call("now")})),
        (
            {"role": "assistant", "tool_calls": [{"id": "c", "name": "add", "arguments": {"a": 1}}]},
            assistant("", CALL),
        ),
        ({"role": "assistant", "content": "a", "tool_calls": None, "function_call": None}, assistant("a")),
        ({"role": "assistant", "content": None, "refusal": "No."}, assistant("No.")),
        ({"role": "assistant", "content": None}, assistant("")),
        ({"role": "developer", "content": "s"}, system("s")),
        ({"role": "user", "content": [{"type": "text", "text": "a"}, "b", {"text": "c"}]}, user("abc")),
        ({"role": "user", "content": "u", "name": "bob", "weight": 1}, {**user("u"), "name": "bob"}),
        ({"role": "assistant", "content": "a", "reasoning": "hm"}, {**assistant("a"), "reasoning_content": "hm"}),
        (
            {
                "role": "assistant",
                "content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"text": "a"}],
            },
            {**assistant("a"), "reasoning_content": "hm"},
        ),
        ({"from": "human", "value": "u"}, user("u")),
        ({"from": "gpt", "value": "a", "role": None}, assistant("a")),
    ],
)
def test_a_message_in_its_usual_forms(asked: Any, expected: Message) -> None:
    assert read_messages([asked]) == [expected]
    assert read_message(asked) == expected


def test_text_is_what_the_user_says() -> None:
    assert read_messages("u\ud800") == [user("u\ufffd")]
    assert read_messages([]) == []


def test_calls_without_ids_get_some_and_results_are_joined_to_them() -> None:
    given = [
        {"role": "assistant", "content": "", "tool_calls": [tool_call("f"), CALL, tool_call("g")]},
        {"role": "tool", "content": "1", "tool_call_id": "c"},
        {"role": "tool", "content": "2"},
        {"role": "tool", "content": "3", "name": "g"},
        {"role": "tool", "content": "4"},
    ]
    ids = ["history_0_0", "c", "history_0_2"]
    messages = read_messages(given)
    assert [call.get("id") for call in messages[0].get("tool_calls", ())] == ids
    assert [(m.get("tool_call_id"), m.get("name")) for m in messages[1:]] == [
        ("c", "add"),
        ("history_0_0", "f"),
        ("history_0_2", "g"),
        (None, None),
    ]


def test_functions_of_the_old_form() -> None:
    given = [
        user("u"),
        {"role": "assistant", "content": None, "function_call": {"name": "add", "arguments": '{"a":1}'}},
        {"role": "function", "name": "add", "content": "1"},
    ]
    call = {**CALL, "id": "history_1_0"}
    assert read_messages(given) == [user("u"), assistant("", call), {**RESULT, "tool_call_id": "history_1_0"}]


def test_sharegpt() -> None:
    given = [
        {"from": "system", "value": "s"},
        {"from": "human", "value": "u"},
        {"from": "function_call", "value": '{"name": "add", "arguments": {"a": 123456789012345678901234567890}}'},
        {"from": "observation", "value": "1"},
        {"from": "gpt", "value": "1"},
    ]
    messages = read_messages(given)
    assert [m["role"] for m in messages] == ["system", "user", "assistant", "tool", "assistant"]
    (call,) = messages[2].get("tool_calls", ())
    assert call == tool_call("add", '{"a": 123456789012345678901234567890}', "history_2_0")
    assert messages[3] == {**RESULT, "tool_call_id": "history_2_0"}


@pytest.mark.parametrize("form", [list, tuple, lambda rows: np.array(rows, dtype=object)])
def test_lists_tuples_and_arrays(form: Any) -> None:
    given = form([{**m, "tool_calls": form(m["tool_calls"])} if "tool_calls" in m else m for m in TALK])
    assert read_messages(given) == TALK
    assert read_messages([{"role": "user", "content": form([{"type": "text", "text": "u"}])}]) == [user("u")]


def test_numbers_of_numpy_in_arguments() -> None:
    function = {"name": "f", "arguments": {"n": np.int64(1), "xs": np.array([0.5])}}
    (message,) = read_messages([{"role": "assistant", "tool_calls": [{"function": function}]}])
    assert message.get("tool_calls", [])[0]["function"]["arguments"] == '{"n":1,"xs":[0.5]}'


def test_arrow_brings_the_same_as_json() -> None:
    pa = pytest.importorskip("pyarrow")
    chat = [{"role": m["role"], "content": m["content"]} | ({} if "tool_calls" not in m else calling()) for m in TALK]
    for rows in (chat, TALK, to_input(TALK), to_items(TALK)):
        (row,) = pa.Table.from_pylist([{"messages": rows}]).to_pylist()
        assert read_messages(row["messages"]) == read_messages(rows) == TALK


def test_items_of_a_request() -> None:
    items = [
        {"role": "developer", "content": "s"},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "u"}]},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
        {"type": "function_call", "name": "add", "arguments": '{"a":1}'},
        {"type": "function_call_output", "output": "1"},
    ]
    call = {**CALL, "id": "history_2_0"}
    assert read_messages(items) == [
        system("s"),
        user("u"),
        {**assistant("", call), "reasoning_content": "hm"},
        {**RESULT, "tool_call_id": "history_2_0"},
    ]


CALLS = st.lists(
    st.builds(lambda name, arguments: tool_call(name, **arguments), TEXT, st.dictionaries(TEXT, TEXT)), max_size=2
)
ANY = st.lists(
    st.builds(
        lambda content, calls, thought: {
            **assistant(content, *calls),
            **({"reasoning_content": thought} if thought else {}),
        },
        TEXT,
        CALLS,
        TEXT,
    )
    | st.builds(user, TEXT)
    | st.builds(system, TEXT)
    | st.builds(lambda content: {"role": "tool", "content": content}, TEXT),
    max_size=5,
)


@given(ANY)
def test_what_is_read_is_a_transcript_and_is_read_as_itself(messages: list[Message]) -> None:
    read = read_messages(messages)
    assert msgspec.convert(read, list[Message]) == read
    assert [(m["role"], m["content"]) for m in read] == [(m["role"], m["content"]) for m in messages]
    assert all(call.get("id") for m in read for call in m.get("tool_calls", ()))
    assert read_messages(read) == read_messages(to_items(read)) == read_messages(to_input(read)) == read


@given(ANY)
def test_what_was_given_stays_as_it_was(messages: list[Message]) -> None:
    before = msgspec.json.encode(messages)
    for message in read_messages(messages):
        message["content"] = "changed"
        for call in message.get("tool_calls", ()):
            call["function"]["name"] = "changed"
    assert msgspec.json.encode(messages) == before


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT | st.binary(max_size=2),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["role", "content", "type", "tool_calls", "function", "name", "arguments", "from", "value", "id"]
            )
            | TEXT,
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JUNK | st.lists(st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", "tool"])}, optional={
    "content": JUNK, "tool_calls": JUNK, "function_call": JUNK, "name": JUNK, "tool_call_id": JUNK,
}), max_size=3))  # fmt: skip
@example([{"type": []}])
@example([{"role": {}}])
def test_anything_is_read_or_refused_in_our_words(value: Any) -> None:
    try:
        messages = read_messages(value)
    except LLMGymError:
        return
    assert msgspec.convert(messages, list[Message]) == messages


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (
            {"role": "bot", "content": "x"},
            "message 2 has the role 'bot'; roles are system, developer, user, assistant, ",
        ),
        ({"content": "x"}, "message 2 has the role None; roles are system, "),
        ({"from": "narrator", "value": "x"}, "message 2 has the role 'narrator'"),
        ("hello", "message 2 is 'hello'; a message is an object with a role and content"),
        ({"role": "user"}, "message 2 has no content"),
        ({"role": "user", "content": 7}, "message 2 has the content 7; content is a text, parts of text, or null"),
        ({"role": "user", "content": [{"type": "image_url"}]}, "message 2 has a part of the type 'image_url'"),
        ({"role": "assistant", "tool_calls": CALL}, "message 2 has .* as `tool_calls`, which is a list"),
        (calling(type="custom"), "message 2 has a call of the type 'custom'"),
        (calling(function={"arguments": "{}"}), "message 2 has the call .*, without a name"),
        (calling(function={"name": "f", "arguments": [1]}), r"message 2 has a call with the arguments \[1\]"),
        (calling(function={"name": "f", "arguments": {"a": float("nan")}}), "message 2 has a call .* not JSON"),
        (calling(id=3), "message 2 has 3 as `id`, which is a text"),
        ({"role": "assistant", "function_call": "add"}, "message 2 has the call 'add'"),
        ({"from": "function_call", "value": "add(1)"}, "message 2 has the call 'add\\(1\\)', which is no JSON"),
        ({"type": "function_call", "arguments": "{}"}, "item 2 has None as `name`"),
    ],
)
def test_a_malformed_message_is_named_with_what_is_wrong(value: Any, says: str) -> None:
    with pytest.raises(LLMGymError, match=says):
        read_messages([user("a"), user("b"), value])


@pytest.mark.parametrize("value", [None, 7, {"role": "user", "content": "x"}, b"text"])
def test_what_is_no_history_is_refused(value: Any) -> None:
    with pytest.raises(LLMGymError, match="messages are a list of objects or a text, not"):
        read_messages(value)
