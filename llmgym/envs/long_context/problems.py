"""The generator: facts about codes to hide in a text, and a question about them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np

from llmgym.envs.draws import Draws
from llmgym.envs.vocabulary import FIRM_KINDS, FIRM_NAMES, PLACES
from llmgym.errors import ConfigError
from llmgym.tasks import Task

#: What all codes look like.
CODE: Final = r"\b[a-z]{2}-[0-9]{4}\b"
_LETTERS = "bcdfghjkmnpqrstvwxz"
_LEAST_LENGTH, _GREATEST_LENGTH = 500, 4_000_000


class _Facts:
    """Facts that a text is to hold, and the names and codes of which none comes twice.

    Attributes:
        d: Picks them.
        others: How many there are of depots that are not asked for.
        told: Their sentences.
        ordered: How many of these, from the first, keep their order in the text.
    """

    def __init__(self, d: Draws, others: int) -> None:
        self.d, self.others = d, others
        self.told: list[str] = []
        self.ordered = 0
        self._used: set[str] = set()

    def name(self, place: str = "") -> str:
        """A depot that is in no fact yet."""
        while True:
            where = place or self.d.pick(PLACES)
            name = f"{self.d.pick(FIRM_NAMES)} {self.d.pick(FIRM_KINDS)} depot in {where}"
            if name not in self._used:
                self._used.add(name)
                return name

    def like(self, name: str) -> str:
        """Another depot with much of a name."""
        firm, place = name.split(" depot in ")
        word, kind = firm.split(" ")
        while True:
            other = self.d.pick(
                (
                    f"{firm} depot in {self.d.pick(PLACES)}",
                    f"{word} {self.d.pick(FIRM_KINDS)} depot in {place}",
                    f"{self.d.pick(FIRM_NAMES)} {kind} depot in {place}",
                )
            )
            if other not in self._used:
                self._used.add(other)
                return other

    def code(self) -> str:
        """A code that is in no fact yet."""
        while True:
            code = f"{self.d.pick(_LETTERS)}{self.d.pick(_LETTERS)}-{self.d.whole(1000, 9999)}"
            if code not in self._used:
                self._used.add(code)
                return code

    def tell(self, name: str, code: str) -> None:
        """State the code of a depot."""
        self.told.append(
            self.d.pick(("The code of the {} is {}.", "The {} has the code {}.", "At the {}, the code is {}.")).format(
                name, code
            )
        )

    def add_others(self, name: str) -> None:
        """State codes of other depots, half of them with names that are alike."""
        for at in range(self.others):
            self.tell(self.like(name) if at % 2 else self.name(), self.code())


Question = tuple[str, Any]


def _single(f: _Facts) -> Question:
    name, code = f.name(), f.code()
    f.tell(name, code)
    f.add_others(name)
    return f.d.pick(("What is the code of the {}?", "Which code does the {} have?")).format(name), [code]


def _several_names(f: _Facts) -> Question:
    names = [f.name() for _ in range(f.d.whole(2, 4))]
    codes = [f.code() for _ in names]
    for name, code in zip(names, codes, strict=True):
        f.tell(name, code)
    f.add_others(names[0])
    listed = "; ".join(f"the {name}" for name in f.d.shuffled(names))
    return f"What are the codes of these depots, in any order: {listed}?", sorted(codes)


def _several_codes(f: _Facts) -> Question:
    name, codes = f.name(), [f.code() for _ in range(f.d.whole(2, 5))]
    f.told += [f"One of the codes of the {name} is {code}." for code in codes]
    other = f.like(name)
    f.told += [f"One of the codes of the {other} is {f.code()}." for _ in range(2)]
    f.add_others(name)
    return f"What are all codes of the {name}?", sorted(codes)


def _last(f: _Facts) -> Question:
    name, codes = f.name(), [f.code() for _ in range(f.d.whole(2, 4))]
    f.tell(name, codes[0])
    f.ordered = len(codes)
    f.told += [f"From here on, the code of the {name} is {code}; its earlier codes do not count." for code in codes[1:]]
    f.add_others(name)
    asked = "The code of the {} changes in the text. What is it at the end?"
    return asked.format(name), [codes[-1]]


def _chain(f: _Facts) -> Question:
    names, code = [f.name() for _ in range(f.d.whole(2, 4))], f.code()
    f.tell(names[0], code)
    f.told += [f"The {name} has the same code as the {other}." for other, name in pairwise(names)]
    other = f.like(names[-1])
    f.told.append(f"The {other} has the same code as the {(wrong := f.name())}.")
    f.tell(wrong, f.code())
    f.add_others(names[0])
    return f"What is the code of the {names[-1]}?", [code]


def _count(f: _Facts) -> Question:
    place, wanted = f.d.pick(PLACES), f.d.whole(3, 24)
    while len(f.told) < wanted:
        f.tell(f.name(place), f.code())
    while len(f.told) < wanted + f.others:
        if not (name := f.name()).endswith(f" in {place}"):
            f.tell(name, f.code())
    asked = "How many depots in {} have a code in the text? Each of them is mentioned once. Answer with a number."
    return asked.format(place), wanted


def _absent(f: _Facts) -> Question:
    name = f.name()
    f.add_others(name)
    return f"What is the code of the {name}?", []


#: Kinds of questions, and how often they come beside each other.
KINDS: Final[Mapping[str, tuple[Callable[[_Facts], Question], int]]] = {
    "single": (_single, 6),
    "names": (_several_names, 4),
    "codes": (_several_codes, 4),
    "last": (_last, 4),
    "chain": (_chain, 4),
    "count": (_count, 3),
    "absent": (_absent, 1),
}


@dataclass(frozen=True)
class Problems:
    """Makes the task of a text and a question; see `LongContext` for the arguments.

    Raises:
        ConfigError: An argument is out of range or unknown.
    """

    length: int
    others: int
    kinds: tuple[str, ...]

    def __post_init__(self) -> None:
        """Check the arguments."""
        if not (_LEAST_LENGTH <= self.length <= _GREATEST_LENGTH and 0 <= self.others <= 1000):
            raise ConfigError(
                f"length is {self.length} and others is {self.others}; {_LEAST_LENGTH} to {_GREATEST_LENGTH}, and 0 "
                "to 1000"
            )
        if unknown := [kind for kind in self.kinds if kind not in KINDS]:
            raise ConfigError(f"unknown kind {unknown[0]!r}; there is {', '.join(KINDS)}")
        if not self.kinds:
            raise ConfigError(f"kinds needs at least one; there is {', '.join(KINDS)}")

    def __call__(self, rng: np.random.Generator) -> Task:
        """Make a task."""
        d = Draws(rng)
        kind = d.pick([kind for kind in self.kinds for _ in range(KINDS[kind][1])])
        facts = _Facts(d, self.others)
        question, answer = KINDS[kind][0](facts)
        depths = [d.share() for _ in facts.told]
        depths[: facts.ordered] = sorted(depths[: facts.ordered])
        needles = sorted(([told, round(depth, 4)] for told, depth in zip(facts.told, depths, strict=True)), key=_depth)
        recipe = {"seed": d.whole(0, 2**48), "length": self.length, "needles": needles}
        return Task(prompt=question, answer=answer, metadata={"kind": kind, "text": recipe})


def _depth(needle: list[Any]) -> float:
    return needle[1]
