"""Kinds of values: how they are drawn, the JSON schema that says what they may be, and how prose tells them.

What a seed draws is part of every environment that uses it, as with the words of `vocabulary`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np

from llmgym.envs.vocabulary import FAMILY_NAMES, FIRM_KINDS, FIRM_NAMES, GIVEN_NAMES, PLACES, THINGS, listed

Rng = np.random.Generator
Schema = dict[str, Any]

_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip


def pick(rng: Rng, choices: Sequence[Any]) -> Any:
    """One of some things."""
    return choices[int(rng.integers(len(choices)))]


def some(rng: Rng, choices: Sequence[Any], count: int) -> list[Any]:
    """Several of them, none twice."""
    return [choices[int(at)] for at in rng.permutation(len(choices))[:count]]


@dataclass(frozen=True)
class Kind:
    """What a value may be.

    Attributes:
        schema: Its JSON schema.
        draw: Makes a value.
        show: How prose writes a value.
        level: How deep a record with it is: 1 for a value, 2 for a list or an object of them, 3 for a list of objects.
    """

    schema: Schema
    draw: Callable[[Rng], Any]
    show: Callable[[Rng, Any], str]
    level: int = 1


def _as_text(rng: Rng, value: Any) -> str:
    return str(value)


def _person(rng: Rng) -> str:
    return f"{pick(rng, GIVEN_NAMES)} {pick(rng, FAMILY_NAMES)}"


def _code(rng: Rng) -> str:
    letters = "".join(pick(rng, "ABCDFGHKLMPRSTVW") for _ in range(2))
    return f"{letters}-{int(rng.integers(1000, 10000))}"


def _email(rng: Rng) -> str:
    return f"{pick(rng, GIVEN_NAMES)}.{pick(rng, FAMILY_NAMES)}@{pick(rng, FIRM_NAMES)}.example".lower()


def _date(rng: Rng) -> str:
    return (date(2024, 1, 1) + timedelta(days=int(rng.integers(1400)))).isoformat()


def _show_date(rng: Rng, value: str) -> str:
    year, month, day = value.split("-")
    return pick(rng, ("{1} {0} {2}", "{0} {1}, {2}")).format(_MONTHS[int(month) - 1], int(day), year)


def _show_time(rng: Rng, value: str) -> str:
    hour, minute = map(int, value.split(":"))
    return pick(rng, (value, f"{(hour - 1) % 12 + 1}:{minute:02} {'am' if hour < 12 else 'pm'}"))


def _show_count(rng: Rng, value: int) -> str:
    return _NUMBERS[value] if value < len(_NUMBERS) and rng.random() < 0.5 else str(value)


PERSON = Kind({"type": "string", "description": "Full name."}, _person, _as_text)
PLACE = Kind({"type": "string"}, lambda rng: pick(rng, PLACES), _as_text)
FIRM = Kind({"type": "string"}, lambda rng: f"{pick(rng, FIRM_NAMES)} {pick(rng, FIRM_KINDS)}", _as_text)
THING = Kind({"type": "string"}, lambda rng: pick(rng, THINGS), _as_text)
EMAIL = Kind({"type": "string", "format": "email"}, _email, _as_text)
CODE = Kind({"type": "string", "pattern": "^[A-Z]{2}-[0-9]{4}$"}, _code, _as_text)
DATE = Kind({"type": "string", "format": "date", "description": "YYYY-MM-DD."}, _date, _show_date)
TIME = Kind(
    {"type": "string", "pattern": "^[0-2][0-9]:[0-5][0-9]$", "description": "HH:MM, of 24 hours."},
    lambda rng: f"{int(rng.integers(7, 22)):02}:{5 * int(rng.integers(12)):02}",
    _show_time,
)
MONEY = Kind(
    {"type": "number", "description": "In euros."},
    lambda rng: int(rng.integers(500, 500000)) / 100,
    lambda rng, value: f"{value:,.2f} euros",
)


def count(low: int, high: int) -> Kind:
    """A whole number within limits; small ones may be told in words."""
    return Kind({"type": "integer"}, lambda rng: int(rng.integers(low, high + 1)), _show_count)


def flag(yes: str, no: str) -> Kind:
    """True or false, told by one of two phrases."""
    return Kind({"type": "boolean"}, lambda rng: bool(rng.integers(2)), lambda rng, value: yes if value else no)


def choice(**phrases: str) -> Kind:
    """One of some words, each told by a phrase of its own, or by one of several that "|" divides."""
    return Kind(
        {"type": "string", "enum": list(phrases)},
        lambda rng: pick(rng, tuple(phrases)),
        lambda rng, value: pick(rng, phrases[value].split("|")),
    )


def things() -> Kind:
    """A list of two to four things."""
    return Kind(
        {"type": "array", "items": {"type": "string"}},
        lambda rng: some(rng, THINGS, int(rng.integers(2, 5))),
        lambda _, values: listed(values),
        level=2,
    )


def people() -> Kind:
    """A list of two or three people."""
    return Kind(
        {"type": "array", "items": {"type": "string"}},
        lambda rng: list(dict.fromkeys(_person(rng) for _ in range(int(rng.integers(2, 4))))),
        lambda _, values: listed(values),
        level=2,
    )


def _object_schema(parts: dict[str, Kind]) -> Schema:
    return {
        "type": "object",
        "properties": {name: kind.schema for name, kind in parts.items()},
        "required": list(parts),
        "additionalProperties": False,
    }


def _draw_object(rng: Rng, parts: dict[str, Kind]) -> dict[str, Any]:
    return {name: kind.draw(rng) for name, kind in parts.items()}


def _show_object(rng: Rng, value: dict[str, Any], told: str, parts: dict[str, Kind]) -> str:
    return told.format(**{name: kind.show(rng, value[name]) for name, kind in parts.items()})


def part(told: str, **parts: Kind) -> Kind:
    """An object of some values, told by a phrase with their names."""
    return Kind(
        _object_schema(parts),
        lambda rng: _draw_object(rng, parts),
        lambda rng, value: _show_object(rng, value, told, parts),
        level=2,
    )


def parts_list(told: str, **parts: Kind) -> Kind:
    """A list of two to four such objects."""
    return Kind(
        {"type": "array", "items": _object_schema(parts)},
        lambda rng: [_draw_object(rng, parts) for _ in range(int(rng.integers(2, 5)))],
        lambda rng, value: listed([_show_object(rng, one, told, parts) for one in value]),
        level=3,
    )
