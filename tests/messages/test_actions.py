"""Reading actions."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.errors import MessageError
from llmgym.messages import as_assistant, assistant, tool_call, user

ANY_TEXT = st.text(st.characters(exclude_categories=()))  # lone surrogates too
PIECES = st.lists(
    st.sampled_from(
        ["<tool_call>", "</tool_call>", '{"name": "f"}', "{", "é", "\ud800", '"', " ", "<think>", "</think>", "\n"]
    )
)
CALL = '<tool_call>{"name": "f"}</tool_call>'


@given(ANY_TEXT | PIECES.map("".join))
def test_any_text_is_an_action_that_can_be_stored(text: str) -> None:
    message = as_assistant(text)
    assert message["role"] == "assistant"
    orjson.dumps(message)
    assert as_assistant(message) == message


@given(ANY_TEXT, ANY_TEXT, ANY_TEXT)
def test_a_message_with_any_text_can_be_stored(content: str, name: str, arguments: str) -> None:
    call = {"id": name, "type": "function", "function": {"name": name, "arguments": arguments}}
    message = as_assistant({"role": "assistant", "content": content, "tool_calls": [call]})
    orjson.dumps(message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"<think>maybe {CALL}</think>\nyes", {**assistant("yes"), "reasoning_content": f"maybe {CALL}"}),
        (f"maybe {CALL}</think>{CALL}", {**assistant("", tool_call("f")), "reasoning_content": f"maybe {CALL}"}),
        ("<think>The answer is 7.", {**assistant(""), "reasoning_content": "The answer is 7."}),
        (f"<think>The answer is 7. {CALL}", {**assistant("", tool_call("f")), "reasoning_content": "The answer is 7."}),
        ("<think>\n\n</think>\n\nyes", assistant("yes")),
        (f"yes {CALL}", assistant("yes", tool_call("f"))),
    ],
)
def test_calls_and_answers_in_thoughts_do_not_count(text: str, message: Any) -> None:
    assert as_assistant(text) == message


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
    with pytest.raises(MessageError, match="not an assistant message"):
        as_assistant(action)
