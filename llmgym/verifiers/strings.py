"""Strings: equal as they are or once normalised, or how much of one is in the other."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, get_args

from llmgym.errors import MissingExtraError, TaskError
from llmgym.verifiers.base import MAX_ANSWER, Verdict, correct, graded, too_long, unscored, wrong
from llmgym.verifiers.text import folded, without_thoughts

#: How strings are compared: "exact" and "normalised" as right or wrong, the others by their share in common: of words
#: ("f1"), of edits ("edit"), of words in order ("rouge_l").
Mode = Literal["exact", "normalised", "f1", "edit", "rouge_l"]

MAX_GRADED = 20_000  # characters that the graded modes read
# NFKC makes "102" of "10²", and "11/4" of "1¼".
_KEPT = re.compile("([⁰¹²³⁴-⁹⁺⁻ⁿ₀-₉¼-¾⅐-⅞])")
_BEFORE = "\"'“”‘’«»`([{*_ "
_AFTER = _BEFORE + ")]}.,;:!?…"


def normalised(text: str) -> str:
    """A string in plain characters and lower case, without differences of blanks, quotes and marks of a sentence's end.

    Articles and signs stay: "Hepatitis A" is not "Hepatitis", nor "C++" "C", nor "-5" "5", nor "3.5" "35".
    """
    words = " ".join(_plain(_plain(text).casefold()).split())
    return words.lstrip(_BEFORE).rstrip(_AFTER).replace("“", '"').replace("”", '"')


def _plain(text: str) -> str:
    parts = _KEPT.split(text)  # every second one is kept
    return folded("".join(part if at % 2 else unicodedata.normalize("NFKC", part) for at, part in enumerate(parts)))


def words_of(text: str) -> list[str]:
    """The normalised words of a string, without punctuation around each."""
    return [word for part in normalised(text).split() if (word := part.lstrip(_BEFORE).rstrip(_AFTER))]


def check(answer: str, reference: str | Sequence[str], *, mode: Mode = "normalised") -> Verdict:
    """Compare a string with the right one, or with whichever of several fits best.

    Args:
        answer: The reply; thoughts in it do not count.
        reference: What is right.
        mode: How they are compared. "edit" needs the extra `verifiers`.

    Raises:
        ValueError: There is no such mode.
        MissingExtraError: rapidfuzz is not there.
    """
    if mode not in get_args(Mode):
        raise ValueError(f"unknown mode {mode!r}; there is {', '.join(get_args(Mode))}")
    references = [reference] if isinstance(reference, str) else list(reference)
    if fault := _fault(references, mode):
        return unscored("invalid_reference", fault)
    said = without_thoughts(answer).strip()
    limit = MAX_GRADED if mode in _SHARES else MAX_ANSWER
    if len(said) > limit:
        return too_long(len(said), limit)
    if not said:
        return wrong("nothing", "no_answer")
    if share := _SHARES.get(mode):
        return graded(max(share(said, text) for text in references))
    if mode == "exact":
        return correct() if said in (text.strip() for text in references) else wrong()
    return correct() if normalised(said) in map(normalised, references) else wrong()


def prove(reference: str | Sequence[str], *, mode: Mode = "normalised") -> None:
    """Prove that a reference can be matched.

    Raises:
        TaskError: It cannot.
    """
    if fault := _fault([reference] if isinstance(reference, str) else list(reference), mode):
        raise TaskError(f"the reference {reference!r:.100} {fault}")


def _fault(references: Sequence[str], mode: Mode) -> str:
    """What is wrong with references; "" where nothing is."""
    if not references or not all(isinstance(text, str) for text in references):
        return "is neither text nor several texts"
    if not all(text.strip() if mode == "exact" else normalised(text) for text in references):
        return "holds nothing that is compared"
    limit = MAX_GRADED if mode in _SHARES else MAX_ANSWER
    return "is longer than what is read" if max(map(len, references)) > limit else ""


def _f1(first: str, second: str) -> float:
    """The harmonic mean of the shares of words in common, as SQuAD has it."""
    one, other = words_of(first), words_of(second)
    return _mean(sum((Counter(one) & Counter(other)).values()), len(one), len(other))


def _rouge_l(first: str, second: str) -> float:
    """The same for the longest common subsequence of words."""
    one, other = words_of(first), words_of(second)
    return _mean(_common_length(one, other), len(one), len(other))


def _mean(common: int, one: int, other: int) -> float:
    return 2 * common / (one + other) if common else 0.0


def _common_length(one: Sequence[str], other: Sequence[str]) -> int:
    """The length of the longest common subsequence, by one step for each word of the second (Hyyrö's bit vectors)."""
    places = Counter[str]()
    for at, word in enumerate(one):
        places[word] |= 1 << at
    everything = row = (1 << len(one)) - 1
    for word in other:
        matches = row & places[word]
        row = ((row + matches) | (row - matches)) & everything
    return len(one) - row.bit_count()


def _edit(first: str, second: str) -> float:
    """One less the edits that make one of the other, by the characters of the longer."""
    try:
        from rapidfuzz.distance import Levenshtein  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError:
        raise MissingExtraError("comparing strings by edits", "verifiers") from None
    return Levenshtein.normalized_similarity(normalised(first), normalised(second))


_SHARES: Mapping[str, Callable[[str, str], float]] = {"f1": _f1, "edit": _edit, "rouge_l": _rouge_l}
