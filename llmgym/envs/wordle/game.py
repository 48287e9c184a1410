"""The rules: what a guess tells, what is known after it, and how a guess is read out of a reply."""

from __future__ import annotations

import re
from collections import Counter

GREEN, YELLOW, GRAY = "G", "Y", "X"

_TAG = re.compile(r"<guess>([^<]*)", re.IGNORECASE)
_BRACKETS = re.compile(r"\[([A-Za-z ]{1,40})\]")
_WORD = re.compile(r"[^\W\d_]+")


def feedback(secret: str, guess: str) -> str:
    """Mark each letter of a guess.

    A letter is marked no more often than the secret has it: right places first, then from the left.

    Returns:
        One of `G` (right place), `Y` (elsewhere in the word) and `X` (not in the word) per letter.
    """
    marks = [GREEN if a == b else GRAY for a, b in zip(secret, guess, strict=True)]
    left = Counter(letter for letter, mark in zip(secret, marks, strict=True) if mark == GRAY)
    for place, letter in enumerate(guess):
        if marks[place] == GRAY and left[letter]:
            left[letter] -= 1
            marks[place] = YELLOW
    return "".join(marks)


def show(guess: str, marks: str) -> str:
    """Two lines, letters over marks; spaces keep the letters apart for tokenizers."""
    return f"{' '.join(guess.upper())}\n{' '.join(marks)}"


class Clues:
    """What the guesses so far have told of the secret.

    Attributes:
        placed: Letters by the place that they are known to have.
        counts: How often each letter is known to occur, at least.
    """

    def __init__(self) -> None:
        """Know nothing."""
        self.placed: dict[int, str] = {}
        self.counts: Counter[str] = Counter()

    def learn(self, guess: str, marks: str) -> None:
        """Take in the marks of a guess."""
        self.placed |= {i: letter for i, (letter, mark) in enumerate(zip(guess, marks, strict=True)) if mark == GREEN}
        self.counts |= Counter(letter for letter, mark in zip(guess, marks, strict=True) if mark != GRAY)

    def progress(self, length: int) -> float:
        """Share of the secret that is known, from 0 to 1: half for its letters, half for their places."""
        return (len(self.placed) + self.counts.total()) / (2 * length)

    def conflict(self, guess: str) -> str | None:
        """Say which clue a guess leaves unused, or None."""
        for place, letter in sorted(self.placed.items()):
            if guess[place] != letter:
                return f"letter {place + 1} must be {letter.upper()}"
        for letter, count in sorted(self.counts.items()):
            if guess.count(letter) < count:
                return f"it must contain {letter.upper()}{f' {count} times' if count > 1 else ''}"
        return None


def read_guess(text: str, length: int) -> str | None:
    """Read the guess of a reply, in lower case.

    The last `<guess>...</guess>` counts, else the last `[...]`, else the last word of the right
    length. What stands in a tag counts even where it is no word of that length.
    """
    if tagged := _TAG.findall(text) or _BRACKETS.findall(text):
        return "".join(tagged[-1].split()).strip("\"'.*`").lower()
    words = [word for word in _WORD.findall(text) if len(word) == length]
    return words[-1].lower() if words else None
