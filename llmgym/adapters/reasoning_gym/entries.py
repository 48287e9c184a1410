"""Entries of reasoning-gym, made anew from a key wherever they are needed.

An entry does not survive JSON: lists for tuples make two scorers refuse their own answer. So a task holds the key
alone.
"""

from __future__ import annotations

import hashlib
import random
import sys
import threading
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np

from llmgym.adapters.packages import generators_kept

#: Datasets that take an index only below their size: for each key there is one with that seed.
_REMADE = frozenset({"acre", "gsm_symbolic", "list_functions"})
#: Those that take no larger index than this: word_ladder makes a pool in advance, pool_matrix a seed of NumPy of it.
_INDICES = {"word_ladder": 5000, "pool_matrix": 2**31}
#: Those that draw from the global generators.
_GLOBAL = frozenset({"list_functions", "pool_matrix"})
#: Those that print while they make or score something, and the module that does.
_LOUD = {
    "bf": "reasoning_gym.code.contrib.bfit.Compiler.Optimizer",
    "tower_of_hanoi": "reasoning_gym.games.tower_of_hanoi",
}
_KEPT = 128  # datasets, which are about a hundred
_lock = threading.RLock()  # the global generators are one for all threads


@dataclass(frozen=True, slots=True)
class Key:
    """What an entry is made from."""

    dataset: str
    seed: int
    index: int

    @classmethod
    def of(cls, dataset: str, number: int) -> Key:
        """The key of a random number of 62 bits, none of which is a neighbour of another: entries at `seed + index`."""
        if dataset in _REMADE:
            return cls(dataset, number % 2**31, 0)
        return cls(dataset, 0, number % _INDICES.get(dataset, 2**62))


@contextmanager
def undisturbed(seed: int) -> Generator[None]:
    """Leave the global generators and the filters of warnings as they are.

    Args:
        seed: What the generators start from meanwhile.
    """
    with _lock, warnings.catch_warnings(), generators_kept():
        warnings.simplefilter("ignore")
        random.seed(seed)
        np.random.seed(seed % 2**32)
        yield


def make(key: Key, config: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The entry of a key: its question, answer and metadata. It is shared: nobody changes it.

    Args:
        key: The key.
        config: Settings of its dataset.
    """
    return _entry(key, msgspec.json.encode(config or {}, order="sorted"))


def dataset_of(name: str, config: Mapping[str, Any] | None = None) -> Any:
    """The dataset of a name, which scores answers to its entries, whatever their seed."""
    return _dataset(name, msgspec.json.encode(config or {}, order="sorted"))


@lru_cache(maxsize=1024)
def _entry(key: Key, config: bytes) -> dict[str, Any]:
    dataset = _dataset(key.dataset, config) if not key.seed else _new_dataset(key.dataset, key.seed, config)
    if key.dataset not in _GLOBAL:
        return dataset[key.index]
    with undisturbed(int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:8], "big")):
        return dataset[key.index]


def _new_dataset(name: str, seed: int, config: bytes) -> Any:
    with undisturbed(0):  # importing the package and making a dataset draw from them too
        import reasoning_gym

        settings = {"size": 5000 if name == "word_ladder" else 1} | msgspec.json.decode(config)
        dataset = reasoning_gym.create_dataset(name, seed=seed, **settings)
    if name in _LOUD:
        vars(sys.modules[_LOUD[name]])["print"] = _silent
    if name in _ORDERED:
        _ORDERED[name](dataset)
    return dataset


@lru_cache(maxsize=_KEPT)
def _dataset(name: str, config: bytes) -> Any:
    return _new_dataset(name, 0, config)


def _silent(*args: object, **options: object) -> None:
    """Stands for `print`."""


# --- the same in every process ------------------------------------------------------------------


class _Sorted(set[str]):
    """A set whose elements come in order: that of a set of texts differs from process to process."""

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(super().__iter__()))

    def __sub__(self, other: Set[object]) -> _Sorted:  # type: ignore[override]
        return _Sorted(super().__sub__(other))


def _order_letters(dataset: Any) -> None:
    dataset.letters = _Sorted(dataset.letters)


def _order_monomials(dataset: Any) -> None:
    given = dataset._get_monomials
    dataset._get_monomials = lambda rng: sorted(given(rng), key=str)


def _order_words(dataset: Any) -> None:
    given = dataset._get_neighbors
    dataset._get_neighbors = lambda word, words: sorted(given(word, words))


#: Datasets whose entries depend on the order of a set, and what gives it one.
_ORDERED: dict[str, Callable[[Any], None]] = {
    "isomorphic_strings": _order_letters,
    "polynomial_multiplication": _order_monomials,
    "ransom_note": _order_letters,
    "word_ladder": _order_words,
}
