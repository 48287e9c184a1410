from __future__ import annotations

import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.errors import MissingExtraError, TaskError
from llmgym.verifiers import Verdict
from llmgym.verifiers.instructions import FAMILIES, Mode, Rules, check, prove
from llmgym.verifiers.instructions.language import _identifier
from llmgym.verifiers.instructions.patterns import compile_pattern
from tests.verifiers.instructions.cases import CASES

pytest.importorskip("py3langid")
pytest.importorskip("regex")

FLAT = [
    (name, given, text, google, own)
    for name, cases in CASES.items()
    for given, texts in cases
    for text, google, own in texts
]


def judge(name: str, given: dict[str, Any], text: str, rules: Rules = "llmgym", mode: Mode = "strict") -> Verdict:
    return check(text, {"instruction_id_list": [name], "kwargs": [given]}, rules=rules, mode=mode)


def test_every_family_has_its_cases() -> None:
    assert CASES.keys() == FAMILIES.keys()
    assert len(FAMILIES) == 25


@pytest.mark.parametrize(("name", "given", "text", "google", "own"), FLAT)
def test_families(name: str, given: dict[str, Any], text: str, google: bool, own: bool) -> None:
    assert judge(name, given, text, "google").score == google
    assert judge(name, given, text, "llmgym").score == own
    prove({"instruction_id_list": [name], "kwargs": [given]})


def test_loose_takes_off_lines_and_stars() -> None:
    for text in ("Sure:\n{}", "{}\nHope it helps!", "Sure:\n{}\nBye", "*{}*", "**Sure**\n*{}*\n*Bye*"):
        assert judge("detectable_format:json_format", {}, text).score == 0
        assert judge("detectable_format:json_format", {}, text, mode="loose").score == 1
    assert judge("detectable_format:json_format", {}, "Sure:\n\n{}\n\nBye.\nBye.", mode="loose").score == 0


def test_scores_and_metrics() -> None:
    reference = {
        "instruction_id_list": ["punctuation:no_comma", "startend:quotation", "punctuation:no_comma"],
        "kwargs": [{"num_words": None}, {}, None],
        "prompt": "Write.",
    }
    verdict = check("no comma", reference)
    assert (verdict.score, verdict.reason, verdict.detail) == (0, "wrong", "not followed: startend:quotation")
    assert verdict.metrics == {"punctuation:no_comma": 1, "startend:quotation": 0, "punctuation:no_comma#3": 1}
    assert check("no comma", reference, score="share").score == pytest.approx(2 / 3)
    assert check("no comma", reference, score="share").reason == "partial"
    assert check('"no comma"', reference).score == 1
    assert check(" \n", reference).reason == "no_answer"
    assert check("a" * 70_000, reference).reason == "too_long"


@pytest.mark.parametrize(
    ("name", "given", "why"),
    [
        ("keywords:exists", {}, "'keywords:exists' is no instruction"),
        (["x"], {}, "is no instruction"),
        ("keywords:existence", {}, "needs the argument 'keywords'"),
        ("keywords:existence", {"keywords": []}, "a list of texts"),
        ("keywords:existence", {"keywords": "cat"}, "a list of texts"),
        ("keywords:existence", {"keywords": ["cat", ""]}, "text that is not empty"),
        ("keywords:existence", {"keywords": ["cat"], "relation": "at least"}, "unknown argument 'relation'"),
        ("length_constraints:number_words", {"num_words": 5, "relation": None}, "needs the argument 'relation'"),
        ("length_constraints:number_words", {"num_words": -1, "relation": "at least"}, "a whole number from 0"),
        ("length_constraints:number_words", {"num_words": True, "relation": "at least"}, "a whole number from 0"),
        ("length_constraints:number_words", {"num_words": 2.5, "relation": "at least"}, "a whole number from 0"),
        (
            "length_constraints:number_words",
            {"num_words": float("nan"), "relation": "at least"},
            "a whole number from 0",
        ),
        ("length_constraints:number_words", {"num_words": 5, "relation": "at most"}, "'less than' or 'at least'"),
        (
            "keywords:letter_frequency",
            {"letter": "ab", "let_frequency": 1, "let_relation": "at least"},
            "one character",
        ),
        ("language:response_language", {"language": "klingon"}, "one of af, ar"),
        (
            "length_constraints:nth_paragraph_first_word",
            {"num_paragraphs": 2, "nth_paragraph": 3, "first_word": "a"},
            "paragraph 3 of 2",
        ),
        ("punctuation:no_comma", [1], "must be a mapping"),
    ],
)
def test_references_that_the_original_would_make_up_are_found(name: Any, given: Any, why: str) -> None:
    reference = {"instruction_id_list": [name], "kwargs": [given]}
    with pytest.raises(TaskError, match=why):
        prove(reference)
    verdict = check("text", reference)
    assert (verdict.score, verdict.reason) == (None, "invalid_reference")


