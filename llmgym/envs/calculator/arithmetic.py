"""Exact arithmetic on rational numbers, of bounded size: what the tools do."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from llmgym.errors import ToolError
from llmgym.verifiers.numbers import format_number, parse_number

MAX_DIGITS = 300
_MAX_BITS = 1000  # a little more than 300 digits
_MAX_EXPONENT = 1000

Number = int | float | str  # as a model may write one in JSON
Exact = Fraction | int  # sums of integers take a tenth of the time of sums of fractions


def read(number: Number) -> Exact:
    """Read an argument exactly: 0.1 is one tenth.

    Raises:
        ToolError: It is no number, or one of too many digits.
    """
    if isinstance(number, int):
        return _bounded(number)
    # The shortest text that gives a float is what the model wrote, up to 15 digits and more in text.
    value = parse_number(number if isinstance(number, str) else repr(number))
    if value is None:
        raise ToolError(f'{str(number)[:40]!r} is not a number; write one such as 12, -0.5 or "3/4"')
    return _bounded(value)


def _bounded(value: Exact) -> Exact:
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > _MAX_BITS:
        raise ToolError(f"the number has more than {MAX_DIGITS} digits")
    return value


def _divide(a: Exact, b: Exact) -> Exact:
    if not b:
        raise ToolError("division by zero")
    return Fraction(a) / b


def _power(base: Exact, exponent: Exact) -> Exact:
    if exponent.denominator != 1 or abs(exponent) > _MAX_EXPONENT:
        raise ToolError(f"the exponent must be a whole number from -{_MAX_EXPONENT} to {_MAX_EXPONENT}")
    if not base and exponent < 0:
        raise ToolError("division by zero: 0 to a negative power")
    # Before it is computed: a number of n bits to the power e has more than (n - 1) * e.
    size = max(base.numerator.bit_length(), base.denominator.bit_length()) - 1
    if size * abs(exponent) > _MAX_BITS:
        raise ToolError(f"the result has more than {MAX_DIGITS} digits")
    return Fraction(base) ** int(exponent)


OPERATIONS: dict[str, Callable[..., Exact]] = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": _divide,
    "power": _power,
    "negate": lambda a: -a,
}


def apply(operation: str, *arguments: Exact) -> Exact:
    """Compute one operation.

    Raises:
        ToolError: The result does not exist or has too many digits.
    """
    return _bounded(OPERATIONS[operation](*arguments))


def call(operation: str, *arguments: Number) -> str:
    """Compute one operation on arguments as a model writes them, and show the result as `format_number` does."""
    return format_number(apply(operation, *map(read, arguments)))
