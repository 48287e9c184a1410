"""Arithmetic told as a story: what somebody has, and what happens to it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from llmgym.envs.calculator.expressions import Call, Expression, call, size_of, value_of


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_PEOPLE = _words(
    "Ada Ahmed Aisha Alma Amir Ana Anil Anton Ayumi Bao Beatriz Boris Carla Chidi Chloe Dana Daniel Diego Elena Emeka "
    "Emil Fatima Felix Freya George Grace Hana Hugo Ines Ivan Jamal Jin Jonas Julia Kai Karim Kofi Lara Leila Liam "
    "Lina Luca Maya Mei Mia Milan Mina Nadia Nia Noah Nora Olga Omar Oscar Paula Pedro Priya Rafael Ravi Rosa Ruth "
    "Samir Sara Sofia Tariq Theo Uma Vera Viktor Wanda Yara Yusuf Zoe"
)
_THINGS = _words(
    "marbles stamps stickers coins cards apples pencils shells buttons books pebbles beads postcards oranges balloons "
    "cookies bricks tickets candles photos roses walnuts plums magnets badges crayons figurines seeds lemons keys"
)
_PACKS = ("boxes", "bags", "packs", "jars", "crates", "envelopes", "baskets", "tins")
_LATER = ("Later", "After that", "The next day", "Then", "A week afterwards", "In the evening", "Some time later")
_MAX_VALUE = 10**7  # beyond it a story stops making sense


@dataclass(frozen=True)
class _Scene:
    """Who and what a story is about.

    Attributes:
        rng: Picks what happens.
        who: The person.
        other: Another person.
        things: What is counted.
        packs: What it is packed in.
        largest: Greatest number told.
    """

    rng: np.random.Generator
    who: str
    other: str
    things: str
    packs: str
    largest: int

    def number(self, low: int, high: int) -> Fraction:
        """A number told in the story."""
        return Fraction(int(self.rng.integers(low, max(low, min(high, self.largest)), endpoint=True)))

    def pick(self, *choices: str) -> str:
        """One of some phrases, with names filled in."""
        text = choices[int(self.rng.integers(len(choices)))]
        names = {"WHO": self.who, "OTHER": self.other, "THINGS": self.things, "PACKS": self.packs}
        return re.sub("WHO|OTHER|THINGS|PACKS", lambda match: names[match[0]], text)


_Told = tuple[str, Call] | None


def _more(s: _Scene, have: Expression) -> _Told:
    n = s.number(2, s.largest)
    text = s.pick(
        "WHO gets {} more THINGS from OTHER",
        "WHO finds another {} THINGS",
        "WHO buys {} THINGS",
        "OTHER brings WHO {} THINGS",
    )
    return text.format(n), call("add", have, n)


def _fewer(s: _Scene, have: Expression) -> _Told:
    if value_of(have) < 3:
        return None
    n = s.number(2, int(value_of(have)) - 1)
    text = s.pick(
        "WHO gives {} THINGS to OTHER",
        "WHO loses {} of the THINGS",
        "WHO sells {} THINGS",
        "OTHER borrows {} of the THINGS",
    )
    return text.format(n), call("subtract", have, n)


def _times(s: _Scene, have: Expression) -> _Told:
    n = s.number(2, 12)
    text = s.pick(
        "the number of THINGS grows to {} times what it was",
        "WHO swaps every one of the THINGS for {} smaller THINGS",
    )
    return text.format(n), call("multiply", have, n)


def _share(s: _Scene, have: Expression) -> _Told:
    divisors = [d for d in range(2, min(30, s.largest) + 1) if value_of(have) % d == 0 and value_of(have) > d]
    if not divisors:
        return None
    n = Fraction(int(s.rng.choice(divisors)))
    text = s.pick(
        "WHO spreads all the THINGS equally over {} PACKS, keeps one of them and gives the others to OTHER",
        "WHO splits the THINGS into {} equal heaps and keeps only one heap",
    )
    return text.format(n), call("divide", have, n)


def _packs(s: _Scene, have: Expression) -> _Told:
    n, each = s.number(2, 20), s.number(2, s.largest)
    text = s.pick("WHO buys {} PACKS with {} THINGS each", "a group of {} friends brings WHO {} THINGS each")
    return text.format(n, each), call("add", have, call("multiply", n, each))


def _gifts(s: _Scene, have: Expression) -> _Told:
    n = s.number(2, 12)
    if value_of(have) <= 2 * n:
        return None
    each = s.number(2, int((value_of(have) - 1) // n))
    text = s.pick("WHO gives {} friends {} THINGS each", "each of {} visitors takes {} of the THINGS away")
    return text.format(n, each), call("subtract", have, call("multiply", n, each))


def _growth(s: _Scene, have: Expression) -> _Told:
    n, (word, base) = s.number(2, 5), (("doubles", 2), ("triples", 3))[s.rng.integers(2)]
    period = s.pick("day", "week", "month", "year")
    text = s.pick(
        f"for {{}} {period}s in a row, the number of THINGS {word} every {period}",
        f"the number of THINGS {word} every {period} for {{}} {period}s",
    )
    return text.format(n), call("multiply", have, call("power", Fraction(base), n))


# What can happen, by the operations that it takes, each once.
_EVENTS: dict[frozenset[str], Callable[[_Scene, Expression], _Told]] = {
    frozenset({"add"}): _more,
    frozenset({"subtract"}): _fewer,
    frozenset({"multiply"}): _times,
    frozenset({"divide"}): _share,
    frozenset({"add", "multiply"}): _packs,
    frozenset({"subtract", "multiply"}): _gifts,
    frozenset({"multiply", "power"}): _growth,
}


def tellable(operations: frozenset[str]) -> bool:
    """Whether stories of any length can be told with some operations."""
    return any(len(needed) == 1 and needed <= operations for needed in _EVENTS)


def tell(
    rng: np.random.Generator, steps: int, largest: int, operations: frozenset[str]
) -> tuple[str, Expression] | None:
    """Tell a story.

    Args:
        rng: Picks what happens.
        steps: Operations that it takes.
        largest: Greatest number told.
        operations: Those that it may take.

    Returns:
        The story with its question, and the tree of its operations; None where the numbers that came
        up led nowhere.
    """
    who, other = rng.choice(_PEOPLE, 2, replace=False)
    scene = _Scene(rng, str(who), str(other), _one(rng, _THINGS), _one(rng, _PACKS), largest)
    have: Expression = scene.number(2, largest)
    sentences = [scene.pick("WHO has {} THINGS.", "WHO starts with {} THINGS.", "WHO owns {} THINGS.").format(have)]
    while (left := steps - size_of(have)) > 0:
        told = _happen(scene, have, [needed for needed in _EVENTS if needed <= operations and len(needed) <= left])
        if told is None or value_of(told[1]) > _MAX_VALUE:
            return None
        text, have = told
        sentences.append(_sentence(scene, text, first=len(sentences) == 1))
    sentences.append(
        scene.pick(
            "How many THINGS does WHO have now?",
            "How many THINGS are there in the end?",
            "How many THINGS is WHO left with?",
        )
    )
    return " ".join(sentences), have


def _one(rng: np.random.Generator, choices: Sequence[str]) -> str:
    return choices[int(rng.integers(len(choices)))]


def _happen(scene: _Scene, have: Expression, events: list[frozenset[str]]) -> _Told:
    for i in scene.rng.permutation(len(events)):
        if told := _EVENTS[events[i]](scene, have):
            return told
    return None


def _sentence(scene: _Scene, text: str, first: bool) -> str:
    if first or scene.rng.random() < 0.3:
        return f"{text[0].upper()}{text[1:]}."
    return f"{scene.pick(*_LATER)}, {text}."
