"""Two formulas compared: exactly where both are numbers, else by `math-verify`, in a worker that can be killed.

Nothing here evaluates text of a model as Python, as sympy's own parsers would, and nothing prints a parsed formula:
printing some never comes to an end.
"""

from __future__ import annotations

import contextlib
import logging
import resource
import warnings
from collections.abc import Generator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

from llmgym.verifiers.math.forms import Kind, Unreadable, compare
from llmgym.verifiers.math.notation import excess, is_formula, spelt_out
from llmgym.verifiers.numbers import Percent, Quantity, Units, parse_quantity
from llmgym.verifiers.numbers.quantities import agree
from llmgym.verifiers.numbers.units import Unit, leading_unit

_MEMORY = 2 * 1024**3  # bytes that a comparison may take
_ROUNDED = Fraction(1, 10**6)  # how far off a reference with a decimal point may be, as a share of it
_PLACES, _MOST_PLACES = 40, 2000  # to which numbers are computed
_LOST = 20  # of these, that the computing may cost
_INFINITE = {r"\infty": 1, r"+\infty": 1, r"-\infty": -1}
_PROBED = 1e-9


class NeedsLibrary(Exception):
    """Two formulas cannot be compared without `math-verify`."""


@dataclass(frozen=True, slots=True)
class Options:
    """How formulas are compared; see `llmgym.verifiers.math.check`."""

    relative: float | None
    absolute: float
    units: Units
    percent: Percent

    def tolerance(self, reference: str) -> float | Fraction:
        """How far off a value may be, as a share of the reference."""
        if self.relative is not None:
            return self.relative
        return _ROUNDED if "." in reference else 0

    def agree(self, given: Quantity, wanted: Quantity, reference: str) -> bool:
        """Compare two quantities; `reference` is how the right one is written."""
        return not agree(
            given,
            wanted,
            absolute=self.absolute,
            relative=self.tolerance(reference),
            units=self.units,
            percent=self.percent,
        )

    def same(self, reference: str, answer: str) -> bool:
        """As `same_numbers`, and formulas that are written alike are the same."""
        try:
            return self.same_numbers(reference, answer)
        except NeedsLibrary:
            if reference == answer:
                return True
            raise

    def same_numbers(self, reference: str, answer: str) -> bool:
        """Compare two numbers, with their units.

        Raises:
            NeedsLibrary: One of them is another formula.
            Unreadable: The answer is no formula.
        """
        wanted, given = _quantity(reference), _quantity(answer)
        if wanted and given:
            return self.agree(given, wanted, reference)
        signs = _INFINITE.get(reference), _INFINITE.get(answer)
        if any(signs) and all(sign or number for sign, number in zip(signs, (wanted, given), strict=True)):
            return signs[0] == signs[1]
        if not answer or not is_formula(answer):
            raise Unreadable("no formula")
        raise NeedsLibrary

    def same_by_library(self, reference: str, answer: str) -> bool:
        """The same, with the library where that is needed."""
        with contextlib.suppress(NeedsLibrary):
            return self.same_numbers(reference, answer)
        (wanted, unit), (given, other) = _apart(reference), _apart(answer)
        if self.units != "ignored" and unit and other and unit.dimension != other.dimension:
            return False
        if (self.units == "required" and unit and not other) or (self.units == "none" and other):
            return False
        scale = other.factor / unit.factor if self.units != "ignored" and unit and other else Fraction(1)
        return _same_values(wanted, given, scale, float(self.tolerance(reference)), self.absolute)


@lru_cache(maxsize=1024)
def _quantity(text: str) -> Quantity | None:
    r"""A number as it stands; of "101_2" the digits are no number of thousands."""
    return None if "_" in text else parse_quantity(text)


def _apart(text: str) -> tuple[str, Unit | None]:
    r"""A formula and its unit, in words of their own: "2\sqrt{3}\text{ cm}"."""
    at = max(text.rfind(rf"\{word}{{") for word in ("text", "mathrm", "mbox"))
    if at <= 0:
        return text, None
    unit, rest = leading_unit(text[at:])
    return (text[:at], unit) if unit and not rest.strip() else (text, None)


def compare_in_worker(reference: str, answer: str, kind: Kind, options: tuple[Any, ...]) -> str:
    """Compare as `forms.compare` does, with the library, in a bounded memory.

    Returns:
        "same" or "different"; else why not: "answer: ..." or "reference: ...".
    """
    try:
        with _bounded_memory(), warnings.catch_warnings(action="ignore"):
            return "same" if compare(reference, answer, kind, Options(*options).same_by_library) else "different"
    except _BadReference as error:
        return f"reference: {error}"
    except Unreadable as error:
        return f"answer: {error}"
    except MemoryError:
        return "answer: comparing it takes too much memory"
    except Exception as error:  # noqa: BLE001 -- of a parser and an algebra system under text of a model
        return f"answer: {type(error).__name__} while it is compared"


