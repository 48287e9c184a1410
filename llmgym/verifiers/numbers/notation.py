r"""How people and models write numbers: "1,234.5", "−$5", "minus 5", `\frac{3}{4}`, "1 3/4", "1.5 × 10^3"."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

from llmgym.verifiers.text import folded

MAX_DIGITS = 1000  # in one number that is read

_GROUP = "[,' ]"  # between thousands
_MINUS = "-–"
_SUPERSCRIPT = "⁰¹²³⁴⁵⁶⁷⁸⁹"
_CURRENCY = "[$€£¥₹₩₽₺₿₫₴₦]"


def _unsigned(name: str) -> str:
    """Digits with separators; `name` is that of a group for the separator of thousands."""
    end = r"(?![0-9]|[ ]?/[ ]?[0-9])"
    same = rf"[1-9][0-9]{{0,2}}(?P<{name}>{_GROUP})[0-9]{{3}}(?:(?P={name})[0-9]{{3}})*{end}(?:\.[0-9]+)?"
    points = (
        r"[1-9][0-9]{0,2}(?:\.[0-9]{3}){2,20}(?:,[0-9]+)?(?![0-9]|[.,][0-9])"  # "1.000.000": a number has one point
    )
    mixed = r"[1-9][0-9]{0,2}(?:\.[0-9]{3}){1,20},[0-9]+(?![0-9]|[.,][0-9])"  # "1.234,5"
    blanks = r"[1-9][0-9]{0,2}(?:[ ][0-9]{3}){1,20},[0-9]{1,2}(?![0-9]|[.,][0-9])"  # "1 234,5"
    indian = r"[1-9][0-9]?(?:,[0-9]{2}){1,20},[0-9]{3}(?![0-9]|,[0-9])(?:\.[0-9]+)?"
    comma = r"(?<![0-9],)(?<!\()(?:0,[0-9]+|[0-9]+,(?:[0-9]{1,2}|[0-9]{4,}))(?![0-9]|[.,][0-9])"  # "0,5": no thousands
    usual = r"(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+(?:_[0-9]+)*)(?:\.[0-9]+)?"
    simple = "[0-9]+(?![0-9.,' _])"  # most numbers; the rest is slower
    return rf"(?:{simple}|{points}|{mixed}|{blanks}|{same}|{indian}|{comma}|{usual}|\.[0-9]+)"


def _power(name: str) -> str:
    return rf"[ ]?(?:\^|\*\*)[ ]?[{{(]?[ ]?(?P<{name}>[{_MINUS}+]?[0-9]{{1,9}})[ ]?[}})]?(?![0-9]|\.[0-9])"


_NUMBER = re.compile(
    rf"""
    (?=[-–+.0-9 MmNn$€£¥₹₩₽₺₿₫₴₦UEG])
    (?: (?P<sign>[{_MINUS}+]) | \b(?P<word>[Mm]inus|[Nn]egative)\b )?
    (?P<gap>[ ]{{0,2}})
    (?P<currency>(?:{_CURRENCY}|\b(?:USD|EUR|GBP)\b)[ ]?)?
    (?P<inner>(?:(?<={_CURRENCY})|(?<={_CURRENCY}[ ])|(?<=USD[ ])|(?<=EUR[ ])|(?<=GBP[ ]))[{_MINUS}])?
    (?<![A-Za-z0-9_^]) (?<!\^[{{(]) (?<!\^[{_MINUS}]) (?<!\^[{{(][{_MINUS}]) (?P<digits>{_unsigned("g1")})
    (?: [eE](?P<exponent>[{_MINUS}+]?[0-9]{{1,3}})(?![\w])
      | [ ]{{0,2}}(?:[×x*·⋅]|\\times|\\cdot)[ ]{{0,2}}10(?:{_power("ten")}|(?P<superscript>[⁻]?[{_SUPERSCRIPT}]{{1,4}}))
      | {_power("power")}
      | (?P<raised>[⁻]?[{_SUPERSCRIPT}]{{1,4}})
      | [ ]?/[ ]?\(?(?P<under>[{_MINUS}])?(?P<denominator>{_unsigned("g2")})(?![\w/])
      | [ ](?:and[ ])?(?P<top>[0-9]{{1,9}})/(?P<bottom>[0-9]{{1,9}})(?![\w/])
      | (?:[ {{~]|\\[,;:! ]){{1,3}}(?P<scale>(?i:hundred|thousand|million|billion|trillion))\b(?:[ ]?\}})?
    )?
    """,
    re.VERBOSE,
)
_LONGEST_SIGN = len("negative  USD -.")
_DIGIT = re.compile("[0-9]")
_SCALES = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_PART = rf"[{_MINUS}+]?[ ]?[0-9][0-9.,]{{0,99}}"
_FRACTION = re.compile(
    rf"(?P<sign>[{_MINUS}][ ]?)?(?:(?P<whole>(?<![0-9.,])[0-9]{{1,99}})[ ]?)?"
    rf"(?:\\[dtc]?frac[ ]?(?:\{{[ ]?(?P<top>{_PART})[ ]?\}}|(?P<one>[0-9]))[ ]?"
    rf"(?:\{{[ ]?(?P<bottom>{_PART})[ ]?\}}|(?P<two>[0-9]))"
    rf"|\{{[ ]?(?P<over>{_PART})[ ]?\\over[ ]?(?P<under>{_PART})[ ]?\}})"
)
_REPEATING = re.compile(
    r"(?<![0-9.,])(?P<whole>[0-9]{1,30})\.(?P<once>[0-9]{0,30})"
    r"(?:\\(?:overline|bar|dot)[ ]?(?:\{(?P<line>[0-9]{1,30})\}|(?P<one>[0-9]))"
    r"|\((?P<bracket>[0-9]{1,30})\)(?![ ]?[0-9]))"
)
_SPACING = re.compile(r"(?<=[0-9])(?:\{,\}|\\[,;:! ][ ]?|~(?=[0-9]{3}))(?=[0-9])")
_WORDS = re.compile(r"\\(?:text|mathrm|mathbf|textbf|mathbf|left|right|displaystyle)(?![a-z])[ ]?")
_DATE = re.compile(r"(?<![\w/])[0-9]{1,4}/[0-9]{1,2}/[0-9]{1,4}(?![\w/])")
_UNDERLINES = re.compile(r"(?<![A-Za-z0-9_])_{1,2}(?=[0-9$-])")
_VULGAR = {"½": "1/2", "⅓": "1/3", "⅔": "2/3", "¼": "1/4", "¾": "3/4", "⅕": "1/5", "⅖": "2/5", "⅗": "3/5", "⅘": "4/5",
           "⅙": "1/6", "⅚": "5/6", "⅛": "1/8", "⅜": "3/8", "⅝": "5/8", "⅞": "7/8"}  # fmt: skip
_UNIT = rf"(?:[ ]?(?:[A-Za-z%°]|{_CURRENCY}){{0,20}})"
_ASIDE = re.compile(
    rf"(?<=[0-9}}])({_UNIT}[.!]?)[ ]?\((?![0-9 ]{{1,9}}\)[ ]?[=^])(?![ ]?=)[^()\n]{{0,300}}\)(?![ ]?[=+*/×^])"
)
_REASON = re.compile(rf"(?<=[0-9}}])({_UNIT}),?[ ](?:because|since|as(?! well))\b[^.\n;=]{{0,300}}(?=[.\n;]|$)")
_BULLET = re.compile(r"^[ \t]*[-–*•][ ]", re.MULTILINE)
_BEFORE_SIGN = re.compile(
    r"(?:\b(?:is|are|was|equals?|to|gives?|gets?|be|of|by|get|got|obtain(?:ed)?|yields?|makes?|have|has|had|becomes?|find|"
    r"found|leaves?|about|around|exactly|approximately|roughly|than|so|thus|then|therefore|hence)|[=:≈~(\[{,;>→⇒$*])$"
)
_DENIED = re.compile(r"(?:\bnot|n't|\bnever|\brather than|\binstead of)(?: equal to| exactly| just)?[\s$*]{0,3}$")


class Number(NamedTuple):
    """A number in a text, and where it stands; None as its value where it cannot be read, as "5/0"."""

    value: Fraction | None
    start: int
    end: int


def plain(text: str) -> str:
    """Text with fractions as "3/4", and without LaTeX within numbers and what only explains a number."""
    text = folded(text).replace("\\$", "$").replace("\\%", "%")
    if "\\" in text or "~" in text or "{," in text:
        text = _WORDS.sub("", _SPACING.sub(lambda m: "," if m[0] == "{,}" else "", text))
        text = _FRACTION.sub(_as_slash, text)
    if text.count("/") > 1:
        text = _DATE.sub("", text)
    if "_" in text:
        text = _UNDERLINES.sub("", text)
    if "(" in text or "\\" in text:
        text = _REPEATING.sub(_as_fraction, text)
    if not text.isascii():
        for sign, fraction in _VULGAR.items():
            if sign in text:
                text = re.sub(rf"(?<=[0-9])[ ]?{sign}", f" {fraction}", text).replace(sign, fraction)
    if "(" in text:
        text = _ASIDE.sub(r"\1", text)
    return _REASON.sub(r"\1", text)


def _as_slash(match: re.Match[str]) -> str:
    parts = (match["top"] or match["one"] or match["over"], match["bottom"] or match["two"] or match["under"])
    top, bottom = (part.replace(" ", "") for part in parts)
    before, inside = match["sign"] or "", (top[0] in _MINUS) != (bottom[0] in _MINUS)
    sign = ("+" if before else "-") if inside else before
    whole = f"{match['whole']} " if match["whole"] else ""
    return f"{sign}{whole}{top.strip(_MINUS + '+')}/{bottom.strip(_MINUS + '+')}"


def _as_fraction(match: re.Match[str]) -> str:
    """A repeating decimal as a fraction of whole numbers."""
    whole, once = match["whole"], match["once"]
    again = match["line"] or match["one"] or match["bracket"]
    bottom = (10 ** len(again) - 1) * 10 ** len(once)
    return f"{int(whole + once + again) - int(whole + once)}/{bottom}"


def is_listed(text: str) -> bool:
    """Whether several lines of a text begin with a hyphen and a space, so that these are no minus signs."""
    return len(_BULLET.findall(text)) > 1


def numbers_in(text: str, start: int, end: int, listed: bool) -> Iterator[Number]:
    """The numbers in a part of a `plain` text, from left to right, but those that "not" or "rather than" denies.

    A minus sign between two numbers is a subtraction, and so is "minus".

    Args:
        text: The text.
        start: Where the part begins.
        end: Where it ends.
        listed: Whether the text `is_listed`.
    """
    for match in _numbers_of(text, start, end):
        if not _DENIED.search(text[max(start, match.start() - 30) : match.start()]):
            negative = _signed(match) and not _subtracted(text, match, listed)
            yield Number(_value(match, negative), match.start("digits"), match.end())


def _numbers_of(text: str, start: int, end: int) -> Iterator[re.Match[str]]:
    """The matches of `_NUMBER`, which is not tried far from a digit: it is slow to find that there is none."""
    while digit := _DIGIT.search(text, start, end):
        match = _NUMBER.search(text, max(start, digit.start() - _LONGEST_SIGN), end)
        if match is None:
            return
        yield match
        start = match.end()


def whole_number(text: str) -> Fraction | None:
    """Read text that is one number and nothing else; None where it is not."""
    match = _NUMBER.fullmatch(text) if len(text) <= MAX_DIGITS + 100 else None
    return _value(match, negative=_signed(match)) if match else None


def _signed(match: re.Match[str]) -> bool:
    return bool((match["sign"] and match["sign"] != "+") or match["word"] or match["inner"])


def _subtracted(text: str, match: re.Match[str], listed: bool) -> bool:
    """Whether the sign before a number subtracts it from what stands before, or is a dash or a bullet."""
    if match["inner"]:
        return False
    start = match.start("word") if match["word"] else match.start("sign")
    near = text[max(0, start - 20) : start]
    before = near.rstrip(" ")
    spaced = bool(match["gap"])
    if not before or before.endswith("\n"):
        return listed and spaced and not match["word"]
    if match["word"]:
        return before[-1].isdigit() or before[-1] in ")]}%"
    if near == before:  # "7-12", "x-5", but "=-5"
        return near[-1].isalnum() or near[-1] in "_)]}.%"
    if not spaced:  # "7 -12" as models list numbers
        return False
    return not _BEFORE_SIGN.search(before)


def _value(match: re.Match[str], negative: bool) -> Fraction | None:
    """The number that a match of `_NUMBER` holds."""
    if match.end() - match.start() > MAX_DIGITS:
        return None
    value = _decimal(match["digits"])
    if written := match["exponent"] or match["ten"] or match["superscript"]:
        if abs(shift := _integer(written)) > MAX_DIGITS:
            return None
        value *= Fraction(10) ** shift
    if match["scale"]:
        value *= 10 ** _SCALES[match["scale"].lower()]
    if power := match["power"] or match["raised"]:
        exponent = _integer(power)
        size = len(str(value.numerator)) + len(str(value.denominator))
        if size * abs(exponent) > 2 * MAX_DIGITS or (not value and exponent < 0):
            return None
        value **= exponent
    if match["denominator"]:
        bottom = _decimal(match["denominator"])
        if not bottom:
            return None
        value /= -bottom if match["under"] else bottom
    if match["top"]:
        over, under = int(match["top"]), int(match["bottom"])
        if not under:
            return None
        value = value + Fraction(over, under) if over < under else Fraction(over, under)
    return -value if negative else value


def _integer(text: str) -> int:
    """A whole number with any minus sign, or in superscript."""
    digits = text.translate(str.maketrans(_SUPERSCRIPT, "0123456789"))
    value = int(digits.lstrip(_MINUS + "⁻+"))
    return value if digits[0] in "+0123456789" else -value


def _decimal(digits: str) -> Fraction:
    """The number of some digits: where commas or points cannot separate thousands they begin the decimals."""
    if digits.isdigit():
        return Fraction(int(digits))
    plain = re.sub("[' _]", "", digits)
    commas, points = plain.count(","), plain.count(".")
    if commas == 1 and (points > 1 or (points == 1 and plain.index(".") < plain.index(","))):  # "1.234,5"
        plain = plain.replace(".", "").replace(",", ".")
    elif points > 1:  # "1.000.000"
        plain = plain.replace(".", "")
    elif commas == 1 and not points and (plain.startswith("0,") or len(plain) - plain.index(",") != 4):  # "0,5"
        plain = plain.replace(",", ".")
    return Fraction(plain.replace(",", ""))
