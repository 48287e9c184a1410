from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.verifiers.base import Verdict, graded, unscored
from llmgym.verifiers.groups import diversity, majority, shortest_correct, tournament


async def longer(one: str, other: str) -> Verdict:
    return graded(1.0 if len(one) > len(other) else 0.0 if len(one) < len(other) else 0.5)


def test_up_to_four_answers_meet_each_other() -> None:
    assert asyncio.run(tournament(["a", "ccc", None, "bb"], longer)) == [0, 1, None, 0.5]
    assert asyncio.run(tournament(["a", None], longer)) == [None, None]
    assert asyncio.run(tournament([], longer)) == []


def test_pairs_that_are_unscored_do_not_count() -> None:
    async def compare(one: str, other: str) -> Verdict:
        return unscored("judge_failed", "no verdict") if "x" in (one, other) else await longer(one, other)

    assert asyncio.run(tournament(["a", "x", "bb"], compare)) == [0, None, 1]


@pytest.mark.parametrize("number", [5, 6, 8, 16, 33])
def test_more_stand_in_a_ring(number: int) -> None:
    met: Counter[str] = Counter()
    pairs: set[frozenset[str]] = set()

    async def compare(one: str, other: str) -> Verdict:
        met.update([one, other])
        assert frozenset((one, other)) not in pairs
        pairs.add(frozenset((one, other)))
        return await longer(one, other)

    answers = ["x" * n for n in range(1, number + 1)]
    found = asyncio.run(tournament(answers, compare, seed=3))
    assert found[0] == 0
    assert found[-1] == 1
    assert set(met.values()) == {2 * min(number.bit_length() - 1, (number - 1) // 2)}
    assert asyncio.run(tournament(answers, longer, seed=3)) == found


def test_the_majority() -> None:
    assert majority(["4", "5", None, "4"]) == [1, 0, None, 1]
    assert majority(["4", "5"]) == [0.5, 0.5]
    assert majority([None]) == [None]


def test_diversity() -> None:
    assert diversity(["the red fox", "The red fox", "a blue hen", None]) == [0.5, 0.5, 1, None]
    assert diversity(["alone", None]) == [None, None]
    assert diversity(["", ""]) == [0, 0]
    assert diversity(["ab", "abc"], lambda one, other: 0.25) == [0.75, 0.75]


def test_the_shortest_right_answer() -> None:
    assert shortest_correct([1, 1, 1, 0.5, None], [30, 10, 20, 1, 1]) == [0, 1, 0.5, 0, None]
    assert shortest_correct([1, 0], [30, 10]) == [1, 0]
    assert shortest_correct([None], [3]) == [None]


@given(st.lists(st.one_of(st.none(), st.text(alphabet="ab ", max_size=4)), max_size=9), st.integers(0, 9))
def test_each_has_a_value_from_0_to_1_unless_it_failed(answers: list[str | None], seed: int) -> None:
    there = sum(answer is not None for answer in answers)
    for values in (asyncio.run(tournament(answers, longer, seed=seed)), diversity(answers), majority(answers)):
        assert len(values) == len(answers)
        for answer, value in zip(answers, values, strict=True):
            assert value is None if answer is None else value is None or -1e-9 <= value <= 1 + 1e-9
        if there > 1:
            assert sum(value is not None for value in values) == there