def prepare() -> None:
    """Import the library, and have it build what it builds when it is first used."""
    import math_verify  # noqa: F401  # pyright: ignore[reportMissingImports, reportUnusedImport]

    logging.getLogger("math_verify").setLevel(logging.CRITICAL)  # it would log answers, and that it has no alarms
    logging.getLogger("latex2sympy2_extended").setLevel(logging.CRITICAL)
    for formula in (r"\frac{\sqrt{3}}{2}", "x^2+2x+1", r"\sin(x)+\log_{2}{5}", "y=2x+1"):
        _same_values(formula, f"{formula}+0", Fraction(1), 0.0, 0.0)


@contextlib.contextmanager
def _bounded_memory() -> Generator[None]:
    """Where the system says how much is taken already, which may be much: a worker does other jobs too."""
    try:
        taken = int(Path("/proc/self/statm").read_text("ascii").split()[0]) * resource.getpagesize()
    except OSError:
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = taken + _MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


class _BadReference(ValueError):
    """The reference cannot be read."""


def _same_values(reference: str, answer: str, scale: Fraction, relative: float, absolute: float) -> bool:
    import sympy

    try:
        wanted = _parsed(reference)
    except ValueError as error:
        raise _BadReference(str(error)) from None
    given = _parsed(answer)
    if scale != 1 and _is_expression(given):
        given = given * sympy.Rational(scale.numerator, scale.denominator)
    return _equal(wanted, given, relative, absolute)


def _equal(wanted: Any, given: Any, relative: float, absolute: float) -> bool:
    from math_verify import verify  # pyright: ignore[reportMissingImports]

    if hasattr(wanted, "shape") and hasattr(given, "shape"):  # matrices
        pairs = zip(list(wanted), list(given), strict=False)
        return wanted.shape == given.shape and all(_equal(*pair, relative, absolute) for pair in pairs)
    near = _near(wanted, given, relative, absolute)
    if near is not None:
        return near
    return _agree_at_points(wanted, given) and verify([wanted], [given], timeout_seconds=None, raise_on_error=True)


def _is_expression(value: Any) -> bool:
    import sympy

    return isinstance(value, sympy.Expr)


@lru_cache(maxsize=512)
def _parsed(formula: str) -> Any:
    """A formula as sympy has it.

    Raises:
        Unreadable: It is none, or too large to be read.
    """
    from math_verify import LatexExtractionConfig, parse  # pyright: ignore[reportMissingImports]

    if fault := excess(formula):
        raise Unreadable(fault)
    found = parse(
        f"${spelt_out(formula)}$",
        extraction_config=[LatexExtractionConfig()],
        fallback_mode="no_fallback",
        parsing_timeout=None,  # pyright: ignore[reportArgumentType]  # it takes None, for none
        raise_on_error=True,
    )
    if not found:
        raise Unreadable("no formula")
    return found[0]


def _near(wanted: Any, given: Any, relative: float, absolute: float) -> bool | None:
    """Whether two values without variables are as near as they must be; None where they are not both such values."""
    import sympy

    if not all(_is_expression(value) and not value.free_symbols for value in (wanted, given)):
        return None
    right, value = _computed(wanted), _computed(given)
    if right is None or value is None:
        return None
    if right.is_infinite or value.is_infinite:
        return bool(right == value)
    places, bound = _PLACES, max(absolute, relative * abs(right))
    if not bound and abs(right) > 1:  # 2^{100}-1 begins with the same forty digits as 2^{100}
        places += min(_MOST_PLACES, int(sympy.N(sympy.log(abs(right), 10))))
        right, value = _computed(wanted, places), _computed(given, places)
    return bool(abs(value - right) <= max(bound, abs(right) * sympy.Float(10) ** (_LOST - places)))


def _computed(value: Any, places: int = _PLACES) -> Any:
    """A value to some places; None where it has none, or sympy cannot tell."""
    import sympy

    number = sympy.N(value, places)
    parts = number.as_real_imag() if number.is_number else ()
    if not parts or not all(part.is_Number for part in parts):
        number = sympy.N(value.doit(), places)  # such as `Mod`, which is not evaluated yet
        parts = number.as_real_imag() if number.is_number else ()
    return number if parts and all(part.is_Number and part is not sympy.nan for part in parts) else None


def _agree_at_points(wanted: Any, given: Any) -> bool:
    """Whether two expressions have the same values at some points, where they have any.

    The library compares coefficients to six decimal places, and takes longest where expressions differ.
    """
    import sympy

    if not (_is_expression(wanted) and _is_expression(given)):
        return True
    names = sorted(wanted.free_symbols | given.free_symbols, key=str)
    for start in (2, 3):
        point = {name: sympy.Rational(7 * start + 4 * index, 10 + index) for index, name in enumerate(names)}
        right, value = _computed(wanted.subs(point)), _computed(given.subs(point))
        if right is None or value is None or not (right.is_finite and value.is_finite):
            continue
        if not abs(value - right) <= _PROBED * abs(right):
            return False
    return True
