"""Questions about a world: walks from fact to fact, comparisons, counts, sums, extremes, and what is not stated.

A question has a plan, which is how it is answered: a name is the thing of that name, `["read", relation, plan]` what
the document of a thing states, `["more" | "less", relation, plans]` the one of several things with the greater or
smaller number or date, and `["count", relation, name]`, `["sum" | "most" | "least", of, relation, name]` go through
all things that lead to a name by a relation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from llmgym.envs.retrieval_qa.relations import KINDS, OF, Relation
from llmgym.envs.retrieval_qa.world import Thing, World, world
from llmgym.envs.vocabulary import listed
from llmgym.tasks import Task

#: Sorts of questions, and how often each comes beside the others.
SORTS = {"chain": 50, "comparison": 20, "extreme": 12, "sum": 9, "count": 5, "absent": 0}
NOT_STATED = "not stated"
_ABSENT = 0.04  # the share of questions whose answer that is: who always says so earns no more
_TRIES = 1000

_OPENINGS = ("", "", "", "Please look this up: ", "I need to know this. ", "Find out from the library: ", "Question: ")
_COUNTS = {
    "maker": "How many products does {x} make?",
    "designer": "How many products were designed by {x}?",
    "host": "How many events took place in {x}?",
    "winner": "How many events were won by {x}?",
    "sponsor": "How many events had {x} as their sponsor?",
    "employer": "How many people work for {x}?",
    "seat": "How many firms have their head office in {x}?",
    "teacher": "How many people were taught by {x}?",
}
_SUMS = (
    ("price", "maker", "How many crowns do all the products that {x} makes cost together?"),
    ("price", "designer", "What is the sum of the prices, in crowns, of the products that {x} designed?"),
    ("visitors", "winner", "How many visitors did the events that {x} won have in all?"),
    ("visitors", "sponsor", "What is the sum of the numbers of visitors of the events that {x} paid for?"),
)
_EXTREMES = (
    ("price", "maker", "Of the products that {x} makes, which one costs {}?", ("most", "least")),
    ("released", "maker", "Which product of {x} came onto the market {}?", ("last", "first")),
    ("price", "designer", "Which of the products that {x} designed costs {}?", ("most", "least")),
    ("visitors", "winner", "Which of the events that {x} won had the {} visitors?", ("most", "fewest")),
    ("held", "sponsor", "Which of the events that {x} paid for was held {}?", ("last", "first")),
    ("born", "employer", "Who is the {} of the people who work for {x}?", ("youngest", "oldest")),
    ("born", "teacher", "Who is the {} of the people whom {x} taught?", ("youngest", "oldest")),
    ("founded_firm", "seat", "Which of the firms with a head office in {x} was founded {}?", ("last", "first")),
)
_TIME = ("later", "earlier")
_COMPARED = {
    "town": (("population", "has {} inhabitants", ("more", "fewer")), ("founded_town", "was founded {}", _TIME)),
    "person": (("born", "was born {}", _TIME),),
    "firm": (("founded_firm", "was founded {}", _TIME),),
    "product": (("price", "costs {}", ("more", "less")), ("released", "came onto the market {}", _TIME)),
    "event": (("visitors", "had {} visitors", ("more", "fewer")), ("held", "was held {}", _TIME)),
}
_SUPERLATIVES = {"more": "most", "fewer": "fewest", "less": "least", "later": "last", "earlier": "first"}

_T = TypeVar("_T")
Plan = Any  # JSON: a name, or a list that begins with what is done


@dataclass(frozen=True, slots=True)
class Draft:
    """A question on the way: its text, how it is answered, what that gives, and which documents it takes."""

    text: str
    plan: Plan
    answer: str
    gives: str
    support: list[str]


@dataclass(frozen=True)
class Questions:
    """Makes tasks, each about one of several worlds.

    Attributes:
        documents: How many documents a world has.
        first: Number of the first world.
        worlds: How many there are.
        hops: Least and most facts that a walk takes.
        sorts: Sorts of questions.
        among: Things that a comparison compares.
    """

    documents: int
    first: int
    worlds: int
    hops: tuple[int, int]
    sorts: tuple[str, ...]
    among: int

    def __call__(self, rng: np.random.Generator) -> Task:
        """Make one task."""
        number = self.first + int(rng.integers(self.worlds))
        asked = _Asked(rng, world(number, self.documents), self.hops, self.among)
        sort = self._sort(rng)
        for _ in range(_TRIES):
            draft = getattr(asked, sort)()
            if draft is not None and draft.answer.casefold() not in draft.text.casefold():
                return self._task(rng, number, sort, draft)
        raise RuntimeError(f"world {number} of {self.documents} documents has no question of the sort {sort!r}")

    def _task(self, rng: np.random.Generator, number: int, sort: str, draft: Draft) -> Task:
        return Task(
            prompt=f"{_pick(rng, _OPENINGS)}{draft.text}",
            answer=draft.answer,
            metadata={
                "world": number,
                "documents": self.documents,
                "sort": sort,
                "kind": draft.gives if draft.gives in ("number", "date") else "name",
                "plan": draft.plan,
                "support": draft.support,
            },
        )

    def _sort(self, rng: np.random.Generator) -> str:
        if "absent" in self.sorts and rng.random() < _ABSENT:
            return "absent"
        at = int(rng.integers(sum(SORTS[sort] for sort in self.sorts)))
        for sort in self.sorts:
            at -= SORTS[sort]
            if at < 0:
                return sort
        raise AssertionError


def _pick(rng: np.random.Generator, choices: Sequence[_T]) -> _T:
    return choices[int(rng.integers(len(choices)))]


@dataclass(frozen=True, slots=True)
class _Asked:
    """One try at a question; each sort gives None where what came up led nowhere."""

    rng: np.random.Generator
    world: World
    hops: tuple[int, int]
    among: int

    def _thing(self, kind: str | None = None) -> Thing:
        kind = kind or _pick(self.rng, KINDS)
        return _pick(self.rng, self.world.kinds[kind])

    def _walk(self, start: Thing, steps: int) -> tuple[str, Plan, list[str]] | None:
        """A phrase, a plan and the way for what some steps lead to from a thing, things met once."""
        phrase, plan, way = start.name, start.name, [start.name]
        for _ in range(steps):
            here = self.world.things[way[-1]]
            onward = [relation for relation in OF[here.kind] if relation.gives in KINDS and relation.name in here.facts]
            relation = _pick(self.rng, onward)
            phrase, plan = relation.phrase.format(x=phrase), ["read", relation.name, plan]
            way.append(here.facts[relation.name])
        return (phrase, plan, way) if len(set(way)) == len(way) else None

    def chain(self) -> Draft | None:
        """Facts one after another."""
        walked = self._walk(self._thing(), int(self.rng.integers(self.hops[0], self.hops[1], endpoint=True)) - 1)
        if walked is None:
            return None
        phrase, plan, way = walked
        return self._last(phrase, plan, way, self.world.things[way[-1]])

    def _last(self, phrase: str, plan: Plan, support: list[str], thing: Thing) -> Draft | None:
        """The question for a fact of a thing."""
        relation = _pick(self.rng, [relation for relation in OF[thing.kind] if relation.name in thing.facts])
        answer = thing.facts[relation.name]
        if answer in support:
            return None
        return Draft(self._question(relation, phrase), ["read", relation.name, plan], answer, relation.gives, support)

    def _question(self, relation: Relation, phrase: str) -> str:
        return _pick(self.rng, relation.questions).format(x=phrase)

    def absent(self) -> Draft | None:
        """A fact that a document leaves out, or one of a thing that has no document."""
        if self.rng.random() < 0.5:
            return self._of_nothing()
        walked = self._walk(self._thing(), int(self.rng.integers(self.hops[1])))
        if walked is None:
            return None
        phrase, plan, way = walked
        thing = self.world.things[way[-1]]
        silent = [relation for relation in OF[thing.kind] if relation.name not in thing.facts]
        if not silent:
            return None
        relation = _pick(self.rng, silent)
        return Draft(self._question(relation, phrase), ["read", relation.name, plan], NOT_STATED, "name", way)

    def _of_nothing(self) -> Draft | None:
        """The year of an event after its last, or the generation of a product."""
        thing = self._thing(("product", "event")[int(self.rng.integers(2))])
        line, _, number = thing.name.rpartition(" ")
        name = f"{line} {int(number) + 1}"
        if name in self.world.things:
            return None
        relation = _pick(self.rng, OF[thing.kind])
        return Draft(self._question(relation, name), ["read", relation.name, name], NOT_STATED, "name", [])

    def comparison(self) -> Draft | None:
        """A fact of the one of several things that has more of something."""
        kind = _pick(self.rng, KINDS)
        walks = [self._to(kind) for _ in range(self.among)]
        if not all(walks):
            return None
        phrases, plans, ways = zip(*filter(None, walks), strict=True)
        things = [self.world.things[way[-1]] for way in ways]
        of, verb, words = _pick(self.rng, _COMPARED[kind])
        chosen = self._outermost(things, of, most := bool(self.rng.integers(2)))
        if chosen is None:
            return None
        word = words[0 if most else 1]
        that = verb.format(word if self.among == 2 else _the(_SUPERLATIVES[word]))
        support = list(dict.fromkeys(name for way in ways for name in way))
        draft = self._last(f"that {kind}", ["more" if most else "less", of, list(plans)], support, chosen)
        if draft is None or len({thing.facts.get(draft.plan[1], "") for thing in things}) < len(things):
            return None
        text = _pick(self.rng, ("Of {}, take the one that {}. {}", "Compare {}, and take the one that {}. {}"))
        return Draft(text.format(listed(phrases), that, draft.text), draft.plan, draft.answer, draft.gives, support)

    def _to(self, kind: str) -> tuple[str, Plan, list[str]] | None:
        """A thing of a kind: by its name, or by a fact of another where walks are longer than that."""
        start = self._thing(kind if self.hops[1] < 2 or kind in ("product", "event") else None)
        walked = self._walk(start, 0 if start.kind == kind else 1)
        return walked if walked and self.world.things[walked[2][-1]].kind == kind else None

    @staticmethod
    def _outermost(things: Sequence[Thing], of: str, most: bool) -> Thing | None:
        """The thing with the most, or least, of something; None where some do not have it, or two have as much."""
        if len({thing.name for thing in things}) < len(things):
            return None
        values = [size(thing.facts.get(of, "")) for thing in things]
        best = (max if most else min)(values)
        return things[values.index(best)] if "" not in values and values.count(best) == 1 else None

    def _led_to(self, relation: str, low: int, high: int) -> tuple[str, list[str]] | None:
        """A name that some things lead to by a relation, few as likely as many, and these."""
        names = self.world.counts.get((relation, int(self.rng.integers(low, high, endpoint=True))))
        if not names:
            return None
        name = _pick(self.rng, names)
        return name, self.world.sources[relation, name]

    def count(self) -> Draft | None:
        """How many things lead to a name."""
        relation = _pick(self.rng, tuple(_COUNTS))
        led = self._led_to(relation, 2, 9)
        if led is None:
            return None
        name, sources = led
        return Draft(_COUNTS[relation].format(x=name), ["count", relation, name], str(len(sources)), "number", sources)

    def sum(self) -> Draft | None:
        """What the things that lead to a name have together."""
        of, relation, question = _pick(self.rng, _SUMS)
        led = self._led_to(relation, 2, 5)
        if led is None:
            return None
        name, sources = led
        total = sum(int(self.world.things[source].facts[of]) for source in sources)
        return Draft(question.format(x=name), ["sum", of, relation, name], str(total), "number", sources)

    def extreme(self) -> Draft | None:
        """Which of the things that lead to a name has most, or least, of something."""
        of, relation, question, words = _pick(self.rng, _EXTREMES)
        led = self._led_to(relation, 3, 7)
        if led is None:
            return None
        name, sources = led
        most = bool(self.rng.integers(2))
        chosen = self._outermost([self.world.things[source] for source in sources], of, most)
        if chosen is None:
            return None
        text = question.format(words[0 if most else 1], x=name)
        return Draft(text, ["most" if most else "least", of, relation, name], chosen.name, chosen.kind, sources)


def _the(word: str) -> str:
    return f"the {word}" if word in ("most", "fewest", "least") else word


def size(value: str) -> float | str:
    """What values are compared by: numbers by their size, dates by their time."""
    return float(value) if value.isdigit() else value
