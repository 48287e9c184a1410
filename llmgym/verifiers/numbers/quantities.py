"""Quantities: a number with its unit or percent sign, read alone or out of a reply, and compared."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, get_args

from llmgym.verifiers.numbers.notation import numbers_in, plain
from llmgym.verifiers.numbers.statements import Stated, parse_number, stated_number
from llmgym.verifiers.numbers.units import Unit, leading_unit, spelt

#: What units mean: "optional" may be left out and must fit where one is named, "required" must be named and fit,
#: "none" may not be named, "ignored" may be anything.
Units = Literal["optional", "required", "none", "ignored"]
#: What a percent sign means: "exact" divides by 100; with "either", 50, 50% and 0.5 all match 50%.
Percent = Literal["either", "exact"]

_LONGEST, _MOST = 1200, 4  # characters of a quantity; numbers that it is told in

_PERCENT = re.compile(r"\s{0,3}(?:%|per ?cents?\b)", re.IGNORECASE)
_MORE = re.compile(r"\s{0,3}(?:,|\band\b|, and\b)?\s{0,3}(?P<value>[0-9]+(?:\.[0-9]+)?)(?=[ {A-Za-z'])")
_EARLIER = re.compile(r"(?P<value>[0-9]+(?:\.[0-9]+)?)[ {}]{0,3}(?P<unit>[A-Za-z]{1,10})(?:[ {},]| and\b){1,6}$")
_THING = re.compile(r"[ ]{0,2}(?P<word>[A-Za-z]{3,20})(?:[ ][A-Za-z]{2,20}){0,3}")
_CURRENCY = re.compile(r"([$€£¥₹]|\b(?:USD|EUR|GBP))[ ]?[-–]?[ ]?$")
_CLOSING = re.compile(r"\$+(?! ?[0-9])")
_REST = re.compile(r"[\s.$]*")
_LEAD = re.compile(r"[\s$*+=–-]*(?:\b(?:minus|negative|USD|EUR|GBP)\b|[€£¥₹])?[\s$–-]*", re.IGNORECASE)
# Words behind a number that make it a part of an expression.
_OPERATOR = re.compile("times|plus|minus|over|and|mod|log|sin|cos|tan|cot|sec|csc|exp|sqrt|sum|choose|pi")


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number, and what of.

    Attributes:
        value: The number; of "50%" it is 50.
        percent: Whether a percent sign stands behind it.
        unit: The unit, of those that are known.
        thing: Another word behind it, such as "apple".
        parts: How many numbers it is told in: "3 hours and 20 minutes" are two.
    """

    value: Fraction
    percent: bool = False
    unit: Unit | None = None
    thing: str = ""
    parts: int = 1


def stated_quantity(text: str) -> Quantity | Stated | None:
    """The quantity that a reply states as its answer; what is stated where no number can be read; None for nothing."""
    stated = stated_number(text)
    if stated is None or stated.value is None:
        return stated
    quantity, _ = _quantity(stated.value, stated.before, stated.after)
    before = _EARLIER.search(stated.before)
    if before and quantity.unit and (unit := leading_unit(before["unit"])[0]) and _same_kind(unit, quantity.unit):
        value = Fraction(before["value"]) + quantity.value * quantity.unit.factor / unit.factor
        return Quantity(value, unit=unit, parts=2)
    return quantity


def parse_quantity(text: str) -> Quantity | None:
    r"""Read text that is one quantity and nothing else, such as "5 cm", "50\%" or "$5"; None where it is not."""
    if (value := parse_number(text)) is not None:
        currency = _CURRENCY.search(text[: re.search(r"[0-9]|$", text).start()])  # type: ignore[union-attr] -- matches
        return Quantity(value, unit=leading_unit(currency[1])[0] if currency else None)
    if len(text) > _LONGEST:
        return None
    text = plain(text).strip()
    number = next(numbers_in(text, 0, len(text), listed=False), None)
    if number is None or number.value is None or not _LEAD.fullmatch(text, 0, number.start):
        return None
    after = text[number.end :]
    quantity, rest = _quantity(number.value, text[: number.start], after)
    if _OPERATOR.fullmatch(quantity.thing) or not _REST.fullmatch(rest):
        return None
    if after[:1].isalpha() and (quantity.unit is None or not after[1:2].isalpha()):
        return None  # "2x" and "5m" may be products
    return quantity


