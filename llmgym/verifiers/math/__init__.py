r"""Maths: a number, formula, set, tuple, interval, word or letter that a reply gives, against the one that is right.

What can be compared exactly without an algebra system is; `math-verify` compares the rest in a worker process, which is
killed when its time is over. It never sees more than the answer itself, which is found and cut here.
"""

from __future__ import annotations

import importlib.util
import re
from dataclasses import astuple
from fractions import Fraction
from functools import cache, lru_cache
from typing import get_args

from llmgym.concurrency import PastDeadline, WorkerError, drive_apart, in_process
from llmgym.errors import EnvironmentFailure, MissingExtraError, TaskError
from llmgym.verifiers.base import MAX_ANSWER, Verdict, correct, too_long, unscored, wrong
from llmgym.verifiers.math.extraction import Answer, extract
from llmgym.verifiers.math.forms import Kind, Unreadable, compare, kind_of
from llmgym.verifiers.math.formulas import NeedsLibrary, Options, compare_in_worker, prepare
from llmgym.verifiers.math.notation import MAX_LENGTH, excess, is_formula
from llmgym.verifiers.numbers import Percent, Quantity, Units, parse_quantity
from llmgym.verifiers.numbers.quantities import agree, check_options, stated_quantity
from llmgym.verifiers.text import without_thoughts

__all__ = ["Kind", "acheck", "check", "kind_of", "prove"]

_SECONDS = 2.0  # that the library may take
_FORMULA_IN_WORDS = re.compile(
    r"[\\^√π=]|[0-9][A-Za-z(]|[0-9] over\b"
    r"|\b(?:times|plus|minus|divided|root|squared|cubed|power|pi|log|ln|sine?|cosine?)\b"
)
_BETWEEN = re.compile(r"\s*(?:[,;]|\bor\b|\band\b)\s*")
_SQUARE_UNIT = re.compile(r"(?<=[0-9 ])(?:[ckdm]?m|in|ft)\^\{?[23]\}?(?![0-9A-Za-z])")


async def acheck(
    answer: str,
    reference: str | float | Fraction,
    *,
    kind: Kind | None = None,
    relative: float | None = None,
    absolute: float = 0.0,
    units: Units = "optional",
    percent: Percent = "either",
    last_number: bool = False,
) -> Verdict:
    r"""Whether the answer that a reply gives is the right one.

    The last `\boxed{...}` counts, or "the answer is ..." behind it, else the whole of a reply, or of what stands below
    its heading "Answer", that is one line.

    Args:
        answer: The reply; thoughts in it do not count.
        reference: What is right, in LaTeX or plain: `\frac{1}{2}`, "(1, 2]", "x > 3", "5 cm", `\text{Evelyn}`.
        kind: What it is; by default what it looks like, see `kind_of`. An open interval must be named, since "(1,2)"
            looks like a tuple.
        relative: How far off a value may be, as a share of the reference; by default 1e-6 where the reference has a
            decimal point, and nothing elsewhere.
        absolute: How far off it may be.
        units: As in `llmgym.verifiers.numbers`.
        percent: As there.
        last_number: Whether the last number of a reply counts that states none.

    Raises:
        ValueError: An option is none that there is.
        MissingExtraError: The comparison needs math-verify, and it is not there.
    """
    compared = _compare(answer, reference, kind, Options(relative, absolute, units, percent), last_number)
    return compared if isinstance(compared, Verdict) else await _compare_by_library(*compared)


def check(
    answer: str,
    reference: str | float | Fraction,
    *,
    kind: Kind | None = None,
    relative: float | None = None,
    absolute: float = 0.0,
    units: Units = "optional",
    percent: Percent = "either",
    last_number: bool = False,
) -> Verdict:
    """As `acheck`, for callers that are not in an event loop: it waits where the library compares."""
    compared = _compare(answer, reference, kind, Options(relative, absolute, units, percent), last_number)
    return compared if isinstance(compared, Verdict) else drive_apart(_compare_by_library(*compared))


def prove(reference: str | float | Fraction, *, kind: Kind | None = None, units: Units = "optional") -> None:
    """Prove that a reference can be matched, by itself in a box.

    Raises:
        TaskError: It cannot.
        MissingExtraError: That needs math-verify, and it is not there.
    """
    text, options = str(reference).strip(), Options(None, 0.0, units, "either")
    kind = kind or kind_of(text)
    found = _compare(rf"\boxed{{{text}}}", text, kind, options, last_number=False)
    if found and _needs_library(text, kind, options):  # so far it was enough that both are written alike
        found = (text, text, kind, options)
    if not isinstance(found, Verdict):
        found = drive_apart(_compare_by_library(*found))
    if not found:
        why = found.detail or found.reason
        raise TaskError(
            f"the reference {text[:100]!r} does not match itself ({why}); write it in LaTeX, or name another kind"
        )


