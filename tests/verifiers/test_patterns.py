from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.errors import TaskError
from tests.verifiers.hostile import FORMULAS, PARTS

pytest.importorskip("regex")

from llmgym.verifiers.patterns import check, prove


@pytest.mark.parametrize(
    ("answer", "pattern", "options", "right"),
    [
        ("It is 2026-11-28.", r"\d{4}-\d\d-\d\d", {}, True),
        ("It is 2026-11-28.", r"\d{4}-\d\d-\d\d", {"mode": "whole"}, False),
        (" 2026-11-28\n", r"\d{4}-\d\d-\d\d", {"mode": "whole"}, True),
        ("no digits", r"\d", {"mode": "absent"}, True),
        ("1 digit", r"\d", {"mode": "absent"}, False),
        ("Yes", "yes", {}, False),
        ("Yes", "yes", {"ignore_case": True}, True),
        ("<think>yes</think>no", "yes", {}, False),
        ("a\nb", "^b$", {}, False),
        ("a\nb", "(?m)^b$", {}, True),
        ("aa bb", r"(\w)\1", {}, True),
        ("price: 5", r"(?<=price: )\d", {}, True),
        ("", "a*", {"mode": "whole"}, True),
    ],
)
def test_patterns(answer: str, pattern: str, options: dict[str, Any], right: bool) -> None:
    assert bool(check(answer, pattern, **options)) is right


@pytest.mark.parametrize("pattern", [r"(a+)+$", r"(a|aa)+$", r"(a*)*b", r"(.*a){20}$", r"(?:a?){40}a{40}$"])
@pytest.mark.timeout(20)
def test_what_would_never_end_is_a_typed_zero(pattern: str) -> None:
    verdict = check("a" * 60 + "!", pattern)
    assert verdict.score == 0
    assert verdict.reason in ("timeout", "wrong")


def test_a_deadline_is_a_typed_zero() -> None:
    verdict = check("a" * 60 + "!", "(a|a)+$")
    assert (verdict.score, verdict.reason) == (0, "timeout")


def test_reasons() -> None:
    assert check("a", "a").reason == "correct"
    assert check("b", "a").reason == "wrong"
    assert check("a" * 70_000, "a").reason == "too_long"
    for pattern in ("(", "a{2,1}", "[", "(?P<n>a)(?P<n", r"\p{NoSuch}", 5):
        assert check("a", pattern).reason == "invalid_reference", pattern  # type: ignore[arg-type]
        with pytest.raises(TaskError, match="is no regular expression"):
            prove(pattern)  # type: ignore[arg-type]
    prove(r"\d+")
    with pytest.raises(ValueError, match="unknown mode 'match'; there is search, whole, absent"):
        check("a", "a", mode="match")  # type: ignore[arg-type]


@given(st.text(max_size=200), st.text(max_size=20))
def test_any_text_and_any_pattern_have_a_verdict(text: str, pattern: str) -> None:
    assert check(text, pattern).score in (0, 1, None)


@pytest.mark.parametrize("text", [*FORMULAS.values(), *(part * (60_000 // len(part)) for part in PARTS)])
def test_hostile_text(text: str) -> None:
    assert not check(text, r"(?i)\b(\w+)\s+is\s+the\s+(capital|seat)\s+of\s+\w+")
