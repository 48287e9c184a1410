"""Texts as sets of the words that stand together, and as a few bytes by which sets that are nearly equal are found."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmgym.loading import expect_modules

#: Bytes of a signature: the lowest of each of so many minima, which says as much as all four where texts are near.
WIDTH = 128
#: Bands of a signature; texts that are equal in one of them are compared.
BANDS = 16
#: From which estimated share of common shingles on two texts are nearly equal.
NEAR = 0.8

_WORDS = 3  # of a shingle
_COMPARED = 65_536  # pairs at once
_CHANCE = 1 / 256  # that two bytes are equal
_PIECE = re.compile(r"\w+|[^\w\s]")


def words(text: str) -> list[str]:
    """The words and marks of a text, in lower case."""
    return _PIECE.findall(text.lower())


def shingles(text: str) -> set[str]:
    """The runs of three words; of a shorter text all of it, and of an empty one nothing."""
    found = words(text)
    if len(found) < _WORDS:
        return {" ".join(found)} if found else set()
    return {f"{one} {two} {three}" for one, two, three in zip(found, found[1:], found[2:], strict=False)}


def rare_limit(texts: int) -> int:
    """How many of so many texts may share words before these are how texts are worded, and not what they say."""
    return max(texts // 100, min(10, texts // 2), 1)


def require_minhash() -> None:
    """See that what makes signatures is installed.

    Raises:
        MissingExtraError: It is not.
    """
    expect_modules("near duplicates", "data", "rensa")


def signatures(sets: Iterable[set[str]]) -> NDArray[np.uint8]:
    """MinHash signatures of sets of shingles: uint8[n, WIDTH], the same in every process."""
    import rensa

    minhash: Any = vars(rensa)["RMinHash"]  # of a compiled module, whose names no checker sees
    digests = minhash.digests_from_token_sets([list(one) for one in sets], num_perm=WIDTH, seed=1)
    return np.array(digests, np.uint32).reshape(-1, WIDTH).astype(np.uint8)


def similarity(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Estimates of the share of shingles that sets have in common, by their signatures."""
    equal = np.mean(one == other, axis=-1)
    return np.maximum((equal - _CHANCE) / (1 - _CHANCE), 0.0)


def near_pairs(marks: NDArray[np.uint8], least: float = NEAR) -> Iterator[tuple[int, int]]:
    """Pairs of signatures that are nearly equal; of many that share a band, each with its neighbour and the first.

    Args:
        marks: uint8[n, WIDTH].
        least: Estimated share of common shingles.
    """
    if len(marks) < 2:
        return
    seen: set[tuple[int, int]] = set()
    bands: Any = np.ascontiguousarray(marks).view(np.uint64).reshape(len(marks), BANDS)
    for band in range(BANDS):
        column = bands[:, band]
        order = np.argsort(column, kind="stable")
        starts = np.flatnonzero(np.r_[True, column[order][1:] != column[order][:-1]])
        heads = np.repeat(order[starts], np.diff(np.r_[starts, len(order)]))
        for one, other in ((order[:-1], order[1:]), (heads, order)):
            yield from _alike(marks, column, one, other, least, seen)


def _alike(marks: Any, column: Any, one: Any, other: Any, least: float, seen: set[tuple[int, int]]) -> Iterator[Any]:
    """Those pairs of what stands beside each other that are equal in a band, and near, and new."""
    apart = (column[one] == column[other]) & (one != other)
    one, other = one[apart], other[apart]
    for start in range(0, len(one), _COMPARED):
        some, others = one[start : start + _COMPARED], other[start : start + _COMPARED]
        near = similarity(marks[some], marks[others]) >= least
        pairs = {(min(pair), max(pair)) for pair in zip(some[near].tolist(), others[near].tolist(), strict=True)} - seen
        seen |= pairs
        yield from sorted(pairs)


def clusters(marks: NDArray[np.uint8], least: float = NEAR) -> NDArray[np.int64]:
    """For each signature the first that a chain of near pairs joins it to: itself, where there is none."""
    first = list(range(len(marks)))

    def root(at: int) -> int:
        while first[at] != at:
            first[at] = first[first[at]]
            at = first[at]
        return at

    for one, other in near_pairs(marks, least):
        low, high = sorted((root(one), root(other)))
        first[high] = low
    return np.array([root(at) for at in range(len(marks))], np.int64)