def _compare(
    reply: str, reference: str | float | Fraction, kind: Kind | None, options: Options, last_number: bool
) -> Verdict | tuple[str, str, Kind, Options]:
    """The verdict, or what the library is to compare."""
    if kind not in (None, *get_args(Kind)):
        raise ValueError(f"unknown kind {kind!r}; there is {', '.join(get_args(Kind))}")
    check_options(options.absolute, options.relative, options.units, options.percent)
    wanted = str(reference).strip()
    kind = kind or kind_of(wanted)
    if fault := _fault(wanted, kind):
        return unscored("invalid_reference", fault)
    said = without_thoughts(reply)
    if len(said) > MAX_ANSWER:
        return too_long(len(said))
    given = _given(said, kind, last_number)
    if isinstance(given, Verdict):
        return given
    if isinstance(given, Quantity):
        right = parse_quantity(wanted)
        return _verdict(right is not None and options.agree(given, right, wanted))
    try:
        return _verdict(compare(wanted, given, kind, options.same))
    except Unreadable as error:
        return wrong(str(error), "unparsable")
    except NeedsLibrary:
        fault = excess(given)
        return wrong(fault, "too_long") if fault else (wanted, given, kind, options)


def _needs_library(reference: str, kind: Kind, options: Options) -> bool:
    """Whether a reference holds more than numbers, words and letters."""
    try:
        compare(reference, reference, kind, options.same_numbers)
    except NeedsLibrary:
        return True
    return False


@lru_cache(maxsize=1024)
def _fault(reference: str, kind: Kind) -> str:
    """What is wrong with a reference, as far as that shows without the library; "" where nothing is."""
    if not reference or not (kind in ("text", "choice", "base") or is_formula(reference) or parse_quantity(reference)):
        return "it is no formula; words have the kind text"
    try:
        compare(reference, reference, kind, lambda *_: True)
    except Unreadable as error:
        return str(error)
    return ""


def _given(said: str, kind: Kind, last_number: bool) -> str | Quantity | Verdict:
    """The answer of a reply; of prose around a number the quantity that it states."""
    found = extract(said)
    if kind == "number" and found.formulas and _is_list(found.formulas[-1]):
        return wrong("several answers side by side", "unparsable")
    if kind == "number" and (found.is_turned or _is_told(found) or (last_number and not found.formulas)):
        stated = stated_quantity(said)
        if isinstance(stated, Quantity):
            return stated
    if not found.formulas or not found.formulas[-1]:
        return wrong("no box, no statement of an answer, and more than a line", "no_answer")
    several = found.formulas[:1] if _is_one(found.formulas) else found.formulas
    if len(several) > 1 and kind != "set":
        return wrong("several answers side by side", "unparsable")
    given = ", ".join(several)
    if len(given) > MAX_LENGTH:
        return wrong(f"an answer of {len(given):,} characters; {MAX_LENGTH} are read", "too_long")
    return given


def _is_one(formulas: list[str]) -> bool:
    """Whether an answer is one number written in several ways: "1/2 or 0.5"."""
    if len(set(formulas)) < len(formulas):
        return False
    first, *others = map(parse_quantity, formulas)
    return first is not None and all(other is not None and not agree(other, first) for other in others)


def _is_list(text: str) -> bool:
    """Whether an answer ends in a list of numbers, so that there is no telling which of them is meant."""
    if len(text) > MAX_LENGTH or parse_quantity(text) is not None:
        return False
    parts = [parse_quantity(part) is not None for part in _BETWEEN.split(text)]
    return sum(parts) > 2 and parts[-1]


def _is_told(found: Answer) -> bool:
    """Whether an answer is prose about a number, and no formula in words."""
    if found.is_boxed or not found.formulas or parse_quantity(found.formulas[0]) is not None:
        return False
    return not is_formula(found.formulas[0]) and not _FORMULA_IN_WORDS.search(_SQUARE_UNIT.sub("", found.formulas[0]))


def _verdict(same: bool) -> Verdict:
    return correct() if same else wrong()


@cache
def _library_is_there() -> bool:
    return importlib.util.find_spec("math_verify") is not None


async def _compare_by_library(reference: str, answer: str, kind: Kind, options: Options) -> Verdict:
    if not _library_is_there():
        raise MissingExtraError("comparing formulas", "verifiers")
    try:
        found = await in_process(
            compare_in_worker, reference, answer, kind, astuple(options), seconds=_SECONDS, prepare=prepare
        )
    except PastDeadline:
        return wrong(f"comparing it takes more than {_SECONDS:g} s", "timeout")
    except (EnvironmentFailure, WorkerError) as error:
        return unscored("infrastructure", str(error))
    if found in ("same", "different"):
        return _verdict(found == "same")
    whose, _, why = found.partition(": ")
    return unscored("invalid_reference", why) if whose == "reference" else wrong(why, "unparsable")
