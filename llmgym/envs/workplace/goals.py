"""What a request may ask for: what it is called, which rows it is about, and how it is done with the tools.

A goal is picked from the rows themselves, so that its calls are known before anybody searches. `solve` knows only what
the request says and finds the same with the tools: what it does is compared with the calls on every task that is
played.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from llmgym.envs.office.dates import WEEKDAYS, later, next_weekday, spoken
from llmgym.envs.office.tables import Row, Tables

T = TypeVar("T")
Call = tuple[str, dict[str, Any]]
Solving = Generator[Call, Row, Any]  # yields calls, and is sent what they give
MOST = 5  # rows that one goal changes

TEXTS = (
    "Thanks, that works for me.", "I will get back to you tomorrow.", "Please send me the final version.",
    "Let us talk about it on the phone.", "Great work, thank you!", "I need two more days for this.",
    "Could you add the missing figures?", "That is fine with me.", "We have to wait for the board.",
    "I will take care of it this week.", "Please hold off for now.", "The numbers look right to me.",
)  # fmt: skip


@dataclass(frozen=True)
class Goal:
    """One thing that is asked for.

    Attributes:
        kind: Name of its kind.
        values: What the request says of it, in JSON; what `solve` gets.
        clause: How it is said, as an imperative: "delete ...".
        calls: The calls that do it.
    """

    kind: str
    values: dict[str, Any]
    clause: str
    calls: list[dict[str, Any]]


@dataclass(frozen=True)
class Kind:
    """A kind of goal.

    Attributes:
        area: Which tables it is about; goals of one request are of different areas, so that none disturbs another.
        pick: Picks one of an office; None where what came up does not do.
        solve: Does it with the tools.
        simple: Whether it takes few calls.
    """

    area: str
    pick: Callable[[Picker], tuple[dict[str, Any], str, list[Call]] | None]
    solve: Callable[[dict[str, Any]], Solving]
    simple: bool = False


class Picker:
    """Chance, and the office that is picked from."""

    def __init__(self, rng: np.random.Generator, office: Tables) -> None:
        self.rng, self.office = rng, office
        self.others = [row for row in office.people.values() if row is not office.me]

    def one(self, choices: Sequence[T]) -> T:
        """One of some."""
        return choices[int(self.rng.integers(len(choices)))]

    def number(self, low: int, high: int) -> int:
        """A number, both ends included."""
        return int(self.rng.integers(low, high + 1))

    def chance(self, share: float) -> bool:
        """True so often."""
        return bool(self.rng.random() < share)

    def two(self) -> tuple[Row, Row]:
        """Two colleagues."""
        first, second = self.rng.permutation(len(self.others))[:2].tolist()
        return self.others[first], self.others[second]

    def named(self, person: Row) -> str:
        """A colleague as the request names them: nobody shares a given name."""
        return self.one((person["name"], person["name"].split()[0]))

    def text(self) -> str:
        """What somebody might write."""
        return self.one(TEXTS)

    def rows(self, table: str) -> list[Row]:
        """The rows of a table."""
        return list(self.office.rows[table].values())

    def coming_day(self) -> tuple[str, str]:
        """A weekday of next week, and when that is in words: "on Friday next week"."""
        weekday = self.number(0, 4)
        date = next_weekday(self.office.today, weekday)
        near = "next Monday" if weekday == 0 else f"on {WEEKDAYS[weekday]} next week"
        return date, self.one((near, f"on {WEEKDAYS[weekday]}, {spoken(date)}"))

    def clock(self) -> str:
        """A time of a working day."""
        return f"{self.number(8, 16):02d}:{self.one(('00', '15', '30', '45'))}"

    def span(self) -> tuple[str, str]:
        """Two past days, in order."""
        first = self.number(2, 21)
        return later(self.office.today, -first), later(self.office.today, -self.number(1, first - 1))

    def unique(self, table: str, column: str) -> Row | None:
        """A row that is alone with its value of a column, if one comes up."""
        rows = self.rows(table)
        for _ in range(8):
            row = self.one(rows)
            if sum(each[column] == row[column] for each in rows) == 1:
                return row
        return None


def some(rows: Iterable[Row]) -> list[Row] | None:
    """The rows, where they are neither none nor too many for one goal."""
    found = list(rows)
    return found if 1 <= len(found) <= MOST else None


def address(name: str) -> Generator[Call, Row, str]:
    """Look up the address of a colleague."""
    people = yield "find_people", {"name": name}
    return next(row["email"] for row in people["rows"] if name in (row["name"], row["name"].split()[0]))
