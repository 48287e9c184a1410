"""Formulas of models, read without running them: reasoning-gym gives such text to `sympy.parse_expr`, which is `eval`.

A formula is numbers, names, `+ - * / **` and calls of named functions of one argument. What it is worth is found by
Python's own operators on fractions, on polynomials, or on values with their derivative at a point.
"""

from __future__ import annotations

import ast
import cmath
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

_LONGEST = 2_000  # characters of a formula
_LARGEST = 10**15  # of a whole number
_HIGHEST = 64  # power of a polynomial

_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}


def evaluate(
    text: str,
    names: Mapping[str, Any],
    number: Callable[[Any], Any],
    functions: Mapping[str, Callable[[Any], Any]] | None = None,
) -> Any:
    """What a formula is worth.

    Args:
        text: The formula; `^` is `**`.
        names: Values of the names that it may have.
        number: Makes a value of a number.
        functions: What it may call.

    Raises:
        ValueError: It is no such formula.
        ArithmeticError: It is not worth anything, such as 1/0.
    """
    if len(text) > _LONGEST:
        raise ValueError("too long")
    try:
        tree = ast.parse(text.strip().replace("^", "**"), mode="eval").body
        return _value(tree, names, number, functions or {})
    except (SyntaxError, MemoryError, RecursionError, TypeError) as error:
        raise ValueError(f"no formula: {error}") from None


