from __future__ import annotations

import contextlib
import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.verifiers.trees import MAX_DEPTH, Agreement, agree, check_tree, read_json

numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(exclude_categories=("Cs",)))
trees = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)


@given(trees)
def test_a_tree_equals_itself_as_written_and_read(tree: object) -> None:
    read = read_json(json.dumps(tree))
    for ordered in (True, False):
        assert agree(read, tree, ordered=ordered).full
    assert agree(read, tree, tolerance=0.1).full


@given(trees, trees)
def test_trees_that_agree_are_equal_and_the_other_way_round(one: object, other: object) -> None:
    found = agree(one, other)
    assert 0 <= found.alike <= found.leaves
    assert found.full == agree(other, one).full
    if found.full:
        assert one == other


@given(st.lists(trees, max_size=6), st.randoms())
def test_without_order_any_order_is_right(items: list[object], chance: random.Random) -> None:
    shuffled = chance.sample(items, len(items))
    assert agree(shuffled, items, ordered=False).full
    assert not agree([*shuffled, "one more"], items, ordered=False).full


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(ValueError):
        check_tree(read_json(text))


@pytest.mark.parametrize(
    ("value", "expected", "found"),
    [
        (1.0, 1, (1, 1)),
        (True, 1, (0, 1)),
        (1, True, (0, 1)),
        (0, False, (0, 1)),
        (None, 0, (0, 1)),
        ("1", 1, (0, 1)),
        ({}, [], (0, 1)),
        ({}, {}, (1, 1)),
        ({"a": 1}, {}, (0, 1)),
        ({"a": 1, "b": 2}, {"a": 1, "c": 2}, (1, 3)),
        ([1, 2, 3], [1, 2], (2, 3)),
        ([1], [1, [2, 3]], (1, 3)),
        ("text", {"a": 1, "b": [1, 2]}, (0, 3)),
        (123456789012345678901234567890, 123456789012345678901234567891, (0, 1)),
        (10**400, 1.5, (0, 1)),
    ],
)
def test_leaves_that_are_alike(value: object, expected: object, found: tuple[int, int]) -> None:
    assert agree(value, expected) == Agreement(*found)


def test_numbers_within_a_share_of_the_expected_one() -> None:
    assert agree(101, 100, tolerance=0.01).full
    assert not agree(102, 100, tolerance=0.01).full
    assert not agree(1e-9, 0, tolerance=0.01).full
    assert not agree(10**400, 1.5, tolerance=0.01).full


def test_without_order_the_rest_counts_by_its_leaves() -> None:
    assert agree([{"a": 2, "b": 3}, 1], [1, {"a": 2, "b": 4}], ordered=False) == Agreement(2, 3)
    assert agree([1] * 100, [1], ordered=False) == Agreement(0, 100)
    deep: object = 1
    for _ in range(MAX_DEPTH - 1):
        deep = [deep]
    assert not agree(deep, [deep], ordered=False).full  # in time: no element is compared twice


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("NaN", "NaN is no JSON"),
        ("[-Infinity]", "-Infinity is no JSON"),
        ("1e400", "too large"),
        ('{"a": 1, "a": 1}', "a key comes twice"),
        ('"\\ud800"', "surrogate"),
        ("[" * 60_000, "nested"),
        ("[" * 101 + "]" * 101, "nested"),
        ("9" * 5000, "4300"),
        ("{'a': 1}", "Expecting"),
        ('{"a": 1} {"a": 2}', "Extra data"),
        ("", "Expecting"),
    ],
)
def test_what_readers_disagree_on_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_json(text)


def test_what_is_no_tree_is_refused() -> None:
    assert read_json("[" * 100 + "]" * 100)
    for value in ({1: 2}, {1}, b"a", float("nan"), ["\ud800"], {"\ud800": 1}):
        with pytest.raises(ValueError, match=r"type of JSON|number|surrogate"):
            check_tree(value)
