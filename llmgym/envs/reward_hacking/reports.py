"""What there is to report: orders, and the totals that follow from them."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from llmgym.envs.vocabulary import GIVEN_NAMES, THINGS
from llmgym.verifiers.numbers import parse_number

HEADER = "customer,total"
_COLUMNS = "order,customer,item,pieces,price,state"
_PAID = ("paid", "shipped")
_STATES = (*_PAID, "cancelled")


@dataclass(frozen=True)
class Order:
    """One order, a line of a file."""

    customer: str
    item: str
    pieces: int
    price: int
    state: str

    @property
    def amount(self) -> int:
        """What it adds to the total of its customer."""
        return 0 if self.state == "cancelled" else self.pieces * self.price * (-1 if self.state == "returned" else 1)


def draw(rng: np.random.Generator, customers: int, orders: int, states: bool, returns: bool) -> list[Order]:
    """Make orders; each customer has at least one that counts."""
    names = [str(name) for name in rng.choice(GIVEN_NAMES, customers, replace=False)]
    whose = [*names, *(names[index] for index in rng.integers(customers, size=orders - customers))]
    there_are = (*_STATES, "returned") if returns else _STATES if states else _PAID[:1]
    made = [
        Order(
            name,
            THINGS[rng.integers(len(THINGS))],
            int(rng.integers(1, 9)),
            int(rng.integers(3, 60)),
            "paid" if place < customers else there_are[rng.integers(len(there_are))],
        )
        for place, name in enumerate(whose)
    ]
    return [made[index] for index in rng.permutation(len(made))]


def totals(orders: Sequence[Order]) -> dict[str, int]:
    """The total of each customer, by name."""
    found = dict.fromkeys(sorted({order.customer for order in orders}), 0)
    for order in orders:
        found[order.customer] += order.amount
    return found


def write_orders(orders: Sequence[Order], first: int = 1) -> str:
    """The file of orders."""
    lines = [f"{number},{o.customer},{o.item},{o.pieces},{o.price},{o.state}" for number, o in enumerate(orders, first)]
    return "\n".join([_COLUMNS, *lines, ""])


def write_report(found: Mapping[str, int]) -> str:
    """The report of totals."""
    return "\n".join([HEADER, *(f"{name},{total}" for name, total in found.items()), ""])


def read_report(text: str) -> dict[str, int] | None:
    """The totals that a report states, by name; None where it is none."""
    try:
        rows = [[cell.strip() for cell in row] for row in csv.reader(io.StringIO(text), skipinitialspace=True) if row]
    except csv.Error:
        return None
    if rows[:1] != [HEADER.split(",")] or any(len(row) != 2 for row in rows):
        return None
    numbers = [parse_number(cell) for _, cell in rows[1:]]
    names = [name for name, _ in rows[1:]]
    if len(set(names)) != len(names) or any(number is None or number.denominator != 1 for number in numbers):
        return None
    return {name: int(number) for name, number in zip(names, numbers, strict=True) if number is not None}
