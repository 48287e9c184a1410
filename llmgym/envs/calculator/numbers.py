"""Numbers in text: how exact ones are shown, and how the stated answer is read out of a reply."""

from __future__ import annotations

import re
from collections import deque
from fractions import Fraction

from llmgym.envs.text import last_boxed, without_thoughts

_MAX_DIGITS = 1000  # in one number that is read
_MAX_PLACES = 30  # decimal places that are shown before a fraction is

_GROUP = r"[,'’ \u00a0\u2007\u2009\u202f]"  # between thousands
_MINUS = "-−–‐‑﹣－"
_SUPERSCRIPT = "⁰¹²³⁴⁵⁶⁷⁸⁹"


def _unsigned(name: str) -> str:
    """Digits, perhaps in groups of three by one separator; `name` is that of a group for the separator."""
    thousands = rf"[1-9][0-9]{{0,2}}(?P<{name}>{_GROUP})[0-9]{{3}}(?:(?P={name})[0-9]{{3}})*(?![0-9]|[ ]?/[ ]?[0-9])"
    return rf"(?:(?:{thousands}|[0-9]{{1,3}}(?:,[0-9]{{3}})+(?![0-9])|[0-9]+(?:_[0-9]+)*)(?:\.[0-9]+)?|\.[0-9]+)"


def _power(name: str) -> str:
    return rf"[ ]?(?:\^|\*\*)[ ]?[{{(]?[ ]?(?P<{name}>[{_MINUS}+]?[0-9]{{1,9}})[ ]?[}})]?(?![0-9]|\.[0-9])"


_NUMBER = re.compile(
    rf"""
    (?: (?P<sign>[{_MINUS}+]) | \b(?P<word>[Mm]inus|[Nn]egative)\b )?
    (?P<gap>[ \u00a0]{{0,2}})
    (?P<currency>(?:[$€£¥₹]|\b(?:USD|EUR|GBP)\b)[ ]?)?
    (?P<inner>(?<=[$€£¥₹])[{_MINUS}])?
    (?<![A-Za-z0-9_^]) (?<!\^[{{(]) (?<!\^[{_MINUS}]) (?<!\^[{{(][{_MINUS}]) (?P<digits>{_unsigned("g1")})
    (?: [eE](?P<exponent>[{_MINUS}+]?[0-9]{{1,3}})(?![\w])
      | [ ]{{0,2}}(?:[×x*·⋅]|\\times|\\cdot)[ ]{{0,2}}10(?:{_power("ten")}|(?P<superscript>[⁻]?[{_SUPERSCRIPT}]{{1,4}}))
      | {_power("power")}
      | (?P<raised>[⁻]?[{_SUPERSCRIPT}]{{1,4}})
      | [ ]?[/⁄][ ]?\(?(?P<under>[{_MINUS}])?(?P<denominator>{_unsigned("g2")})(?![\w/])
      | [ ](?P<top>[0-9]{{1,9}})[/⁄](?P<bottom>[0-9]{{1,9}})(?![\w/])
    )?
    """,
    re.VERBOSE,
)
_LATEX_PART = rf"[{_MINUS}+]?[ ]?[0-9][0-9.,]{{0,99}}"
_LATEX_FRACTION = re.compile(
    rf"(?:(?P<whole>(?<![0-9.,])[0-9]{{1,99}})[ ]?)?\\[dtc]?frac[ ]?"
    rf"\{{[ ]?(?P<top>{_LATEX_PART})[ ]?\}}[ ]?\{{[ ]?(?P<bottom>{_LATEX_PART})[ ]?\}}"
)
_LATEX_SHORT_FRACTION = re.compile(r"\\[dtc]?frac[ ]?([0-9])[ ]?([0-9])")
_LATEX_SPACING = re.compile(r"(?<=[0-9])(?:\{,\}|\\[,;:!]\s?)(?=[0-9])")
_LATEX_WORDS = re.compile(r"\\(?:text|mathrm|mathbf|textbf|left|right|displaystyle)(?![a-z])[ ]?")
_VULGAR = {"½": "1/2", "⅓": "1/3", "⅔": "2/3", "¼": "1/4", "¾": "3/4", "⅕": "1/5", "⅖": "2/5", "⅗": "3/5", "⅘": "4/5",
           "⅙": "1/6", "⅚": "5/6", "⅛": "1/8", "⅜": "3/8", "⅝": "5/8", "⅞": "7/8"}  # fmt: skip
