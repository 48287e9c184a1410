"""Numbers: the one that a reply states, with its unit or percent sign, against the one that is right."""

from __future__ import annotations

from fractions import Fraction

from llmgym.errors import TaskError
from llmgym.verifiers.base import MAX_ANSWER, Verdict, correct, too_long, unscored, wrong
from llmgym.verifiers.numbers.quantities import (
    Percent,
    Quantity,
    Units,
    agree,
    check_options,
    parse_quantity,
    read_reference,
    stated_quantity,
)
from llmgym.verifiers.numbers.statements import decimal_places, final_number, format_number, parse_number
from llmgym.verifiers.text import without_thoughts

__all__ = [
    # the verifier
    "Percent",
    "Units",
    "check",
    "prove",
    # reading
    "Quantity",
    "decimal_places",
    "final_number",
    "format_number",
    "parse_number",
    "parse_quantity",
]


def check(
    answer: str,
    reference: str | float | Fraction,
    *,
    absolute: float = 0.0,
    relative: float = 0.0,
    units: Units = "optional",
    percent: Percent = "either",
) -> Verdict:
    """Whether the number that a reply states as its answer is the right one; see `final_number` for how it is found.

    Args:
        answer: The reply.
        reference: The right number, or text of one: 12, "3/4", "50%", "5 cm", "3 hours and 20 minutes".
        absolute: How far off it may be, in the reference's unit.
        relative: How far off it may be, as a share of the reference; the greater of both counts.
        units: What units mean: "optional" may be left out and must fit where one is named (500 cm for 5 m), "required"
            must be named, "none" may not be named, "ignored" may be anything.
        percent: What a percent sign means: "exact" divides by 100; with "either", 50, 50% and 0.5 all match 50%.

    Raises:
        ValueError: An option is none that there is.
    """
    check_options(absolute, relative, units, percent)
    try:
        wanted = read_reference(reference)
    except ValueError as error:
        return unscored("invalid_reference", str(error))
    said = without_thoughts(answer)
    if len(said) > MAX_ANSWER:
        return too_long(len(said))
    given = stated_quantity(said)
    if given is None:
        return wrong("no number", "no_answer")
    if not isinstance(given, Quantity):
        return wrong("it is not clear which number, or one that cannot be read", "unparsable")
    fault = agree(given, wanted, absolute=absolute, relative=relative, units=units, percent=percent)
    return wrong(fault) if fault else correct()


def prove(reference: str | float | Fraction, *, units: Units = "optional") -> None:
    """Prove that a reference can be matched.

    Raises:
        TaskError: It is no number, or its unit does not go with `units`.
    """
    try:
        quantity = read_reference(reference)
    except ValueError as error:
        raise TaskError(f"the reference {error}") from None
    if agree(quantity, quantity, units=units):
        has = "a" if units == "none" else "no"
        raise TaskError(f"the reference {reference!r} has {has} unit, and units={units!r}")
