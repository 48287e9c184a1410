"""The word lists, and the tasks that are made of them."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Iterable
from itertools import count
from math import gcd
from pathlib import Path
from typing import Any

import msgspec

from llmgym.envs.wordle.game import feedback, show

_FOLDER = Path(__file__).parent
_TEST_SHARE = 12  # one secret in so many is a test task; the train split of five letters keeps more than 4,096


@functools.cache
def secrets(length: int) -> tuple[str, ...]:
    """The common words of a length, in alphabetical order: what secrets are taken from."""
    return tuple(word for word in _read("secrets.txt") if len(word) == length)


@functools.cache
def guessable(length: int) -> frozenset[str]:
    """All words of a length that count as words; empty for a length that the lists do not cover."""
    return frozenset(word for name in ("secrets.txt", "guesses.txt") for word in _read(name) if len(word) == length)


def _read(name: str) -> list[str]:
    return (_FOLDER / name).read_text(encoding="ascii").split()


class SecretWords(msgspec.Struct, frozen=True):
    """Rows of tasks, one or more for each secret; the split depends on the secret alone.

    Attributes:
        length: Letters of the secrets.
        openers: Tasks for each secret, each with another first guess already made; 0 makes one task
            without such a guess.
    """

    length: int
    openers: int = 0

    def rows(self) -> Iterable[tuple[str, dict[str, Any]]]:
        """Yield a name for error messages and the row."""
        words = secrets(self.length)
        for number, secret in enumerate(words):
            split = "train" if zlib.crc32(secret.encode()) % _TEST_SHARE else "test"
            for opener in self._openers(number, words):
                row = {"word": secret, "split": split} | ({"opener": opener} if opener else {})
                yield f"secrets.txt:{secret}", row

    def _openers(self, number: int, words: tuple[str, ...]) -> list[str | None]:
        if not self.openers:
            return [None]
        # Steps of a stride that is prime to the number of words give other words each, and never the secret.
        stride = next(s for s in count(1009) if gcd(s, len(words)) == 1)
        return [words[(number + step * stride) % len(words)] for step in range(1, self.openers + 1)]

    def __str__(self) -> str:
        """Name the list."""
        return f"the words of {self.length} letters"


def prompt(secret: str, opener: str | None = None) -> str:
    """The opening text of a task."""
    text = f"I am thinking of a word of {len(secret)} letters. Guess it."
    if opener:
        text += f" A first guess has been made for you:\n{show(opener, feedback(secret, opener))}"
    return text