def _quantity(value: Fraction, before: str, after: str) -> tuple[Quantity, str]:
    """A number with what belongs to it of the text around it, and what stands behind that."""
    if percent := _PERCENT.match(after):
        return Quantity(value, percent=True), after[percent.end() :]
    unit, rest = leading_unit(after)
    if unit:
        total, parts = value, 1
        while parts < _MOST and (more := _MORE.match(rest)) and (found := leading_unit(rest[more.end() :]))[0]:
            if not _same_kind(found[0], unit):
                break
            total += Fraction(more["value"]) * found[0].factor / unit.factor
            parts, rest = parts + 1, found[1]
        if not (after.lstrip().startswith("$") and _is_in_maths(before, after)):
            return Quantity(total, unit=unit, parts=parts), rest
    if (currency := _CURRENCY.search(before)) and not (currency[1] == "$" and _is_in_maths(before, after)):
        return Quantity(value, unit=leading_unit(currency[1])[0]), after
    if thing := _THING.match(rest := spelt(after)):
        return Quantity(value, thing=thing["word"].casefold().rstrip("s")), rest[thing.end() :]
    return Quantity(value), after


def _is_in_maths(before: str, after: str) -> bool:
    r"""Whether the dollar signs around a number are those of LaTeX: in "$5$" and "$$5$$", not in "$\$5$" and "$5"."""
    before = before.rstrip(" -–")
    closing = _CLOSING.search(after)
    return closing is not None and 0 < len(before) - len(before.rstrip("$")) <= len(closing[0])


def _same_kind(first: Unit, second: Unit) -> bool:
    return first.dimension == second.dimension


def agree(
    given: Quantity,
    wanted: Quantity,
    *,
    absolute: float | Fraction = 0,
    relative: float | Fraction = 0,
    units: Units = "optional",
    percent: Percent = "either",
) -> str:
    """Compare a quantity with the one that is right: "" where they agree, else what is wrong with it, for people."""

    def near(value: Fraction, right: Fraction) -> bool:
        return value == right or abs(value - right) <= max(Fraction(absolute), Fraction(relative) * abs(right))

    if given.percent or wanted.percent:
        allowed = _as_percent(given, wanted) if percent == "either" else [(_share(given), _share(wanted))]
        return "" if any(near(*pair) for pair in allowed) else "another number"
    if units == "none" and (given.unit or given.thing):
        return "it names a unit"
    if units == "required":
        if wanted.unit is None and (given.unit or given.thing != wanted.thing or not wanted.thing):
            return "another unit, or none"
        if wanted.unit and given.unit is None:
            return "no unit that is known"
    if units != "ignored" and wanted.unit and given.unit:
        if not _same_kind(given.unit, wanted.unit):
            return "another kind of unit"
        same = near(given.value * given.unit.factor / wanted.unit.factor, wanted.value)
        return "" if same else "another amount"
    if units != "ignored" and wanted.thing and given.unit:
        return "another unit"
    if given.parts != wanted.parts:
        return "another form"
    return "" if near(given.value, wanted.value) else "another number"


def _share(quantity: Quantity) -> Fraction:
    return quantity.value / 100 if quantity.percent else quantity.value


def _as_percent(given: Quantity, wanted: Quantity) -> list[tuple[Fraction, Fraction]]:
    """What may be compared where a percent sign may be left out."""
    if given.percent and wanted.percent:
        return [(given.value, wanted.value)]
    if wanted.percent:
        return [(given.value, wanted.value), (given.value * 100, wanted.value)]
    whole = [(given.value, wanted.value)] if abs(wanted.value) > 1 else []  # "0.5%" is no half
    return [(given.value / 100, wanted.value), *whole]


def read_reference(reference: str | float | Fraction) -> Quantity:
    """Read what is right.

    Raises:
        ValueError: It is no quantity.
    """
    if isinstance(reference, int | Fraction) and not isinstance(reference, bool):
        return Quantity(Fraction(reference))
    quantity = parse_quantity(str(reference))  # of a float the shortest text that gives it
    if quantity is None:
        raise ValueError(f'{reference!r:.100} is not one number; write one such as 12, "3/4", "50%" or "5 cm"')
    return quantity


def check_options(absolute: float, relative: float | None, units: str, percent: str) -> None:
    """Refuse options that there are none of.

    Raises:
        ValueError: There is such an option.
    """
    for name, value, known in (("units", units, get_args(Units)), ("percent", percent, get_args(Percent))):
        if value not in known:
            raise ValueError(f"unknown {name} {value!r}; there is {', '.join(known)}")
    for name, number in (("absolute", absolute), ("relative", relative)):
        if number is not None and not 0 <= number < float("inf"):
            raise ValueError(f"{name} is 0 or more, not {number}")
