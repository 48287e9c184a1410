"""A problem with its answer, and how numbers and polynomials are written in it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from llmgym.verifiers.math import Kind

_NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?(?:/\d+)?")


@dataclass(frozen=True, slots=True)
class Problem:
    """What is asked, and what is right.

    Attributes:
        text: The problem.
        answer: The answer, as `llmgym.verifiers.math` takes a reference.
        form: What kind of thing that is.
    """

    text: str
    answer: str | Fraction | int
    form: Kind = "number"

    @property
    def is_told(self) -> bool:
        """Whether the text holds all numbers of the answer, so that copying might find it."""
        if self.form == "base":
            return str(self.answer).partition("_")[0] in re.findall(r"\w+", self.text)
        told = set(map(_value, _NUMBER.findall(self.text)))
        return all(_value(number) in told for number in _NUMBER.findall(str(self.answer).partition(" ")[0]))


def _value(number: str) -> Fraction:
    above, _, below = number.replace(",", "").partition("/")
    return Fraction(above) / (int(below or 1) or 1)


def sum_of(terms: Sequence[tuple[int, str]]) -> str:
    """A sum of multiples of names: "2x - y + 3" of (2, "x"), (-1, "y"), (3, "")."""
    text = ""
    for factor, name in terms:
        if factor:
            size = str(abs(factor)) if abs(factor) != 1 or not name else ""
            sign = (" - " if factor < 0 else " + ") if text else ("-" if factor < 0 else "")
            text += f"{sign}{size}{name}"
    return text or "0"


def polynomial(coefficients: Sequence[int], name: str = "x") -> str:
    """A polynomial from its coefficients, that of the highest power first."""
    top = len(coefficients) - 1
    powers = [f"{name}^{top - at}" if top - at > 1 else name * (top - at) for at in range(top + 1)]
    return sum_of(list(zip(coefficients, powers, strict=True)))


def value_at(coefficients: Sequence[int], x: int) -> int:
    """The value of a polynomial at a place."""
    value = 0
    for coefficient in coefficients:
        value = value * x + coefficient
    return value
