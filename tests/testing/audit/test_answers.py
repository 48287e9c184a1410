"""What an audit takes for the answer in a final text, and which numbers are near to one."""

from __future__ import annotations

import random

import pytest

from llmgym.testing.audit import numbers
from llmgym.testing.audit.answers import data_of, joined, read_answers, split_items


@pytest.mark.parametrize(
    ("texts", "before", "cores", "after", "kind"),
    [
        (["The answer is 120.", "The answer is 134."], "The answer is ", ["120", "134"], ".", "number"),
        (["120", "134", "-3"], "", ["120", "134", "-3"], "", "number"),
        (["Answer: B", "Answer: C"], "Answer: ", ["B", "C"], "", "letter"),
        (["<guess>crane</guess>", "<guess>stone</guess>"], "<guess>", ["crane", "stone"], "</guess>", "words"),
        (["\\boxed{5}", "\\boxed{7}"], "\\boxed{", ["5", "7"], "}", "number"),
        (["Answer: New York", "Answer: Rome"], "Answer: ", ["New York", "Rome"], "", "words"),
        (["Booked: CR-1910", "Booked: CR-2044"], "Booked: ", ["CR-1910", "CR-2044"], "", "words"),
        (["-3", "-41"], "", ["-3", "-41"], "", "number"),
        (["2, 3, 5", "7, 11"], "", ["2, 3, 5", "7, 11"], "", "list"),
    ],
)
def test_the_answer_is_what_differs(texts: list[str], before: str, cores: list[str], after: str, kind: str) -> None:
    answers = read_answers(texts)
    assert [(a.before, a.core, a.after, a.kind) for a in answers] == [(before, core, after, kind) for core in cores]
    assert [answer.text for answer in answers] == texts


def test_texts_that_begin_alike_are_taken_apart_by_themselves() -> None:
    paid = [f"You paid {n} in total." for n in (3, 4, 5)]
    codes = [f"The code is {code}." for code in ("A-1", "B-2", "C-3")]
    answers = read_answers(["42", *paid, "I am sorry, I cannot do that.", *codes])
    assert [answer.core for answer in answers[1:4]] == ["3", "4", "5"]
    assert [answer.core for answer in answers[5:]] == ["A-1", "B-2", "C-3"]
    assert (answers[0].kind, answers[4].kind) == ("number", "prose")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('{"a": 1}', "json"),
        ('```json\n{"a": 1}\n```', "json"),
        ("```python\nreturn 1\n```", "code"),
        ("SELECT * FROM t", "code"),
        ("This is a long sentence about nothing in particular.", "prose"),
    ],
)
def test_kinds_of_whole_texts(text: str, kind: str) -> None:
    assert read_answers([text, "42"])[0].kind == kind


def test_lists_keep_their_form() -> None:
    assert split_items("[1, 2, 3]") == ["1", "2", "3"]
    assert joined("[1, 2]", ["3"]) == "[3]"
    assert joined("a\nb", ["c", "d"]) == "c\nd"
    assert data_of("[1") is None


def test_numbers_that_are_near() -> None:
    rng = random.Random(0)
    assert {numbers.off_by_one("19", rng) for _ in range(20)} == {"18", "20"}
    assert {numbers.off_by_one("-1", rng) for _ in range(20)} == {"-2", "0"}
    assert numbers.off_by_one("2.5", rng) is None
    assert numbers.off_by_one("123456789", rng) is None
    assert [numbers.off_by_some(text) for text in ("3", "1,000", "$40.00", "-2.5", "x")] == [
        "4",
        "1,050",
        "$42.00",
        "-1.5",
        None,
    ]
    assert numbers.off_by_some(f"2{'0' * 40}.5") == f"21{'0' * 39}.5"
    assert [numbers.other_digit(text) for text in ("41", "7", "2.55")] == ["46", None, None]
    assert [numbers.with_commas(text) for text in ("48213", "-1234567", "999", "1998")] == [
        "48,213",
        "-1,234,567",
        None,
        None,
    ]