@pytest.mark.parametrize(
    "reference", [{}, {"instruction_id_list": []}, {"instruction_id_list": ["punctuation:no_comma"], "kwargs": []}]
)
def test_references_without_instructions_are_found(reference: dict[str, Any]) -> None:
    with pytest.raises(TaskError, match="must be a list"):
        prove(reference)


def test_what_only_the_original_cannot_decide() -> None:
    symbol = {"letter": "#", "let_frequency": 3, "let_relation": "at least"}
    assert judge("keywords:letter_frequency", symbol, "# # #").score == 1
    assert judge("keywords:letter_frequency", symbol, "# # #", "google").reason == "invalid_reference"
    broken = {"keywords": ["C("]}
    assert judge("keywords:existence", broken, "in C(n)").score == 0
    assert judge("keywords:existence", {"keywords": ["(C"]}, "the (C").score == 1
    assert judge("keywords:existence", broken, "in C(n)", "google").reason == "invalid_reference"
    assert judge("length_constraints:number_words", {"num_words": 3.0, "relation": "at least"}, "a b c").score == 1


def test_a_pattern_that_takes_too_long_is_no_way_out() -> None:
    verdict = judge("keywords:existence", {"keywords": ["(a|aa)+$"]}, "a" * 60 + "!", "google")
    assert (verdict.score, verdict.reason) == (0, "timeout")
    assert judge("keywords:existence", {"keywords": ["(a|aa)+$"]}, "a" * 60 + "!").reason == "wrong"


def test_options_that_there_are_not() -> None:
    with pytest.raises(ValueError, match="'ifeval' is none of google, llmgym"):
        judge("punctuation:no_comma", {}, "a", "ifeval")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("package", "name", "given"),
    [
        ("py3langid", "language:response_language", {"language": "fr"}),
        ("regex", "keywords:existence", {"keywords": ["colou?rs?"]}),
    ],
)
def test_a_package_that_is_missing_is_no_score(
    package: str, name: str, given: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    _identifier.cache_clear()
    compile_pattern.cache_clear()
    with pytest.raises(MissingExtraError, match=r"llmgym\[verifiers\]"):
        judge(name, given, "Some text.", "google")


EVERY = {"instruction_id_list": list(CASES), "kwargs": [cases[0][0] for cases in CASES.values()]}
pieces = st.sampled_from(
    [
        "*",
        "***",
        "\n",
        "\n\n",
        "[",
        "]",
        "<<",
        ">>",
        "P.S.",
        "Section 1",
        "- ",
        '"',
        "'",
        ". ",
        "!",
        "a",
        "É",
        " ",
        "```",
        "\ud800",
    ]
)


@given(st.text() | st.lists(pieces, max_size=30).map("".join), st.sampled_from(("google", "llmgym")))
def test_any_text_has_one_verdict(text: str, rules: Rules) -> None:
    strict, again, loose = (check(text, EVERY, rules=rules, mode=mode) for mode in ("strict", "strict", "loose"))
    assert strict == again
    assert strict.score is not None
    assert all(loose.metrics[name] >= value for name, value in strict.metrics.items())


@pytest.mark.parametrize(
    "piece",
    [
        "\n",
        "*",
        "[",
        "<",
        ">",
        "<<",
        "a",
        "a ",
        "a. ",
        ". ",
        "'",
        "[]",
        "* ",
        "*\n",
        "P.",
        "Section",
        "-",
        "1.",
        "A'",
        '."',
        "Dr. ",
        "[a",
        "a*b_c ",
    ],
)
def test_long_hostile_text_is_read_in_time(piece: str) -> None:
    """The limit of a test is what fails here where a rule takes quadratic time."""
    text = piece * (65_000 // len(piece))
    for rules in ("google", "llmgym"):
        assert check(text, EVERY, rules=rules).score == 0
        assert check("(" + text + "(. X", EVERY, rules=rules).score == 0
