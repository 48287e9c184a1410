"""Making messages and calls."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.messages import assistant, format_message, scrub, tool_call

ANY_TEXT = st.text(st.characters(exclude_categories=()))  # lone surrogates too


@given(ANY_TEXT)
def test_scrub_changes_lone_surrogates_alone(text: str) -> None:
    clean = scrub(text)
    clean.encode()
    assert len(clean) == len(text)
    assert all(a == b or b == "\ufffd" for a, b in zip(text, clean, strict=True))


@given(ANY_TEXT)
def test_what_people_are_shown_controls_no_terminal(text: str) -> None:
    shown = format_message(assistant(text, tool_call("f", text)))
    assert not any(
        unicodedata.category(c) == "Cc" for c in shown.replace("\r\n", "").replace("\n", "").replace("\t", "")
    )


def test_control_characters_are_shown_as_python_writes_them() -> None:
    assert format_message(assistant("a\x1b[2J\x07\x9b\rb\r\n\tc")) == "[assistant] a\\x1b[2J\\x07\\x9b\\rb\r\n\tc"


def test_a_call_is_made_from_values_or_from_text() -> None:
    made = {"type": "function", "function": {"name": "add", "arguments": '{"a":1,"text":"é"}'}}
    assert tool_call("add", a=1, text="é") == made
    assert tool_call("add", '{"a":1,"text":"é"}') == made
    assert tool_call("add", '{"a":1,"text":"é"}', "c") == {"id": "c", **made}
    assert assistant("x", tool_call("add", a=1, text="é"))["tool_calls"] == [made]


def test_any_name_may_be_that_of_an_argument() -> None:
    assert tool_call("f", name=1, text=2, call_id=3)["function"]["arguments"] == '{"name":1,"text":2,"call_id":3}'


def test_arguments_are_given_once() -> None:
    with pytest.raises(TypeError, match="as text or by name, not both"):
        tool_call("f", "{}", a=1)
