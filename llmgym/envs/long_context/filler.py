"""Prose without digits and without what questions ask for: what needles lie in."""

from __future__ import annotations

from functools import cache
from itertools import chain

import numpy as np

from llmgym.envs.draws import Draws
from llmgym.envs.vocabulary import FAMILY_NAMES, GIVEN_NAMES, PLACES, THINGS, plural, with_article

_COUNT = 4096  # sentences, of which texts are made
_LONGEST = 160
_PARAGRAPH = 6  # sentences

_WEATHER = ("rain", "fog", "wind", "snow", "sunshine", "drizzle", "frost", "a storm")
_TIMES = (
    "In the morning",
    "At noon",
    "In the evening",
    "Last week",
    "In spring",
    "On a Sunday",
    "Long ago",
    "After lunch",
)
_ADJECTIVES = ("old", "small", "heavy", "painted", "broken", "foreign", "polished", "dusty", "borrowed", "wooden")
_FORMS = (
    "{time}, {who} walked through {place} with {a_thing}.",
    "The {adjective} {thing} in the shop of {who} {family} came from {place}.",
    "People in {place} like to talk about {weather}.",
    "{who} {family} repaired {a_thing} and gave it to {other}.",
    "There was {weather} in {place}, and {who} stayed at home.",
    "{time}, a letter from {other} {family} arrived in {place}.",
    "Nobody knew why {who} kept so many {things} in the attic.",
    "The road to {place} is lined with trees, and travellers rest there.",
    "{who} and {other} argued about {a_thing} that neither of them owned.",
    "In the museum of {place} one can see {adjective} {things}.",
    "{time}, the choir of {place} sang for {who} {family}.",
    "{other} wrote a song about {weather} and {adjective} {things}.",
)


def _sentence(d: Draws) -> str:
    thing = d.pick(THINGS)
    return d.pick(_FORMS).format(
        time=d.pick(_TIMES), who=d.pick(GIVEN_NAMES), other=d.pick(GIVEN_NAMES), family=d.pick(FAMILY_NAMES),
        place=d.pick(PLACES), thing=thing, a_thing=with_article(thing), things=plural(thing),
        adjective=d.pick(_ADJECTIVES), weather=d.pick(_WEATHER),
    )  # fmt: skip


@cache
def sentences() -> tuple[list[str], float]:
    """All sentences that texts are made of, the same for ever, and their mean length with a blank."""
    d = Draws(np.random.Generator(np.random.PCG64(20261128)))
    made = list({_sentence(d): None for _ in range(_COUNT)})
    return made, sum(map(len, made)) / len(made) + 1


def text(seed: int, length: int, needles: list[tuple[str, float]]) -> str:
    """Prose of about so many characters with sentences in it, in the order in which they are given.

    Args:
        seed: Picks the prose.
        length: Characters, without the needles.
        needles: Each with its depth, a share of the text, which does not fall from one to the next.
    """
    pool, mean = sentences()
    count = max(1, round(length / mean))
    picked = [pool[at] for at in np.random.Generator(np.random.PCG64(seed)).integers(len(pool), size=count).tolist()]
    parts, start = list[list[str]](), 0
    for needle, depth in needles:
        end = max(start, round(depth * count))
        parts += [picked[start:end], [needle]]
        start = end
    told = list(chain(*parts, picked[start:]))
    return "\n\n".join(" ".join(told[at : at + _PARAGRAPH]) for at in range(0, len(told), _PARAGRAPH))
