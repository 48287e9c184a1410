"""The tokenizer that codecs work with."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.codec.tokenizer import SEAM, FastTokenizer
from tests.codec.families import tokenizer

PIECES = st.one_of(
    st.text(max_size=20).filter(lambda text: SEAM not in text),  # hypothesis finds it in our code
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


@pytest.mark.parametrize("family", ["smollm2", "qwen3", "llama3.1", "phi3", "mistral"])
@given(data=st.data())
def test_ids_are_read_as_the_backend_reads_them(family: str, data: st.DataObject) -> None:
    source = tokenizer(family)
    size = source.backend_tokenizer.get_vocab_size()
    rare = st.sampled_from([*source.backend_tokenizer.get_added_tokens_decoder(), size, size + 7])
    ids = data.draw(st.lists(st.one_of(st.integers(0, size - 1), rare), max_size=40))
    fast = FastTokenizer(source)
    for _ in range(2):
        assert fast.decode(ids) == source.backend_tokenizer.decode(ids, skip_special_tokens=False)


@pytest.mark.slow
def test_what_is_remembered_has_an_end() -> None:
    fast = FastTokenizer(tokenizer("smollm2"))
    for index in range(20):
        fast.encode(f"{index} " * 60_000, add_special_tokens=False)
    assert sum(map(len, fast._known)) <= 1 << 20
