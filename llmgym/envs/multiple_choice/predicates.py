"""What follows an option in its sentence: "is right", "can't be", "it is", "because ..."."""

from __future__ import annotations

import enum
from collections.abc import Sequence

from llmgym.envs.multiple_choice.words import GONE

_VERBS = frozenset(
    [
        "is",
        "are",
        "was",
        "were",
        "be",
        "been",
        "being",
        "seems",
        "seem",
        "looks",
        "look",
        "appears",
        "appear",
        "sounds",
        "must",
        "should",
        "would",
        "will",
        "has",
        "have",
        "to",
        "fits",
        "fit",
        "works",
        "matches",
        "makes",
        "suits",
        "remains",
        "isn't",
        "aren't",
        "wasn't",
        "can",
        "cannot",
        "can't",
        "couldn't",
        "could",
        "might",
        "may",
        "shouldn't",
        "mustn't",
        "doesn't",
        "don't",
        "does",
        "do",
        "won't",
        "wouldn't",
    ]
)
_NOT = frozenset(["not", "never", "cannot", "neither"])
_PASS = frozenset(
    [
        "the",
        "a",
        "an",
        "my",
        "our",
        "most",
        "only",
        "simply",
        "just",
        "so",
        "also",
        "both",
        "all",
        "indeed",
        "therefore",
        "thus",
        "hence",
        "very",
        "quite",
        "more",
        "being",
        "single",
        "final",
        "too",
        "then",
        "still",
        "which",
        "that",
        "one",
        "then",
        "there",
        "as",
        "here",
        "by",
        "process",
    ]
)
_RIGHT = frozenset(
    ["right", "correct", "true", "best", "answer", "solution", "accurate", "appropriate", "winner", "it", "valid"]
)
_WRONG = frozenset(
    [
        "wrong",
        "incorrect",
        "false",
        "out",
        "impossible",
        "invalid",
        "eliminated",
        "excluded",
        "untrue",
        "ruled",
        "discarded",
        "dismissed",
        "rejected",
        "unlikely",
        "nonsense",
        "mistaken",
        "off",
        "inaccurate",
        "inappropriate",
    ]
)
_CHOICE = frozenset(["choice", "option", "pick", "selection"])
_MAYBE = frozenset(["could", "might", "may", "can", "perhaps", "maybe", "possibly"])


class Said(enum.Enum):
    """What is said of an option."""

    NOTHING = enum.auto()
    OTHER = enum.auto()  # something that does not tell
    RIGHT = enum.auto()
    CHOSEN = enum.auto()  # "B it is"
    MAYBE = enum.auto()
    WRONG = enum.auto()
    NOT_SO = enum.auto()  # something that it is not, which need not make it wrong

    @property
    def verb(self) -> bool:
        """Whether a sentence is made of the option."""
        return self is not Said.NOTHING


def said_after(words: Sequence[str]) -> Said:
    """Read what a sentence says of the option that it has just named.

    Args:
        words: The words and marks that follow, in lower case.
    """
    if list(words[:2]) in (["it", "is"], ["it", "shall"], ["it", "must"], ["it", "has"]) and "not" not in words[2:3]:
        return Said.CHOSEN
    if words[:1] and words[0] in GONE:
        return Said.WRONG
    verb = negated = maybe = mark = False
    for place, word in enumerate(words):
        if word in (":", "-", "–", "—", ",", "("):
            if mark or verb:
                break
            mark = True
            continue
        denies = word in _NOT or word.endswith("n't")
        if word in _NOT and not verb and word != "cannot":
            return Said.NOTHING  # "B, not A"
        if word in _VERBS or denies:
            if not verb and mark and words[0] == ",":
                return Said.NOTHING
            verb, negated, maybe = True, negated != denies, maybe or word in _MAYBE
        elif verb and negated and word in ("only", "just", "merely"):
            negated = False
        elif not (verb or (mark and place)):
            return Said.NOTHING
        elif word in _RIGHT:
            return Said.WRONG if negated else Said.MAYBE if maybe else Said.RIGHT
        elif word in _WRONG:
            return Said.OTHER if negated else Said.MAYBE if maybe else Said.WRONG
        elif word in _CHOICE and verb:
            before = words[max(0, place - 2) : place]
            if {"my", "our", "final"} & set(before) or place + 1 == len(words):
                return Said.WRONG if negated else Said.RIGHT
            break
        elif word not in _PASS and not word.endswith("ly"):
            break
    else:
        if negated:
            return Said.WRONG if "be" in words else Said.NOT_SO
    if negated:
        return Said.NOT_SO
    return Said.OTHER if verb else Said.NOTHING
