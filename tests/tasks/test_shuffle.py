"""A shuffle that is computed place by place."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.tasks.hashing import stable_hash
from llmgym.tasks.shuffle import shuffled

KEYS = st.integers(0, 2**64 - 1)


def order(key: int, size: int) -> list[int]:
    return [shuffled(key, size, place) for place in range(size)]


@pytest.mark.slow
def test_it_is_one_to_one_for_every_size() -> None:
    for size in range(1, 2001):
        assert sorted(order(stable_hash(size), size)) == list(range(size))


@given(KEYS, st.integers(1, 3000))
def test_it_is_one_to_one_for_every_key(key: int, size: int) -> None:
    assert sorted(order(key, size)) == list(range(size))


@given(KEYS, st.integers(1, 10**15), st.data())
def test_large_packs_cost_no_more(key: int, size: int, data: st.DataObject) -> None:
    places = data.draw(st.sets(st.integers(0, size - 1), max_size=50))
    cards = {shuffled(key, size, place) for place in places}
    assert len(cards) == len(places)
    assert all(0 <= card < size for card in cards)


@pytest.mark.parametrize(("size", "orders"), [(1, 1), (2, 2), (3, 6), (4, 24), (5, 120), (6, 720)])
def test_keys_give_all_orders_of_a_few_alike(size: int, orders: int) -> None:
    draws = 40 * orders
    counts = Counter(tuple(order(stable_hash(size, key), size)) for key in range(draws))
    assert len(counts) == orders
    # Chi-squared over its degrees of freedom, which is 1 on average; the keys are fixed.
    assert sum((count - 40) ** 2 / 40 for count in counts.values()) <= 1.6 * max(1, orders - 1)


@pytest.mark.parametrize("size", [10, 16, 17, 25, 31, 100])
def test_every_card_can_lie_everywhere_beside_every_other(size: int) -> None:
    pairs = Counter[tuple[int, int]]()
    draws = 20 * size * (size - 1)
    for key in range(min(draws, 20_000)):
        places = (key % size, (key + 1) % size)
        pairs[shuffled(stable_hash(size, key), size, places[0]), shuffled(stable_hash(size, key), size, places[1])] += 1
    expected = sum(pairs.values()) / (size * (size - 1))
    cells = size * (size - 1)
    spread = sum((count - expected) ** 2 for count in pairs.values()) + (cells - len(pairs)) * expected**2
    assert spread / expected / cells < 1.5


@pytest.mark.parametrize("size", [64, 100, 1000, 1024])
def test_neighbours_of_a_sorted_file_keep_no_stride(size: int) -> None:
    """An affine shuffle has one; in a real one it is as different as chance makes it."""
    for key in range(5):
        cards = order(stable_hash("stride", size, key), size)
        strides = Counter((second - first) % size for first, second in pairwise(cards))
        assert max(strides.values()) <= 8
        places = {card: place for place, card in enumerate(cards)}
        apart = Counter((places[card + 1] - places[card]) % size for card in range(size - 1))
        assert max(apart.values()) <= 8


def test_neighbouring_keys_give_unrelated_orders() -> None:
    for size in (10, 100):
        orders = [order(key, size) for key in range(20)]
        assert len(set(map(tuple, orders))) == 20
        same = [sum(a == b for a, b in zip(orders[0], other, strict=True)) for other in orders[1:]]
        assert sum(same) / len(same) < 3  # 1 by chance


def test_an_order_is_the_same_in_every_version() -> None:
    """What a seed picks is a result."""
    assert order(1, 5) == [1, 4, 3, 0, 2]
    assert [shuffled(2**63 + 1, 10**6, place) for place in range(3)] == [471136, 548507, 242704]
