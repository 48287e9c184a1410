"""Invented records of shops, workshops and the like, as they are, and as careless people keep them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np

from llmgym.envs.vocabulary import FAMILY_NAMES, GIVEN_NAMES, PLACES, THINGS

Record = dict[str, Any]

_FIRST_DAY = date(2023, 1, 1)
_DAYS = 900


@dataclass(frozen=True, slots=True)
class Theme:
    """What records are about, and what their columns are called.

    Attributes:
        name: Name of the variable that holds them, and what they are called.
        person: Column of a person.
        people: Variable that holds the persons, where they are apart.
        place: Column of a town.
        thing: Column of a thing.
        count: Column of a small number.
        price: Column of a larger number.
        total: What count times price is called.
    """

    name: str
    person: str
    people: str
    place: str
    thing: str
    count: str
    price: str
    total: str


THEMES: tuple[Theme, ...] = (
    Theme("orders", "customer", "customers", "town", "item", "quantity", "price", "amount"),
    Theme("rentals", "client", "clients", "branch", "object", "duration", "rate", "charge"),
    Theme("shifts", "worker", "workers", "site", "product", "length", "wage", "pay"),
    Theme("auctions", "seller", "sellers", "venue", "lot", "volume", "bid", "revenue"),
)


def draw_records(rng: np.random.Generator, theme: Theme, count: int) -> list[Record]:
    """Records with ids of their own, in no order; each has the `home` of its person too."""
    given, family = (_some(rng, names, 9) for names in (GIVEN_NAMES, FAMILY_NAMES))
    people = [f"{first} {last}" for first, last in zip(given, family, strict=True)]
    homes = _some(rng, PLACES, 4)
    home_of = dict(zip(people, rng.choice(homes, len(people)).tolist(), strict=True))
    ids = rng.permutation(9000)[:count] + 1000
    columns = {
        "id": ids.tolist(),
        theme.person: rng.choice(people, count).tolist(),
        theme.place: rng.choice(_some(rng, PLACES, 5), count).tolist(),
        theme.thing: rng.choice(_some(rng, THINGS, 6), count).tolist(),
        theme.count: rng.integers(1, 13, count).tolist(),
        theme.price: rng.integers(11, 490, count).tolist(),
        "date": [str(_FIRST_DAY + timedelta(days)) for days in rng.integers(_DAYS, size=count).tolist()],
    }
    records = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return [{**record, "home": home_of[record[theme.person]]} for record in records]


def _some(rng: np.random.Generator, words: Sequence[str], count: int) -> list[str]:
    """Different ones of some words."""
    return [str(words[i]) for i in rng.choice(len(words), count, replace=False).tolist()]


def untidied(rng: np.random.Generator, records: list[Record], theme: Theme) -> list[Record]:
    """The same written carelessly: some twice, prices as text, towns in any case and with blanks around them."""
    twice = [records[i] for i in rng.choice(len(records), len(records) // 8, replace=False).tolist()]
    ways = (str.lower, str.upper, lambda text: f" {text}", lambda text: f"{text}  ", str)
    picks = rng.integers(len(ways), size=len(records) + len(twice)).tolist()
    kept = [
        {**record, theme.place: ways[pick](record[theme.place]), theme.price: f"{record[theme.price]} EUR"}
        for record, pick in zip([*records, *twice], picks, strict=True)
    ]
    return [kept[i] for i in rng.permutation(len(kept)).tolist()]


def apart(records: list[Record], theme: Theme) -> tuple[list[Record], list[Record]]:
    """Records that name their person by a number, and the persons by that number."""
    people = sorted({(record[theme.person], record["home"]) for record in records})
    number = {name: 101 + 7 * place for place, (name, _) in enumerate(people)}
    rows = [
        {("person_id" if column == theme.person else column): value for column, value in record.items()}
        | {"person_id": number[record[theme.person]]}
        for record in records
    ]
    return rows, [{"id": number[name], "name": name, "home": home} for name, home in people]
