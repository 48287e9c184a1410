"""What follows an option in its sentence: "is right", "can't be", "it is", "because ..."."""

from __future__ import annotations

import enum
from collections.abc import Sequence

from llmgym.envs.multiple_choice.words import GONE, bag

_VERBS = bag(
    "is are was were be been being seems seem looks look appears appear sounds must should would will has have to fits "
    "fit works matches makes suits remains isn't aren't wasn't can cannot can't couldn't could might may shouldn't "
    "mustn't doesn't don't does do won't wouldn't"
)
_NOT = bag("not never cannot neither")
_PASS = bag(
    "the a an my our most only simply just so also both all indeed therefore thus hence very quite more being single "
    "final too then still which that one then there as here by process"
)
_RIGHT = bag("right correct true best answer solution accurate appropriate winner it valid")
_WRONG = bag(
    "wrong incorrect false out impossible invalid eliminated excluded untrue ruled discarded dismissed rejected "
    "unlikely nonsense mistaken off inaccurate inappropriate"
)
_CHOICE = bag("choice option pick selection")
_MAYBE = bag("could might may can perhaps maybe possibly")

_MARKS = (":", "-", "–", "—", ",", "(")
_GOOD_MARKS, _BAD_MARKS = "✓✔✅☑", "✗✘❌❎"
_IT_IS = (["it", "is"], ["it", "shall"], ["it", "must"], ["it", "has"])


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


def said_after(following: Sequence[str]) -> Said:
    """Read what a sentence says of the option that it has just named.

    Args:
        following: The words and marks that follow, in lower case.
    """
    if list(following[:2]) in _IT_IS and "not" not in following[2:3]:
        return Said.CHOSEN
    if following[:1] and following[0] in GONE:
        return Said.WRONG
    if checked := _checked(following):
        return checked
    marked = bool(following) and following[0] in _MARKS
    rest = following[1:] if marked else following
    verbs = 0
    while verbs < len(rest) and _is_verb(rest, verbs, marked):
        verbs += 1
    negated = sum(map(_denies, rest[:verbs])) % 2 == 1
    if negated and any(word in ("only", "just", "merely") for word in rest[verbs : verbs + 1]):
        return Said.OTHER
    if not verbs and not marked:
        return Said.NOTHING
    if verbs and marked and following[0] == ",":
        return Said.NOTHING
    maybe = any(word in _MAYBE for word in rest[:verbs]) and not negated
    return _predicate(rest, verbs, negated, maybe)


def _checked(following: Sequence[str]) -> Said | None:
    """What a mark behind an option says of it, perhaps after a colon or dash."""
    for mark in following[: 1 + (following[:1] != [] and following[0] in _MARKS)]:
        if mark in _GOOD_MARKS or mark in _BAD_MARKS:
            return Said.RIGHT if mark in _GOOD_MARKS else Said.WRONG
    return None


def _is_verb(words: Sequence[str], place: int, marked: bool) -> bool:
    """Whether a word still belongs to the verb, as all of "must not really be" does."""
    word = words[place]
    if word in _VERBS or word.endswith("n't"):
        return True
    return place > 0 and (word in _NOT or word in _PASS or (word.endswith("ly") and word not in ("only", "unlikely")))


def _denies(word: str) -> bool:
    return word in _NOT or word.endswith("n't")


def _predicate(words: Sequence[str], verbs: int, negated: bool, maybe: bool) -> Said:
    """What is said with some verbs, and after them."""
    place = verbs
    while place < len(words) and (words[place] in _PASS or words[place].endswith("ly")) and words[place] != "unlikely":
        place += 1
    word = words[place] if place < len(words) else ""
    if word in _RIGHT:
        return Said.WRONG if negated else Said.MAYBE if maybe else Said.RIGHT
    if word in _WRONG:
        return Said.OTHER if negated else Said.MAYBE if maybe else Said.WRONG
    if word in _CHOICE and verbs and (place + 1 == len(words) or words[place - 1] in ("my", "our", "final")):
        return Said.WRONG if negated else Said.RIGHT
    if list(words[place : place + 2]) == ["no", "sense"]:
        return Said.WRONG
    if negated:
        return Said.WRONG if not word and "be" in words[:verbs] else Said.NOT_SO
    return Said.OTHER if verbs else Said.NOTHING
