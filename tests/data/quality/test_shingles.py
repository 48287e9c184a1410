from __future__ import annotations

import random
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("rensa")

from llmgym.data.quality.shingles import NEAR, clusters, near_pairs, rare_limit, shingles, signatures, similarity

WORDS = [f"word{number}" for number in range(2000)]


def jaccard(one: set[str], other: set[str]) -> float:
    return len(one & other) / len(one | other)


def documents(number: int, planted: int, seed: int = 0) -> list[str]:
    """Random texts, and behind them copies of the first ones with a few words changed."""
    chance = random.Random(seed)
    texts = [chance.choices(WORDS, k=chance.randint(60, 150)) for _ in range(number)]
    for text in texts[:planted]:
        copy = list(text)
        for _ in range(2):
            copy[chance.randrange(len(copy))] = chance.choice(WORDS)
        texts.append(copy)
    return [" ".join(text) for text in texts]


def test_texts_that_are_nearly_equal_are_found_and_no_others() -> None:
    sets = [shingles(text) for text in documents(1000, 300)]
    found = set(near_pairs(signatures(sets)))
    planted = {(one, 1000 + one) for one in range(300) if jaccard(sets[one], sets[1000 + one]) >= NEAR + 0.05}
    assert len(found & planted) >= 0.95 * len(planted)
    assert all(jaccard(sets[one], sets[other]) > 0.6 for one, other in found)


@given(st.sets(st.integers(0, 300), min_size=1), st.sets(st.integers(0, 300), min_size=1))
def test_similarity_is_near_the_share_that_sets_have_in_common(one: set[int], other: set[int]) -> None:
    first, second = ({str(number) for number in numbers} for numbers in (one, other))
    marks = signatures([first, second])
    assert similarity(marks[0], marks[1]) == pytest.approx(jaccard(first, second), abs=0.25)  # 5.6 deviations


def test_signatures_are_the_same_in_another_process() -> None:
    code = "from llmgym.data.quality.shingles import *; print(signatures([shingles('a b c d')]).tobytes().hex())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == signatures([shingles("A  b, c d".replace(",", ""))]).tobytes().hex()


def test_those_that_are_alike_are_one_cluster() -> None:
    text = documents(1, 0)[0]
    sets = [shingles(one) for one in [text, "another text of its own words", text + " more", text, text + " and more"]]
    assert clusters(signatures(sets)).tolist() == [0, 1, 0, 0, 0]
    assert clusters(np.zeros((0, 128), np.uint8)).tolist() == []


def test_short_texts_are_one_shingle() -> None:
    assert shingles("Yes!") == {"yes !"}
    assert shingles("  ") == set()
    assert shingles("a b c d") == {"a b c", "b c d"}


def test_few_texts_of_many_have_what_is_rare() -> None:
    assert [rare_limit(n) for n in (1, 2, 8, 20, 500, 10_000)] == [1, 1, 4, 10, 10, 100]
