from __future__ import annotations

from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from llmgym.verifiers.matching import match

graphs = st.lists(st.lists(st.integers(0, 4), max_size=5), max_size=5)


@given(graphs)
def test_pairs_are_as_many_as_any_choice_gives(fits: list[list[int]]) -> None:
    partners = match(fits)
    taken = [right for right in partners if right is not None]
    assert len(partners) == len(fits)
    assert len(set(taken)) == len(taken)
    assert all(right is None or right in fits[left] for left, right in enumerate(partners))
    columns = [*range(5), *[-1] * len(fits)]
    best = max(
        sum(right in fits[left] for left, right in enumerate(choice)) for choice in permutations(columns[:5], len(fits))
    )
    assert len(taken) == best


def test_long_chains_are_found() -> None:
    size = 2000
    assert None not in match([[at, at + 1] for at in range(size)][::-1])
    assert match([[0], [0]]) == [0, None]