def _value(node: ast.expr, names: Mapping[str, Any], number: Callable[[Any], Any], functions: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant(value=int() | float() as value) if type(value) is not bool and abs(value) <= _LARGEST:
            return number(value)
        case ast.Name(id=name) if name in names:
            return names[name]
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            return -_value(inner, names, number, functions)
        case ast.UnaryOp(op=ast.UAdd(), operand=inner):
            return _value(inner, names, number, functions)
        case ast.BinOp(left=left, op=sign, right=right) if type(sign) in _BINARY:
            values = (_value(side, names, number, functions) for side in (left, right))
            return _BINARY[type(sign)](*values)
        case ast.Call(func=ast.Name(id=name), args=[inner], keywords=[]) if name in functions:
            return functions[name](_value(inner, names, number, functions))
        case _:
            raise ValueError(f"{type(node).__name__} is no part of a formula")


# --- arithmetic ---------------------------------------------------------------------------------


def arithmetic(text: str) -> tuple[Fraction, list[int]]:
    """What a calculation comes to, and the whole numbers in it.

    Raises:
        ValueError: It is none.
        ArithmeticError: It divides by zero.
    """
    used: list[int] = []

    def number(value: Any) -> Fraction:
        if not isinstance(value, int):
            raise ValueError("whole numbers only")  # noqa: TRY004 -- of what a model wrote
        used.append(value)
        return Fraction(value)

    if "**" in text or "^" in text:
        raise ValueError("no powers")
    return evaluate(text, {}, number), used


# --- polynomials --------------------------------------------------------------------------------

Monomial = tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Polynomial:
    """Coefficients by what they stand before; only sums of products of numbers and powers of names are written so."""

    terms: Mapping[Monomial, Fraction]

    @classmethod
    def of(cls, value: Any) -> Polynomial:
        """A number, or a name."""
        if isinstance(value, str):
            return cls({((value, 1),): Fraction(1)})
        return cls({(): Fraction(value)} if value else {})

    def __add__(self, other: Polynomial) -> Polynomial:
        terms = dict(self.terms)
        for name, factor in other.terms.items():
            terms[name] = terms.get(name, Fraction()) + factor
        return Polynomial({name: factor for name, factor in terms.items() if factor})

    def __neg__(self) -> Polynomial:
        return Polynomial({name: -factor for name, factor in self.terms.items()})

    def __sub__(self, other: Polynomial) -> Polynomial:
        return self + -other

    def __mul__(self, other: Polynomial) -> Polynomial:
        if len(self.terms) > 1 or len(other.terms) > 1:
            raise ValueError("a product of sums is not multiplied out")
        for left, factor in self.terms.items():
            for right, by in other.terms.items():
                powers = dict(left)
                for name, power in right:
                    powers[name] = powers.get(name, 0) + power
                if max(powers.values(), default=0) > _HIGHEST:
                    raise ValueError("too high a power")
                return Polynomial({tuple(sorted(powers.items())): factor * by})
        return Polynomial({})

    def __truediv__(self, other: Polynomial) -> Polynomial:
        if set(other.terms) != {()}:
            raise ValueError("divided by no number")
        return Polynomial({name: factor / other.terms[()] for name, factor in self.terms.items()})

    def __pow__(self, other: Polynomial) -> Polynomial:
        power = other.terms.get((), Fraction())
        if set(other.terms) - {()} or power.denominator != 1 or not 0 <= power <= _HIGHEST:
            raise ValueError("the power is no small number")
        made = Polynomial.of(1)
        for _ in range(int(power)):
            made = made * self
        return made


# --- values with their derivative ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Slope:
    """A value at a point, and the derivative there."""

    value: complex
    slope: complex = 0.0

    def __add__(self, other: Slope) -> Slope:
        return Slope(self.value + other.value, self.slope + other.slope)

    def __neg__(self) -> Slope:
        return Slope(-self.value, -self.slope)

    def __sub__(self, other: Slope) -> Slope:
        return self + -other

    def __mul__(self, other: Slope) -> Slope:
        return Slope(self.value * other.value, self.value * other.slope + self.slope * other.value)

    def __truediv__(self, other: Slope) -> Slope:
        slope = (self.slope * other.value - self.value * other.slope) / other.value**2
        return Slope(self.value / other.value, slope)

    def __pow__(self, other: Slope) -> Slope:
        if not other.slope:
            return Slope(self.value**other.value, other.value * self.value ** (other.value - 1) * self.slope)
        value = self.value**other.value
        slope = value * (other.slope * cmath.log(self.value) + other.value * self.slope / self.value)
        return Slope(value, slope)


def _number(value: float) -> Slope:
    return Slope(complex(value))  # whose powers overflow, where those of whole numbers grow without end


def _through(function: Callable[[complex], complex], slope: Callable[[complex], complex]) -> Callable[[Slope], Slope]:
    return lambda x: Slope(function(x.value), slope(x.value) * x.slope)


def _absolute(x: Slope) -> Slope:
    if abs(x.value.imag) > 1e-12 or not x.value.real:
        raise ArithmeticError("no derivative")
    return x if x.value.real > 0 else -x


_FUNCTIONS: dict[str, Callable[[Slope], Slope]] = {
    "exp": _through(cmath.exp, cmath.exp),
    "log": _through(cmath.log, lambda x: 1 / x),
    "ln": _through(cmath.log, lambda x: 1 / x),
    "sqrt": _through(cmath.sqrt, lambda x: 0.5 / cmath.sqrt(x)),
    "sin": _through(cmath.sin, cmath.cos),
    "cos": _through(cmath.cos, lambda x: -cmath.sin(x)),
    "tan": _through(cmath.tan, lambda x: 1 / cmath.cos(x) ** 2),
    "cot": _through(lambda x: 1 / cmath.tan(x), lambda x: -1 / cmath.sin(x) ** 2),
    "sec": _through(lambda x: 1 / cmath.cos(x), lambda x: cmath.sin(x) / cmath.cos(x) ** 2),
    "csc": _through(lambda x: 1 / cmath.sin(x), lambda x: -cmath.cos(x) / cmath.sin(x) ** 2),
    "sinh": _through(cmath.sinh, cmath.cosh),
    "cosh": _through(cmath.cosh, cmath.sinh),
    "tanh": _through(cmath.tanh, lambda x: 1 / cmath.cosh(x) ** 2),
    "asin": _through(cmath.asin, lambda x: 1 / cmath.sqrt(1 - x * x)),
    "acos": _through(cmath.acos, lambda x: -1 / cmath.sqrt(1 - x * x)),
    "atan": _through(cmath.atan, lambda x: 1 / (1 + x * x)),
    "Abs": _absolute,
    "abs": _absolute,
}
_POINTS = (0.31, 0.47, 0.73, 0.89, 1.13, 1.37, 1.71, 2.03, -0.29, -0.61, -0.97, -1.43)
_CLOSE = 1e-7
_ENOUGH = 4  # points at which both are worth something


def is_antiderivative(text: str, integrand: str, variable: str) -> bool:
    """Whether the derivative of a formula is another one, by their values at some points.

    Raises:
        ValueError: One of them is no formula.
    """
    compared = 0
    for point in _POINTS:
        names = {variable: Slope(point, 1.0), "C": Slope(0.7), "pi": Slope(cmath.pi), "E": Slope(cmath.e)}
        try:
            slope = evaluate(text, names, _number, _FUNCTIONS).slope
            wanted = evaluate(integrand, names, _number, _FUNCTIONS).value
        except ArithmeticError:
            continue
        if not abs(slope - wanted) <= _CLOSE * max(1.0, abs(slope), abs(wanted)):
            return False
        compared += 1
    return compared >= _ENOUGH
