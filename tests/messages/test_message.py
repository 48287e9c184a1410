"""Making messages and calls."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.messages import assistant, scrub, tool_call

ANY_TEXT = st.text(st.characters(exclude_categories=()))  # lone surrogates too


@given(ANY_TEXT)
def test_scrub_changes_lone_surrogates_alone(text: str) -> None:
    clean = scrub(text)
    clean.encode()
    assert len(clean) == len(text)
    assert all(a == b or b == "\ufffd" for a, b in zip(text, clean, strict=True))


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
