"""Numbers in text: how exact ones are shown, and how the stated answer is read out of a reply."""

from __future__ import annotations

import re
from collections import deque
from fractions import Fraction

from llmgym.envs.text import last_boxed

_MAX_DIGITS = 1000  # in one number that is read
_MAX_PLACES = 30  # decimal places that are shown before a fraction is

_GROUP = "[,\u00a0\u2009\u202f]"
_UNSIGNED = rf"(?:[0-9]{{1,3}}(?:{_GROUP}[0-9]{{3}})+(?![0-9])|[0-9]+(?:_[0-9]+)*)(?:\.[0-9]+)?|\.[0-9]+"
_TIMES_TEN = r"[ ]{0,2}(?:[×x*·]|\\times|\\cdot)[ ]{0,2}10[ ]?\^[ ]?\{?[ ]?(?P<power>[-−+]?[0-9]{1,3})\}?"
_NUMBER = re.compile(
    rf"""
    (?: (?<![\w)\]}}.%]) (?P<sign>[-−–+])
      | (?<=[=:])[ ]?(?P<loose>[-−–])[ ]?
      | \b(?P<word>negative)[ ] )?
    (?P<currency>[$€£¥][ ]?)? (?P<inner>(?<=[$€£¥])[-−–])?
    (?<![A-Za-z0-9_]) (?P<digits>{_UNSIGNED})
    (?: [eE](?P<exponent>[-+]?[0-9]{{1,3}})(?![\w])
      | {_TIMES_TEN}
      | [ ]?/[ ]?(?P<denominator>{_UNSIGNED})(?![\w/])
      | [ ](?P<top>[0-9]{{1,9}})/(?P<bottom>[0-9]{{1,9}})(?![\w/])
    )?
    """,
    re.VERBOSE,
)
_LATEX_FRACTION = re.compile(r"(?P<whole>[0-9])? ?\\[dt]?frac ?\{ ?(-?[0-9.,]{1,99}) ?\} ?\{ ?([0-9.,]{1,99}) ?\}")
_LATEX_SHORT_FRACTION = re.compile(r"\\[dt]?frac ?([0-9]) ?([0-9])")
_LATEX_SPACING = re.compile(r"(?<=[0-9])(?:\{,\}|\\[,;:!]\s?)(?=[0-9])")


def format_number(value: Fraction) -> str:
    """Show a number exactly: as an integer, else as a decimal of up to 30 places, else as "3/7"."""
    if value.denominator == 1:
        return str(value.numerator)
    places = decimal_places(value)
    if places is None or places > _MAX_PLACES:
        return f"{value.numerator}/{value.denominator}"
    digits = f"{abs(value.numerator) * 10**places // value.denominator:0{places + 1}d}"
    return f"{'-' if value < 0 else ''}{digits[:-places]}.{digits[-places:]}"


def decimal_places(value: Fraction) -> int | None:
    """How many decimal places show a number exactly; None where no number of them does."""
    rest, counts = value.denominator, {2: 0, 5: 0}
    for prime in counts:
        while rest % prime == 0:
            rest //= prime
            counts[prime] += 1
    return max(counts.values()) if rest == 1 else None


def parse_number(text: str) -> Fraction | None:
    """Read text that is one number and nothing else; None where it is not."""
    text = text.strip()
    match = _NUMBER.fullmatch(text) if len(text) <= _MAX_DIGITS + 100 else None
    return _value(match) if match else None


def final_number(text: str) -> Fraction | None:
    r"""The last number of a text, or that in its last `\boxed{...}`; None where there is none.

    Understands thousands separators, unicode minus signs, currency signs, fractions ("3/4", "1 3/4",
    `\frac{3}{4}`), and powers of ten ("1.5e3", "1.5 × 10^3"). A minus sign between two numbers is
    a subtraction, a hyphen before a space is a bullet.
    """
    boxed = last_boxed(text)
    for part in (boxed, text) if boxed is not None else (text,):
        part = _LATEX_SPACING.sub(lambda m: "," if m[0] == "{,}" else "", part.replace("\\$", "$"))
        part = _LATEX_SHORT_FRACTION.sub(r"\\frac{\1}{\2}", part)
        part = _LATEX_FRACTION.sub(lambda m: f"{m['whole'] + ' ' if m['whole'] else ''}{m[2]}/{m[3]}", part)
        if found := deque(_NUMBER.finditer(part), maxlen=1):
            return _value(found[0])
    return None


def _value(match: re.Match[str]) -> Fraction | None:
    """The number that a match of `_NUMBER` holds."""
    if match.end() - match.start() > _MAX_DIGITS:
        return None
    value = _decimal(match["digits"])
    if shift := match["exponent"] or match["power"]:
        value *= Fraction(10) ** int(shift.replace("−", "-"))
    if match["denominator"]:
        bottom = _decimal(match["denominator"])
        if not bottom:
            return None
        value /= bottom
    if match["top"]:
        over, under = int(match["top"]), int(match["bottom"])
        if not under:
            return None
        value = value + Fraction(over, under) if over < under else Fraction(over, under)
    negative = match["sign"] in ("-", "−", "–") or match["loose"] or match["word"] or match["inner"]
    return -value if negative else value


def _decimal(digits: str) -> Fraction:
    return Fraction(re.sub(rf"{_GROUP}|_", "", digits))
