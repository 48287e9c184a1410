from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.errors import TaskError
from llmgym.verifiers.choices import GRADINGS, check, prove
from tests.verifiers.hostile import FORMULAS, PARTS

OPTIONS = {"A": "Rome", "B": "Paris", "C": "5 cm"}


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("Answer: B", "correct"),
        ("**Answer:** (B)", "correct"),
        ("The answer is B. Paris", "correct"),
        ("The answer is Paris.", "correct"),
        (r"\boxed{B}", "correct"),
        ("<answer>B</answer>", "correct"),
        ("**<answer>B</answer>.**", "correct"),
        ("<think>A</think>\n<answer>\n(B) Paris\n</answer>", "correct"),
        ("Answer: A. No, wait. Answer: B", "correct"),
        ("Answer: A", "wrong"),
        ("Answer: A or B", "no_answer"),
        ("A city.", "no_answer"),
        ("<think>Answer: B</think>", "no_answer"),
        ("", "no_answer"),
        ("Answer: B " * 10_000, "too_long"),
    ],
)
def test_answers(answer: str, reason: str) -> None:
    assert check(answer, "B", options=OPTIONS).reason == reason


def test_how_a_choice_is_read() -> None:
    assert check("B", "B", options=OPTIONS, grading="lenient")
    assert not check("B is a city", "B", options=OPTIONS)
    assert not check("Answer: B", "B", options=OPTIONS, grading="boxed")
    with pytest.raises(ValueError, match="unknown grading 'strict'; there is boxed, answer, lenient"):
        check("B", "B", options=OPTIONS, grading="strict")


def test_references() -> None:
    prove("B", options=OPTIONS)
    for reference, options in (("D", OPTIONS), ("Paris", OPTIONS), ("1", {"1": "Rome"}), ("B", {})):
        assert check("Answer: B", reference, options=options).reason == "invalid_reference"
        with pytest.raises(TaskError, match="the reference"):
            prove(reference, options=options)


@given(st.text(max_size=200), st.sampled_from(GRADINGS))
def test_any_text_has_a_verdict(text: str, grading: str) -> None:
    assert check(text, "B", options=OPTIONS, grading=grading).score in (0, 1)


@pytest.mark.parametrize("text", [*FORMULAS.values(), *(part * (60_000 // len(part)) for part in PARTS)])
@pytest.mark.timeout(30)
def test_hostile_text(text: str) -> None:
    assert check(text, "B", options=OPTIONS, grading="lenient").score == 0
