from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.data.quality.degenerate import LOOP, is_refusal, tail_repeat

WORDS = [f"word{number}" for number in range(500)]


@given(st.integers(1, 12), st.integers(0, 30), st.integers(3, 20), st.randoms(use_true_random=False))
def test_a_loop_at_the_end_is_counted(period: int, start: int, times: int, chance: random.Random) -> None:
    phrase = chance.sample(WORDS, period)
    text = " ".join([*chance.sample(WORDS, start), *phrase * times])
    assert tail_repeat(text) >= period * (times - 1)


def test_ordinary_text_does_not_end_in_a_loop() -> None:
    chance = random.Random(0)
    texts = [" ".join(chance.choices(WORDS[:40], k=200)) for _ in range(1000)]
    assert max(map(tail_repeat, texts)) < LOOP
    assert tail_repeat("| a | b |\n| --- | --- |\n| 1 | 2 |") < LOOP


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("one", 0),
        ("no no", 1),
        ("a b a b a b", 4),
        ("哈" * 40, 39),
        ("我不知道。" * 10, 45),
        ("x" * 100, 99),
        ("the end. " * 2000, 908),  # of what is looked at
    ],
)
def test_it_is_counted_in_words_or_letters(text: str, count: int) -> None:
    assert tail_repeat(text) == count


REFUSALS = [
    "I'm sorry, but I can't help with that.",
    "I’m sorry, but I cannot assist with this request.",
    "Sorry, I can't do that.",
    "As an AI language model, I cannot provide medical advice.",
    "I am unable to comply with this request.",
    "**I cannot help** you hack",
]
ANSWERS = [
    "",
    "The answer is 4.",
    "I can't find the file, so I list the folder first.",
    "Sorry, I made a mistake: the answer is 5.",
    "I cannot divide by zero, so there is no solution.",
    "He said: I can't help with that.",
    "I can help with that.",
]


@pytest.mark.parametrize("text", REFUSALS)
def test_refusals_are_known(text: str) -> None:
    assert is_refusal(text)


@pytest.mark.parametrize("text", ANSWERS)
def test_what_begins_alike_is_none(text: str) -> None:
    assert not is_refusal(text)
