"""What domains of a service desk have in common: worlds, wishes, and what becomes of a wish."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal

import numpy as np

from llmgym.envs.vocabulary import FAMILY_NAMES, GIVEN_NAMES
from llmgym.errors import ToolError

Rng = np.random.Generator
Row = dict[str, Any]
Tables = dict[str, dict[str, Row]]
Wish = dict[str, Any]
Outcome = Literal["allow", "deny", "hand_over"]

_FIRST_DAY = date(2025, 2, 1)


@dataclass(frozen=True)
class Decision:
    """What the policy says of a wish.

    Attributes:
        outcome: Whether it is done, refused, or handed over to a supervisor.
        amount: What is paid back or charged, where it is done.
        reason: Why, as an agent would say it.
    """

    outcome: Outcome
    amount: float = 0.0
    reason: str = ""


@dataclass(frozen=True)
class Domain:
    """A service desk: its data, its policy, what customers want of it.

    Attributes:
        name: Its name.
        tools: Names of its tools, those that all have aside.
        objects: The table that wishes are about.
        draw: Makes tables and the numbers of the policy; the first customer is the one who writes.
        policy: The policy in words.
        decide: What it says of a wish of a customer.
        wishes: All wishes that a customer might have, each kind of each object.
        call: The tool call that does what was decided.
        apply: Does it to the tables.
    """

    name: str
    tools: tuple[str, ...]
    objects: str
    draw: Callable[[Rng, date], tuple[Tables, dict[str, Any]]]
    policy: Callable[[Mapping[str, Any], date], str]
    decide: Callable[[Mapping[str, Any], date, Tables, str, Wish], Decision]
    wishes: Callable[[Rng, Mapping[str, Any], date, Tables, str], list[Wish]]
    call: Callable[[Wish, Decision], tuple[str, dict[str, Any]]]
    apply: Callable[[Tables, Wish, Decision], None]


def pick(rng: Rng, choices: Sequence[Any]) -> Any:
    """One of some choices."""
    return choices[int(rng.integers(len(choices)))]


def some(rng: Rng, choices: Sequence[Any], count: int) -> list[Any]:
    """Different ones of some choices."""
    return [choices[int(i)] for i in rng.choice(len(choices), count, replace=False)]


def draw_day(rng: Rng) -> date:
    """The day of an episode."""
    return _FIRST_DAY + timedelta(days=int(rng.integers(300)))


def draw_customers(rng: Rng, count: int) -> dict[str, Row]:
    """Customers, of which a third are gold."""
    people = zip(some(rng, GIVEN_NAMES, count), some(rng, FAMILY_NAMES, count), strict=True)
    ids = sorted(some(rng, range(100, 1000), count))
    return {
        f"C{number}": {
            "name": f"{given} {family}",
            "email": f"{given}.{family}@example.com".lower(),
            "level": "gold" if rng.random() < 1 / 3 else "standard",
        }
        for number, (given, family) in zip(ids, people, strict=True)
    }


def days(first: str, second: date) -> int:
    """Days from one day to another."""
    return (second - date.fromisoformat(first)).days


def money(value: float) -> str:
    """An amount as people write it."""
    return f"${value:,.2f}"


def added(before: float, amount: float, most: float | None = None) -> float:
    """An amount with another one added.

    Raises:
        ToolError: It cannot be.
    """
    if not 0 <= amount <= 100_000 or (most is not None and before + amount > most + 0.005):
        limit = "" if most is None else f", and no more than was paid ({money(most)}) in all"
        raise ToolError(f"the amount is {amount}; it is 0 or more{limit}")
    return round(before + amount, 2)
