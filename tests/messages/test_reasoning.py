"""Where reasoning ends in what models write."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.messages import parse_tool_calls, split_reasoning

CALL = '<tool_call>{"name": "f"}</tool_call>'
WRITES = '<tool_call>{"name": "write", "arguments": {"text": "</think>"}}</tool_call>'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("yes", ("", "yes", False)),
        ("<think>hm</think>yes", ("hm", "yes", False)),
        ("\n <think>\nhm\n</think>\n\nyes ", ("hm", "yes ", False)),
        ("hm\n</think>\n\nyes", ("hm", "yes", False)),
        ("</think>yes", ("", "yes", False)),
        ("<think>", ("", "", True)),
        ("<think>hm, ye", ("hm, ye", "", True)),
        (f"<think>hm {CALL}", (f"hm {CALL}", "", True)),
        (f"<think>hm {CALL}</think>{CALL}", (f"hm {CALL}", CALL, False)),
        (f"hm {CALL}</think>yes", (f"hm {CALL}", "yes", False)),
        (f"hm {WRITES}</think>yes", (f"hm {WRITES}", "yes", False)),
        (f"yes {WRITES}", ("", f"yes {WRITES}", False)),
        ("hm <tool_call> is a tag</think>yes", ("hm <tool_call> is a tag", "yes", False)),
        ("<think>a</think>b</think>c", ("a", "b</think>c", False)),
        ("Write <think>a</think> so", ("", "Write <think>a</think> so", False)),
    ],
)
def test_reasoning_where_the_prompt_is_not_known(text: str, expected: tuple[str, str, bool]) -> None:
    assert split_reasoning(text) == expected


def test_the_prompt_decides_where_it_is_known() -> None:
    assert split_reasoning("hm</think>yes", opened=False) == ("", "hm</think>yes", False)
    assert split_reasoning("hm", opened=True) == ("hm", "", True)
    assert split_reasoning("hm</think>yes", opened=True) == ("hm", "yes", False)
    assert split_reasoning("<think>hm</think>yes", opened=False) == ("hm", "yes", False)


def test_a_marker_ends_reasoning_that_nothing_closed() -> None:
    assert split_reasoning(f"hm {CALL}", opened=True, marker="<tool_call>") == ("hm", CALL, False)
    assert split_reasoning(f"hm {CALL}</think>yes", True, "<tool_call>") == (f"hm {CALL}", "yes", False)


@given(st.lists(st.sampled_from(["<think>", "</think>", "a", CALL, WRITES, "\n", "<tool_call>", '"'])).map("".join))
def test_no_call_in_a_thought_counts(said: str) -> None:
    thought, text, opened = split_reasoning(f"<think>{said}")
    assert (text == "" and opened) or not opened
    if "</think>" not in said:
        assert (thought, parse_tool_calls(text)) == (said.strip(), ("", []))
    assert split_reasoning(f"<think>a</think>{said}")[:2] == ("a", said.lstrip("\n"))
