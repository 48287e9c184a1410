"""What follows a turn, put together from pieces, is what the template writes."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.codec.deltas import Deltas
from llmgym.codec.template import TemplateCodec
from llmgym.messages import Message
from tests.codec.families import FAMILIES, tokenizer


@functools.cache
def codec_of(family: str) -> TemplateCodec:
    return TemplateCodec(tokenizer(family))


TEXT = st.text(min_size=0, max_size=40) | st.sampled_from(
    ["{}", "[1]", "<b>", " x ", "\n", "None", "true", "<|im_end|>"]
)


@pytest.mark.parametrize("family", sorted(FAMILIES))
@given(content=TEXT, name=st.sampled_from(["add", "look_up"]), role=st.sampled_from(["tool", "user", "system"]))
def test_pieces_are_what_the_template_writes(family: str, content: str, name: str, role: Any) -> None:
    codec = codec_of(family)
    message: Message = {"role": role, "content": content}
    if role == "tool":
        message |= {"name": name, "tool_call_id": "call_0_0"}
    turn = codec._turn((role,), tools=False)
    if turn is None:
        return
    said = codec._tokenizer.disarm(message)
    assert codec._deltas_of(turn).of([said]) == turn.delta(codec._template, [said])


def test_a_template_that_rewrites_text_is_always_run() -> None:
    ran: list[str] = []

    def render(messages: Any) -> str:
        ran.append(messages[0]["content"])
        return f"<u>{messages[0]['content'].lower()}</u>"

    deltas = Deltas(render)
    assert [deltas.of([{"role": "user", "content": text}]) for text in ("Ab", "Cd")] == ["<u>ab</u>", "<u>cd</u>"]
    assert {"Ab", "Cd"} <= set(ran)
