from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.rewards import Part, Reward
from llmgym.verifiers.base import correct, graded, unscored, wrong
from llmgym.verifiers.composition import Finding, first_failure, product, weighted

LOST = unscored("infrastructure", "the sandbox is gone")


def test_a_weighted_sum_has_a_part_for_each() -> None:
    found = weighted({"correct": correct(steps=3), "style": graded(0.5), "extra": Reward(a=0.2, b=0.3)}, {"style": 0.1})
    assert found.value == pytest.approx(1 + 0.05 + 0.5)
    assert found.parts == {"correct": Part(1.0, 1.0), "style": Part(0.5, 0.1), "extra": Part(0.5, 1.0)}
    assert found.metrics == {"correct_steps": 3}


def test_weight_0_makes_a_metric() -> None:
    found = weighted({"correct": 1.0, "length": wrong("", "too_long"), "judge": None}, {"length": 0, "judge": 0})
    assert found.value == 1
    assert found.metrics == {"length": 0, "length_too_long": 1}


@pytest.mark.parametrize(
    ("gate", "style", "value"),
    [(1.0, 0.5, 1.5), (0.9, 0.5, 0.9), (0.0, None, 0.0), (1.0, None, None), (None, 0.5, None)],
)
def test_a_part_counts_only_where_its_gate_is_open(
    gate: float | None, style: float | None, value: float | None
) -> None:
    assert weighted({"correct": gate, "style": style}, gates={"style": ("correct", 1.0)}).value == value


def test_names_are_checked() -> None:
    with pytest.raises(ValueError, match=r"there is no finding 'stile'; there is correct, style"):
        weighted({"correct": 1.0, "style": 1.0}, {"stile": 0.5})
    with pytest.raises(ValueError, match="there is no finding 'right'"):
        weighted({"correct": 1.0, "style": 1.0}, gates={"style": ("right", 1.0)})


def test_a_product_is_as_good_as_all() -> None:
    found = product({"a": graded(0.5), "b": correct(n=2)})
    assert (found.value, found.metrics) == (0.5, {"a": 0.5, "b": 1.0, "b_n": 2})
    assert product({"a": wrong(), "b": LOST}).value is None
    assert product({}).value is None


def test_the_first_failure_decides() -> None:
    found = first_failure({"format": correct(), "answer": graded(0.5), "judge": None})
    assert (found.value, found.metrics) == (0.5, {"passed": 1 / 3, "failed_answer": 1.0})
    assert first_failure({"format": correct(), "answer": correct()}).value == 1
    lost = first_failure({"format": LOST, "answer": wrong()})
    assert lost.value is None
    assert lost.metrics == {"format_infrastructure": 1, "passed": 0, "failed_format": 1}


SCORES = st.dictionaries(st.sampled_from("abcd"), st.one_of(st.none(), st.floats(0, 1)), min_size=1)


@given(SCORES)
def test_what_is_unscored_is_never_0(scores: dict[str, Finding]) -> None:
    lost = None in scores.values()
    assert (weighted(scores).value is None) == lost
    assert (product(scores).value is None) == lost
    least = first_failure(scores).value
    assert least is None or 0 <= least <= 1
    if not lost:
        assert product(scores).value == pytest.approx(math.prod(scores.values()))  # type: ignore[arg-type]
