from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.errors import TaskError
from llmgym.verifiers import lists

CODES = ["amber-1234", "cedar-9876"]
CODE = r"[a-z]+-\d{4}"


@pytest.mark.parametrize(
    ("reply", "score"),
    [
        ("amber-1234, cedar-9876", 1),
        ("Answer: Cedar-9876 and **amber-1234**.", 1),
        ("\\boxed{\\text{amber-1234}, \\text{cedar-9876}}", 1),
        ("The codes are:\n\n1. amber-1234\n2. cedar-9876", 1),
        ('```json\n["amber-1234", "cedar-9876"]\n```', 1),
        ("I saw elm-1111 first.\n\nAnswer:\n- amber-1234\n- cedar-9876\n\nelm-2222 was older.", 1),
        ("elm-1111 is none.\n\n## Answer\n\namber-1234, cedar-9876", 1),
        ("<think>elm-1111</think>Final answer: [amber-1234, cedar-9876]", 1),
        ("amber-1234", 2 / 3),
        ("amber-1234, cedar-9876, elm-1111", 0.8),
        ("amber-1235, cedar-9877", 0),
        (", ".join(f"elm-{n}" for n in range(1000, 1005)) + ", amber-1234, cedar-9876", 0),
        ("none", 0),
        ("", 0),
    ],
)
def test_items_of_a_kind(reply: str, score: float) -> None:
    assert lists.check(reply, CODES, item=CODE, mode="f1").score == pytest.approx(score)
    assert lists.check(reply, CODES, item=CODE).score == float(score == 1)


@pytest.mark.parametrize(
    ("reply", "right"),
    [
        ("None.", True),
        ("Answer: not found", True),
        ("The text does not mention it.", True),
        ("Answer: []", True),
        ("There is no such code.", True),
        ("Answer: N/A", True),
        ("Answer: The text does not tell it.", True),
        ("\\boxed{\\text{none}}", True),
        ("Answer: amber-1234", False),
        ("I cannot help", False),
        ("", False),
        ("none " * 100, False),
    ],
)
def test_nothing_must_be_said(reply: str, right: bool) -> None:
    assert lists.check(reply, [], item=CODE).score == float(right)


@given(
    st.lists(st.sampled_from(["pen", "cup", "red-box", "oak", "12", "amber", "elm", "kettle"]), min_size=1, unique=True)
)
def test_order_does_not_matter(items: list[str]) -> None:
    lists.prove(items)
    assert lists.check(f"Answer: {', '.join(reversed(items))}", items)
    assert not lists.check(f"Answer: {', '.join(items)}, zebra", items)


def test_references_that_cannot_be_matched() -> None:
    for reference in (["a, b"], [""], "text", [3]):
        with pytest.raises(TaskError):
            lists.prove(reference)  # type: ignore[arg-type]
        assert lists.check("a", reference).score is None  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="unknown mode"):
        lists.check("a", ["a"], mode="loose")  # type: ignore[arg-type]
