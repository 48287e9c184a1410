"""The rules: what a guess tells, what is known after it, and how a guess is read out of a reply."""

from __future__ import annotations

import re
from collections import Counter

from llmgym.verifiers.text import folded, without_thoughts

GREEN, YELLOW, GRAY = "G", "Y", "X"

_TAG = re.compile(r"<guess>([^<]*)", re.IGNORECASE)
_BRACKETS = re.compile(r"\[([A-Za-z ]{1,40})\]")
_WORD = re.compile(r"[^\W\d_]+")
_MEANT = re.compile(
    r"\b(?:guess(?:ing)?|answer|word)\b(?: (?:is|would be|will be))?(?: the)?(?: word)?[ :=\"'*`]{1,6}([^\W\d_]+)"
    r"(?=[\"'*`.!,;]|\s*$|\s*\n)",
    re.IGNORECASE,
)
_SHOWN = re.compile(r"[\"“'*`]{1,3}([^\W\d_]+)[\"”'*`]{1,3}")
_CAPITALS = re.compile(r"\b[A-Z]{2,}\b")


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

    The last `<guess>...</guess>` counts, else the last `[...]`; what stands in them counts even where it is no word of
    that length. Else a word of the right length is a guess where it is meant as one: after "my guess is", in quotes or
    bold, alone on the first or last line, or in capitals in a text that is not. Other words are talk, and thoughts do
    not count.
    """
    text = folded(without_thoughts(text))
    if tagged := _TAG.findall(text) or _BRACKETS.findall(text):
        return "".join(tagged[-1].split()).strip("\"'.*`").lower()
    lines = text.strip().split("\n")
    ways = (
        _MEANT.findall(text),
        _SHOWN.findall(text),
        [*_alone(lines[0]), *_alone(lines[-1])],
        _CAPITALS.findall(text) if text.upper() != text else [],
    )
    found = ([word for word in words if len(word) == length] for words in ways)
    return next((words[-1].lower() for words in found if words), None)


def _alone(line: str) -> list[str]:
    """The word of a line that has no other, or the letters of one that is spelled out."""
    words = _WORD.findall(line)
    if len(words) > 1 and all(len(word) == 1 for word in words):
        return ["".join(words)]
    return words if len(words) == 1 else []
