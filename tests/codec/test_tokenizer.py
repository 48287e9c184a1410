"""The tokenizer that codecs work with."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmgym.codec.tokenizer import FastTokenizer
from tests.codec.families import tokenizer

PIECES = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        [
            "<|im_start|>",
            "<|im_end|>",
            "<|im_end|> ",
            " <|im_start|>",
            "<tool_call>",
            "\n",
            "  ",
            "é",
            "🙂",
            "word " * 120,
        ]
    ),
)


@pytest.mark.parametrize("family", ["smollm2", "qwen3", "llama3.1", "phi3", "mistral"])
@given(pieces=st.lists(PIECES, min_size=1, max_size=12))
@settings(max_examples=60, deadline=None)
def test_long_text_is_tokenised_as_the_backend_does_it_whole(family: str, pieces: list[str]) -> None:
    source = tokenizer(family)
    fast = FastTokenizer(source)
    text = "".join(pieces)
    for _ in range(2):  # the second time from memory
        assert fast.encode(text, add_special_tokens=False) == source.encode(text, add_special_tokens=False)


def test_long_pieces_are_remembered_and_never_handed_out() -> None:
    fast = FastTokenizer(tokenizer("smollm2"))
    text = "<|im_start|>" + "schema " * 200 + "<|im_end|>"
    first = fast.encode(text, add_special_tokens=False)
    first.append(-1)
    assert fast.encode(text, add_special_tokens=False) == first[:-1]