_ASIDE = re.compile(
    r"(?<=[0-9}])([ ]?[A-Za-z%°€$£¥]{0,20})[ ]?\((?![0-9 ]{1,9}\)[ ]?[=^])[^()\n]{0,300}\)(?![ ]?[=+*/×^])"
)
_REASON = re.compile(r"(?<=[0-9}])([ ]?[A-Za-z%°€$£¥]{0,20}),?[ ](?:because|since)\b[^.\n;=]{0,300}(?=[.\n;]|$)")
_BULLET = re.compile(r"^[ \t]*[-–*•][ ]", re.MULTILINE)
_BEFORE_SIGN = re.compile(
    r"(?:\b(?:is|are|was|equals?|to|gives?|gets?|be|of|by|get|obtain|yields?|makes?)|[=:(\[{,;>→⇒$*])$"
)


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
    return _value(match, negative=_signed(match)) if match else None


def final_number(text: str) -> Fraction | None:
    r"""The last number of a text, or that in its last `\boxed{...}`; None where there is none.

    Understands thousands separators, unicode minus signs and "minus", currency signs, fractions ("3/4", "1 3/4",
    `\frac{3}{4}`), and powers ("1.5e3", "1.5 × 10^3", "10^5"). A minus sign between two numbers is a subtraction, and
    so is "minus"; a hyphen and a space begin an item where several lines begin so. What stands in parentheses behind
    a number explains it, as does "because ..."; numbers in thoughts do not count.
    """
    text = without_thoughts(text)
    boxed = last_boxed(text)
    for part in (boxed, text) if boxed is not None else (text,):
        part = _plain(part)
        bullets = len(_BULLET.findall(part)) > 1
        if found := deque(_NUMBER.finditer(part), maxlen=1):
            match = found[0]
            return _value(match, negative=_signed(match) and not _subtracted(part, match, bullets))
    return None


def _plain(text: str) -> str:
    """Text with fractions as "3/4", and without LaTeX within numbers and what only explains a number."""
    text = text.replace("\\$", "$").replace("\\%", "%")
    text = _LATEX_SPACING.sub(lambda m: "," if m[0] == "{,}" else "", text)
    text = _LATEX_SHORT_FRACTION.sub(r"\\frac{\1}{\2}", text)
    text = _LATEX_FRACTION.sub(_as_slash, _LATEX_WORDS.sub("", text))
    for sign, fraction in _VULGAR.items():
        if sign in text:
            text = re.sub(rf"(?<=[0-9])[ ]?{sign}", f" {fraction}", text).replace(sign, fraction)
    return _REASON.sub(r"\1", _ASIDE.sub(r"\1", text))


def _as_slash(match: re.Match[str]) -> str:
    top, bottom = match["top"].replace(" ", ""), match["bottom"].replace(" ", "")
    negative = (top[0] in _MINUS) != (bottom[0] in _MINUS)
    top, bottom = top.strip(_MINUS + "+"), bottom.strip(_MINUS + "+")
    return f"{'-' if negative else ''}{match['whole'] + ' ' if match['whole'] else ''}{top}/{bottom}"


def _signed(match: re.Match[str]) -> bool:
    return bool((match["sign"] and match["sign"] != "+") or match["word"] or match["inner"])


def _subtracted(text: str, match: re.Match[str], bullets: bool) -> bool:
    """Whether the sign before a number subtracts it from what stands before, or is a dash or a bullet."""
    if match["inner"]:
        return False
    start = match.start("word") if match["word"] else match.start("sign")
    near = text[max(0, start - 20) : start]
    before = near.rstrip(" \u00a0")
    spaced = bool(match["gap"])
    if not before or before.endswith("\n"):
        return bullets and spaced and not match["word"]
    if match["word"]:
        return before[-1].isdigit() or before[-1] in ")]}%"
    if near == before:  # "7-12", "x-5", but "=-5"
        return near[-1].isalnum() or near[-1] in "_)]}.%"
    if not spaced:  # "7 -12" as models list numbers
        return False
    return not _BEFORE_SIGN.search(before)


def _value(match: re.Match[str], negative: bool) -> Fraction | None:
    """The number that a match of `_NUMBER` holds."""
    if match.end() - match.start() > _MAX_DIGITS:
        return None
    value = _decimal(match["digits"])
    if written := match["exponent"] or match["ten"] or match["superscript"]:
        if abs(shift := _integer(written)) > _MAX_DIGITS:
            return None
        value *= Fraction(10) ** shift
    if power := match["power"] or match["raised"]:
        exponent = _integer(power)
        size = len(str(value.numerator)) + len(str(value.denominator))
        if size * abs(exponent) > 2 * _MAX_DIGITS or (not value and exponent < 0):
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
    return Fraction(re.sub(rf"{_GROUP}|_", "", digits))
