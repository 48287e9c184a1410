"""Invented worlds: towns, people, firms, products and events, with the facts that tie them together."""

from __future__ import annotations

from calendar import month_name
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import lru_cache

import numpy as np

from llmgym.envs.library import Document, Library
from llmgym.envs.retrieval_qa.relations import BY_NAME, OF
from llmgym.envs.vocabulary import (
    FAMILY_NAMES,
    FIRM_KINDS,
    FIRM_NAMES,
    GATHERINGS,
    GIVEN_NAMES,
    JOBS,
    PLACES,
    RIVERS,
    THINGS,
)

_SHARES = {"town": 0.03, "person": 0.34, "firm": 0.13, "product": 0.31, "event": 0.19}
_KEPT = 32  # worlds that a process keeps, of some 4 MB each


@dataclass(frozen=True, slots=True)
class Thing:
    """What a document is about.

    Attributes:
        name: Its name, which no other has.
        kind: One of `KINDS`.
        facts: Names of things, words, numbers and dates (1987-03-14), by relation.
    """

    name: str
    kind: str
    facts: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class World:
    """All things of a world.

    Attributes:
        things: By name.
        kinds: By kind.
        sources: Names of the things that lead to a name by a relation.
        counts: Names that so many things lead to by a relation.
    """

    things: dict[str, Thing]
    kinds: dict[str, list[Thing]]
    sources: dict[tuple[str, str], list[str]]
    counts: dict[tuple[str, int], list[str]]


@lru_cache(maxsize=_KEPT)
def world(number: int, documents: int) -> World:
    """The world of a number, always the same."""
    rng = np.random.Generator(np.random.PCG64([number, documents]))
    return _Maker(rng).world({kind: max(6, round(share * documents)) for kind, share in _SHARES.items()})


@lru_cache(maxsize=_KEPT)
def library(number: int, documents: int) -> Library:
    """The documents of a world, in an order that tells nothing."""
    rng = np.random.Generator(np.random.PCG64([number, documents, 1]))
    things = list(world(number, documents).things.values())
    order = rng.permutation(len(things))
    written = (Document(f"d{place:04d}", things[at].name, _text(rng, things[at])) for place, at in enumerate(order, 1))
    return Library(written)


def _text(rng: np.random.Generator, thing: Thing) -> str:
    """What a document says, a fact on each line."""
    lines = [
        relation.sentences[int(rng.integers(len(relation.sentences)))].format(
            s=thing.name, v=said(thing.facts[relation.name], relation.gives)
        )
        for relation in OF[thing.kind]
        if relation.name in thing.facts
    ]
    return "\n".join(lines[at] for at in rng.permutation(len(lines)))


def said(value: str, gives: str) -> str:
    """A value as documents write it: "14 March 1987", "12,500"."""
    if gives == "date":
        day = date.fromisoformat(value)
        return f"{day.day} {month_name[day.month]} {day.year}"
    return f"{int(value):,}" if gives == "number" and len(value) > 4 else value


