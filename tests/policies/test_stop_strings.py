"""Stop strings: found wherever tokens end, and no token lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.chat import Sampling
from llmgym.errors import PolicyError
from llmgym.policies.base import Generation
from llmgym.policies.stop_strings import Watch, before_stop
from tests.codec import families

TEXTS = st.text("ab<|im_end>🙂é数 \n", max_size=30)
STOPS = st.lists(st.sampled_from(["ab", "b", "🙂", "数a", "<|im", "aba", "\n\n", "é"]), min_size=1, max_size=3)


def encode(text: str) -> list[int]:
    return families.tokenizer("qwen3").encode(text, add_special_tokens=False)


def read(text: str, *stops: str, finish: str = "stop", ends: tuple[int, ...] = ()) -> str:
    """What a message would be read from."""
    tokenizer, ids = families.tokenizer("qwen3"), encode(text)
    reply = Generation(ids, [-1.0] * len(ids), finish)  # type: ignore[arg-type]
    return tokenizer.decode(list(before_stop(tokenizer, reply, Sampling(stop=stops, stop_token_ids=ends))))


def test_a_message_ends_before_the_string() -> None:
    assert read("Thought: so\nObservation: 3", "Observation:") == "Thought: so\n"
    assert read("hello", "ell") == "h", "within a token"
    assert read("🙂🙂", "🙂") == ""
    assert read("one two three", "three", "two thr") == "one ", "the first to be complete"
    assert read("abc", "bc", "abc") == "a", "the first in the list where both are"
    assert read("<think>so</think>x", "</think>") == "<think>so", "control tokens are text"
    assert read("hello", finish="length") == "hello"
    assert read("hello", "x", finish="length") == "hello"


def test_a_stop_token_is_no_text() -> None:
    (end,) = encode("<|im_end|>")
    assert read("yes<|im_end|>", ">", "<|im_end|>", ends=(end,)) == "yes<|im_end|>"
    assert read("y>es<|im_end|>", ">", ends=(end,)) == "y"


def test_a_reply_that_ended_for_no_reason_is_refused() -> None:
    with pytest.raises(PolicyError, match=r"ended, but not with \['x'\] or a stop token: \.\.\.'hello'"):
        read("hello", "x")


@given(text=TEXTS, stops=STOPS)
def test_a_reply_is_watched_as_if_it_were_read_whole(text: str, stops: list[str]) -> None:
    tokenizer, ids = families.tokenizer("qwen3"), encode(text * 9)
    watch = Watch(tokenizer, stops)
    for length in range(1, len(ids) + 1):
        whole = tokenizer.decode(ids[:length])
        assert watch.sees(ids[:length]) is any(stop in whole for stop in stops)
        if watch.sees(ids[:length]):
            reply = Generation(ids[:length], [-1.0] * length, "stop")
            before = tokenizer.decode(list(before_stop(tokenizer, reply, Sampling(stop=tuple(stops)))))
            assert whole.startswith(before)
            assert any(whole.startswith(before + stop) for stop in stops)
            break
