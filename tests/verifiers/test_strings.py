from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.errors import TaskError
from llmgym.verifiers.strings import check, normalised, prove, words_of
from tests.verifiers.hostile import FORMULAS, PARTS

GRADED = ("f1", "rouge_l", "edit")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Paris", "paris.", True),
        ("Paris", '  "Paris"! ', True),
        ("New York", "new\n york", True),
        ("New York", "**New York**", True),
        ("Straße", "STRASSE", True),
        ("ﬁne", "fine", True),
        ("it’s", "it's", True),
        ("10²", "102", False),
        ("1¼", "11/4", False),
        ("Ｐａｒｉｓ", "Paris", True),
        ("Yes, please", "yes please", False),
        # what verl's and SkyRL's exact match takes for equal, since it drops articles and all punctuation
        ("Hepatitis A", "Hepatitis", False),
        ("C++", "C#", False),
        ("C++", "C", False),
        ("5", "-5", False),
        ("3.5", "35", False),
        ("A", "The", False),
        ("The", "", False),
    ],
)
def test_normalised(one: str, other: str, same: bool) -> None:
    assert bool(check(other, one)) is same


def test_exact_is_exact_but_for_blanks_around() -> None:
    assert check(" Paris\n", "Paris", mode="exact")
    assert not check("paris", "Paris", mode="exact")
    assert check("Lyon", ["Paris", "Lyon"], mode="exact")


@pytest.mark.parametrize(
    ("mode", "answer", "reference", "score"),
    [
        ("f1", "the cat sat", "the cat sat", 1),
        ("f1", "cat", "the cat", 2 / 3),
        ("f1", "the the the", "the", 0.5),
        ("f1", "dog", "cat", 0),
        ("rouge_l", "police killed the gunman", "police kill the gunman", 0.75),
        ("rouge_l", "the gunman kill police", "police kill the gunman", 0.5),
        ("rouge_l", "北京 是 首都", "北京 是 中国 首都", 6 / 7),
        ("edit", "kitten", "sitting", 4 / 7),
        ("edit", "abc", "ABC", 1),
    ],
)
def test_graded(mode: Any, answer: str, reference: str, score: float) -> None:
    if mode == "edit":
        pytest.importorskip("rapidfuzz")
    assert check(answer, reference, mode=mode).score == pytest.approx(score)
    assert check(answer, ["nothing of it", reference], mode=mode).score == pytest.approx(score)


def test_reasons() -> None:
    assert check("Paris", "Paris").reason == "correct"
    assert check("Rome", "Paris").reason == "wrong"
    assert check("the", "the cat", mode="f1").reason == "partial"
    assert check("<think>Paris</think>", "Paris").reason == "no_answer"
    assert check("x" * 70_000, "Paris").reason == "too_long"
    assert check("x" * 30_000, "Paris", mode="f1").reason == "too_long"
    for reference in ("", " . ", [], ["Paris", ""], [5]):
        verdict = check("Paris", reference)  # type: ignore[arg-type]
        assert (verdict.score, verdict.reason) == (None, "invalid_reference"), reference
        with pytest.raises(TaskError, match="the reference"):
            prove(reference)  # type: ignore[arg-type]
    prove(["Paris", "Lutetia"])
    with pytest.raises(ValueError, match="unknown mode 'fuzzy'; there is exact, normalised, f1, edit, rouge_l"):
        check("a", "a", mode="fuzzy")  # type: ignore[arg-type]


def common_length(one: list[str], other: list[str]) -> int:
    """As in a textbook."""
    above = [0] * (len(other) + 1)
    for first in one:
        row = [0]
        for at, second in enumerate(other):
            row.append(above[at] + 1 if first == second else max(above[at + 1], row[at]))
        above = row
    return above[-1]


_WORDS = st.lists(st.sampled_from("abcd"), min_size=1, max_size=12)


@given(_WORDS, _WORDS)
def test_rouge_l_is_that_of_the_textbook(one: list[str], other: list[str]) -> None:
    share = 2 * common_length(one, other) / (len(one) + len(other))
    assert check(" ".join(one), " ".join(other), mode="rouge_l").score == pytest.approx(share)


_TEXTS = st.text(max_size=60).filter(lambda text: bool(normalised(text)) and "think" not in text.lower())


@given(_TEXTS, _TEXTS)
def test_either_way_round_is_the_same_and_all_of_itself(one: str, other: str) -> None:
    assert normalised(normalised(one)) == normalised(one)
    assert check(one, other).score == check(other, one).score
    assert check(one, one)
    for mode in ("f1", "rouge_l"):
        assert check(one, other, mode=mode).score == check(other, one, mode=mode).score
        assert not words_of(one) or check(one, one, mode=mode)


@pytest.mark.parametrize("text", [*FORMULAS.values(), *(part * (70_000 // len(part)) for part in PARTS)])
@pytest.mark.parametrize("mode", ["normalised", *GRADED])
def test_hostile_text(text: str, mode: Any) -> None:
    if mode == "edit":
        pytest.importorskip("rapidfuzz")
    assert not check(text, "Paris is the capital of France", mode=mode)
    assert not check(text[:19_000], "Paris " * 3_000, mode=mode)