class _Maker:
    """Makes one world."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.names: dict[str, list[str]] = {}

    def world(self, sizes: dict[str, int]) -> World:
        """Name all things first, since facts lead in all directions, and tell their facts then."""
        name = {"town": self._towns, "person": self._people, "firm": self._firms, "product": self._products,
                "event": self._events}  # fmt: skip
        for kind, size in sizes.items():
            self.names[kind] = name[kind](size)
        kinds = {kind: [Thing(name, kind) for name in names] for kind, names in self.names.items()}
        things = {thing.name: thing for each in kinds.values() for thing in each}
        for thing in things.values():
            self._tell(thing, things)
        sources: dict[tuple[str, str], list[str]] = {}
        for thing in things.values():
            for relation, value in thing.facts.items():
                if value in things:
                    sources.setdefault((relation, value), []).append(thing.name)
        counts: dict[tuple[str, int], list[str]] = {}
        for (relation, name), leading in sources.items():
            counts.setdefault((relation, len(leading)), []).append(name)
        return World(things, kinds, sources, counts)

    # --- names --------------------------------------------------------------------------------------

    def _pick(self, choices: Sequence[str]) -> str:
        return choices[int(self.rng.integers(len(choices)))]

    def _number(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high, endpoint=True))

    def _towns(self, size: int) -> list[str]:
        return [PLACES[at] for at in self.rng.permutation(len(PLACES))[:size]]

    def _people(self, size: int) -> list[str]:
        """Many share a family name, and some have given names that begin alike, too."""
        found: dict[str, None] = {}
        while len(found) < size:
            at = self._number(0, len(GIVEN_NAMES) - 2)
            family = self._pick(FAMILY_NAMES)
            for given in GIVEN_NAMES[at : at + self._number(1, 2)]:
                found[f"{given} {family}"] = None
        return list(found)[:size]

    def _firms(self, size: int) -> list[str]:
        found: dict[str, None] = {}
        while len(found) < size:
            found[f"{self._pick(FIRM_NAMES)} {self._pick(FIRM_KINDS)}"] = None
        return list(found)

    def _products(self, size: int) -> list[str]:
        """Several generations of a product, which differ in a fact or two."""
        found: dict[str, None] = {}
        while len(found) < size:
            line = f"{self._pick(FIRM_NAMES)} {self._pick(THINGS).capitalize()}"
            for generation in range(1, self._number(2, 5)):
                found[f"{line} {generation}"] = None
        return list(found)[:size]

    def _events(self, size: int) -> list[str]:
        """Several years of an event, which differ in a fact or two."""
        found: dict[str, None] = {}
        while len(found) < size:
            series, first = f"{self._pick(FIRM_NAMES)} {self._pick(GATHERINGS)}", self._number(1980, 2010)
            for year in range(first, first + self._number(3, 7)):
                found[f"{series} {year}"] = None
        return list(found)[:size]

    # --- facts --------------------------------------------------------------------------------------

    def _tell(self, thing: Thing, things: dict[str, Thing]) -> None:
        before = self._earlier(thing, things)
        for relation in OF[thing.kind]:
            if relation.absent and self.rng.random() < relation.absent:
                continue
            same = before.facts.get(relation.name) if before is not None and self.rng.random() < 0.75 else None
            value = same if same and relation.gives in self.names else self._value(thing, relation.name, before)
            if value != thing.name:
                thing.facts[relation.name] = value

    def _earlier(self, thing: Thing, things: dict[str, Thing]) -> Thing | None:
        """The generation of a product, or the year of an event, before this one."""
        line, _, number = thing.name.rpartition(" ")
        earlier = things.get(f"{line} {int(number) - 1}") if thing.kind in ("product", "event") else None
        return earlier if earlier is not None and earlier.facts else None

    def _value(self, thing: Thing, relation: str, before: Thing | None) -> str:
        gives = BY_NAME[relation].gives
        if gives in self.names:
            return self._pick(self.names[gives])
        if relation == "river":
            return self._pick(RIVERS)
        if relation == "job":
            return self._pick(JOBS)
        if relation == "born":
            return (date(1930, 1, 1) + timedelta(days=self._number(0, 23_700))).isoformat()
        if relation == "held":
            year = int(thing.name.rpartition(" ")[2])
            return (date(year, 1, 1) + timedelta(days=self._number(0, 364))).isoformat()
        if relation == "released" and before is not None:
            return str(int(before.facts[relation]) + self._number(1, 4))
        low, high = _RANGES[relation]
        return str(self._number(low, high))


_RANGES = {
    "founded_town": (1105, 1895),
    "population": (2_100, 240_000),
    "founded_firm": (1870, 2012),
    "released": (1961, 2012),
    "price": (5, 980),
    "visitors": (310, 64_000),
}
