r"""What kind of thing an answer is, and how two of a kind are compared, down to the formulas that they consist of.

`same(reference, answer)` compares two formulas, however it does. Kinds are kept apart: "(1,2)" is a tuple or an open
interval, as the task says, and neither is the set "\{1,2\}".
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Literal, NamedTuple

from llmgym.verifiers.math.notation import normalised
from llmgym.verifiers.numbers import parse_quantity
from llmgym.verifiers.strings import normalised as plain_words

#: What an answer may be. "base" is a number in another base, such as "101_2".
Kind = Literal["number", "expression", "equation", "set", "tuple", "interval", "text", "choice", "base"]
Same = Callable[[str, str], bool]

MAX_ELEMENTS = 32  # of a set: each is compared with each

_CLOCK = re.compile(r"0?([0-9]{1,2}):([0-9]{2})(:[0-9]{2})?\s*(?:([aApP])\.?\s?[mM]\.?)?")
_BASE = re.compile(r"([0-9A-Za-z]+)_(?:\{?([0-9]{1,2})\}?)")
_IN_BASE = re.compile(
    r"\(?(?P<digits>[0-9A-Za-z]+(?: [0-9A-Za-z]+)*?)\)?"
    r"(?:_\{?(?P<base>[0-9]{1,2})\}?|[ ]?\(?(?:in )?base (?P<named>[0-9]{1,2})\)?)?"
)
_PREFIXES = {"2": "0b", "8": "0o", "16": "0x"}  # as programs write numbers in these bases
_LETTER = re.compile(
    r"[\s(\[]*(?:\\(?:text|textbf|mathrm|mathbf)\s?\{)?\s*(?i:option|choice)?[\s(\[]*([A-Za-z])(?:[)\].:}].*|\s*$)",
    re.DOTALL,
)
_WORDS = re.compile(r"\\(?:text|textbf|textit|texttt|mathrm|mathtt|mbox)\s?\{([^{}]*)\}")
_NAME = re.compile(r"\\?[A-Za-z]+(?:_\{?\w+\}?)?(?:\([A-Za-z](?:,[A-Za-z])*\))?'?|\\angle\s?[A-Z]+")
_EQUALS = re.compile(r"(?<![<>!:\\=])=(?!=)")
_ABOUT = re.compile(r"\\approx(?![a-z])|≈")
_APART = re.compile(r"\\text\s?\{\s*,?\s*(?:or|and)\s*\}|\\lor(?![a-z])|(?<![A-Za-z])(?:or|and)(?![A-Za-z])|;")
_EITHER = re.compile(r"\\pm(?![a-z])")
_IN = re.compile(r"^\s*[A-Za-z]\s*\\in(?![a-z])\s*")
_END = re.compile(r"\s*(?P<open>[(\[\]])(?P<low>.*),(?P<high>.*)(?P<close>[)\]\[])\s*", re.DOTALL)
_COMPARED = re.compile(r"(<|>|\\le(?![a-zA-Z])|\\ge(?![a-zA-Z]))")
_SURE = re.compile(r"[<>\[\]]|\\(?:le|ge|infty|cup|mathbb|R)(?![a-z])")  # no tuple has these
_FLIPPED = {"<": ">", ">": "<", r"\le": r"\ge", r"\ge": r"\le"}


class Unreadable(ValueError):
    """An answer is not of the kind that is asked for, or cannot be read."""


@lru_cache(maxsize=1024)
def kind_of(reference: str) -> Kind:
    """The kind that a reference has by its looks; "(1,2)" is taken for a tuple, and a capital letter for a choice."""
    text = reference.strip().strip("$").strip()
    if _CLOCK.fullmatch(_WORDS.sub(r"\1", text)) or (_WORDS.fullmatch(text) and not _LETTER.fullmatch(text)):
        return "text"
    if re.fullmatch(r"[-−]?[0-9]+,[0-9]{1,2}", text):
        return "set"
    if _BASE.fullmatch(text):
        return "base"
    if parse_quantity(text) is not None:
        return "number"
    if re.fullmatch(r"\(?[A-Z]\)?|\\text(?:bf)?\{\(?[A-Z]\)?\}", text):
        return "choice"
    text = normalised(text)
    if _is_interval(text):
        return "interval"
    if len(_EQUALS.split(text)) == 2 and len(_split(text)) == 1:
        return "equation"
    if _is_pair(text) and len(_split(text[1:-1])) > 1:
        return "tuple"
    return "set" if text.startswith((r"\{", r"\emptyset")) or len(_elements(text)) > 1 else "expression"


def compare(reference: str, answer: str, kind: Kind, same: Same) -> bool:
    """Whether an answer is the reference.

    Raises:
        Unreadable: The answer is not of the kind.
    """
    if kind == "text":
        return _as_words(reference) == _as_words(answer)
    if kind == "choice":
        return _letter(reference) == _letter(answer)
    if kind == "base":
        return _same_base(reference, answer)
    if kind == "equation":
        return _same_equation(normalised(reference), normalised(answer), same)
    if kind in ("number", "expression"):
        if number := _WORDS.fullmatch(answer.strip()):
            answer = number[1]
        wanted = normalised(reference)
        return same(wanted, _single(_value(normalised(answer), wanted), wanted))
    wanted, given = normalised(reference, thousands=False), normalised(answer, thousands=False)
    return {"set": _same_set, "tuple": _same_tuple, "interval": _same_interval}[kind](wanted, given, same)


def _as_words(text: str) -> str:
    text = _WORDS.sub(r"\1", text.strip().strip("$")).replace("\\", "")
    if clock := _CLOCK.fullmatch(text.strip()):
        hour, minute, second, half = clock.groups("")
        return f"{hour}:{minute}{second} {half.lower()}".strip()
    return plain_words(text)


def _letter(text: str) -> str:
    match = _LETTER.fullmatch(text.strip().strip("$").strip())
    if match is None:
        raise Unreadable("no letter of an option")
    return match[1].upper()


def _same_base(reference: str, answer: str) -> bool:
    """Digits count as they are written; the base may be left out."""
    wanted = _BASE.fullmatch(normalised(reference))
    if wanted is None:
        raise Unreadable("no number in another base, such as 101_2")
    given = _IN_BASE.fullmatch(re.sub(" {2,}", " ", _WORDS.sub(r"\1", normalised(_value(answer)))))
    if given is None or (given["base"] or given["named"] or wanted[2]) != wanted[2]:
        return False
    digits = given["digits"].replace(" ", "").lower().removeprefix(_PREFIXES.get(wanted[2], " "))
    return digits.lstrip("0") == wanted[1].lower().lstrip("0")


def _value(answer: str, reference: str = "") -> str:
    r"""The side of an equation that is the value: 5 of "x = 5", "5 = x" and "2 + 3 = 5".

    Before "≈" stands the exact one, or else a name, which is the value only where that is right: of "\pi ≈ 3.14".
    """
    exact, *near = (side.strip() for side in _ABOUT.split(answer))
    if near and (not exact or (_NAME.fullmatch(exact) and exact != reference)):
        exact = near[0]
    sides = [side.strip() for side in _EQUALS.split(exact)]
    return sides[0] if len(sides) > 1 and _NAME.fullmatch(sides[-1]) and not _NAME.fullmatch(sides[0]) else sides[-1]


def _single(answer: str, reference: str) -> str:
    """An answer that is one, where the reference is."""
    several = [len(_split(text)) > 1 or _APART.search(text) is not None for text in (answer, reference)]
    if several == [True, False] and parse_quantity(answer) is None:  # "0,5" is one, and so is "3 hours and 5 minutes"
        raise Unreadable("several answers")
    return answer


def _same_equation(reference: str, answer: str, same: Same) -> bool:
    """The name that an equation defines may be left out, and no other may stand there."""
    wanted, given = ([side.strip() for side in _EQUALS.split(text)] for text in (reference, answer))
    if len(wanted) != 2:
        raise Unreadable("no equation")
    if _NAME.fullmatch(wanted[1]) and not _NAME.fullmatch(wanted[0]):
        wanted.reverse()
    if _NAME.fullmatch(wanted[0]):
        if len(given) == 1:
            return same(wanted[1], given[0])
        if len(given) == 2 and wanted[0] in given:
            return same(wanted[1], given[1 - given.index(wanted[0])])
        if len(given) == 2 and any(_NAME.fullmatch(side) for side in given):
            return False
    return len(given) == 2 and same(reference, answer)


def _split(text: str) -> list[str]:
    """Parts between commas outside of brackets."""
    parts, depth, start = list[str](), 0, 0
    for at, char in enumerate(text):
        depth += (char in "([{") - (char in ")]}")
        if char == "," and depth <= 0:
            parts.append(text[start:at])
            start = at + 1
    return [part.strip() for part in (*parts, text[start:])]


def _is_pair(text: str, brackets: str = "()") -> bool:
    """Whether the bracket that begins a text is closed by the one that ends it."""
    if len(text) < 2 or text[0] != brackets[0] or text[-1] != brackets[1]:
        return False
    depth = 0
    for at, char in enumerate(text):
        depth += (char == brackets[0]) - (char == brackets[1])
        if not depth and at + 1 < len(text):
            return False
    return True


def _elements(text: str) -> list[str]:
    r"""The elements of a set, with or without braces; "\pm 2" is two."""
    text = _IN.sub("", text).strip()
    if text.startswith(r"\{") and text.endswith(r"\}"):
        text = text[2:-2]
    elif _is_pair(text, "{}"):
        text = text[1:-1]
    if text.strip() in ("", r"\emptyset"):
        return []
    parts = [part for piece in _APART.split(text) for part in _split(piece) if part]
    signs = [[_EITHER.sub(sign, part) for sign in "+-"] if _EITHER.search(part) else [part] for part in parts]
    return [part.lstrip("+ ") for pair in signs for part in pair]


def _same_set(reference: str, answer: str, same: Same) -> bool:
    wanted = _elements(reference)
    if len(named := _names(wanted)) > 1:
        return _same_system(wanted, answer, same)
    if _is_pair(answer) and len(_split(answer[1:-1])) > 1 and not _is_pair(reference):
        raise Unreadable("a tuple, and no set")
    given = _elements(answer)
    if named:
        (name,) = named
        if any(other.lower() != name.lower() for other in _names(given)):
            return False
        wanted = list(map(_value, wanted))
    if max(len(wanted), len(given)) > MAX_ELEMENTS:
        raise Unreadable(f"more than {MAX_ELEMENTS} elements")

    def equal(one: str, other: str) -> bool:
        other = _value(other, one)
        pairs = [_is_pair(part) and len(_split(part[1:-1])) > 1 for part in (one, other)]
        if any(pairs):
            return all(pairs) and _same_tuple(one, other, same)
        return same(one, other)

    return all(any(equal(one, other) for other in given) for one in wanted) and all(
        any(equal(one, other) for one in wanted) for other in given
    )


def _same_system(wanted: list[str], answer: str, same: Same) -> bool:
    """Values of different names, such as "x = 2, y = -1": in any order with their names, and in this one without."""
    sides = [side.strip() for side in _EQUALS.split(answer)]
    if _is_pair(sides[-1]):
        given = _split(sides[-1][1:-1])
        if len(sides) == 2 and _is_pair(sides[0]):  # "(x, y) = (2, -1)"
            given = list(map("=".join, zip(_split(sides[0][1:-1]), given, strict=False)))
    else:
        given = _elements(answer)
    if len(given) != len(wanted):
        return False
    if _names(given):
        wanted, given = sorted(wanted), sorted(given)
    return all(_same_equation(one, other, same) for one, other in zip(wanted, given, strict=True))


def _names(elements: list[str]) -> set[str]:
    """The names that elements such as "x = 2" give values to; x_1 and x_2 are values of one."""
    sides = [[side.strip() for side in _EQUALS.split(element)] for element in elements]
    return {side[0].partition("_")[0] for side in sides if len(side) == 2 and _NAME.fullmatch(side[0])}


def _same_tuple(reference: str, answer: str, same: Same) -> bool:
    answer = _value(answer)
    if not _is_pair(answer):
        raise Unreadable("no tuple in round brackets")
    wanted, given = _split(reference[1:-1]), _split(answer[1:-1])
    return len(wanted) == len(given) and all(map(same, wanted, given))


class _Interval(NamedTuple):
    open: bool
    low: str
    high: str
    closes_open: bool


def _is_interval(text: str) -> bool:
    """Whether text can be nothing but an interval or a union of some."""
    try:
        found = _intervals(text)
    except Unreadable:
        return False
    return bool(found) and _SURE.search(text) is not None


def _intervals(text: str) -> list[_Interval]:
    r"""The intervals of a union, from "[0,1) \cup (2,3)" or "0 \le x < 1 or 2 < x < 3"."""
    text = _IN.sub("", text)
    parts = [part.strip() for part in re.split(r"\\cup(?![a-z])", text)]
    if len(parts) == 1:
        parts = [part.strip() for part in _APART.split(text) if part.strip()]
    return [_interval(part) for part in parts]


def _interval(text: str) -> _Interval:
    if (match := _END.fullmatch(text)) and len(_split(text.strip()[1:-1])) == 2:
        return _Interval(match["open"] != "[", match["low"].strip(), match["high"].strip(), match["close"] != "]")
    if text in (r"\mathbb{R}", r"\mathbb R", r"\R"):
        return _Interval(True, r"-\infty", r"\infty", True)
    pieces = [piece.strip() for piece in _COMPARED.split(text)]
    if len(pieces) == 3:
        left, sign, right = pieces
        if _NAME.fullmatch(right) and not _NAME.fullmatch(left):
            left, sign, right = right, _FLIPPED[sign], left
        if _NAME.fullmatch(left):
            strict = sign in "<>"
            if sign in ("<", r"\le"):
                return _Interval(True, r"-\infty", right, strict)
            return _Interval(strict, right, r"\infty", True)
    if len(pieces) == 5 and _NAME.fullmatch(pieces[2]):
        low, first, _, second, high = pieces
        upward = ("<", r"\le")
        if first in upward and second in upward:
            return _Interval(first == "<", low, high, second == "<")
        if first not in upward and second not in upward:
            return _Interval(second == ">", high, low, first == ">")
    raise Unreadable("no interval")


def _same_interval(reference: str, answer: str, same: Same) -> bool:
    wanted, given = _intervals(reference), _intervals(answer)
    if max(len(wanted), len(given)) > MAX_ELEMENTS:
        raise Unreadable(f"more than {MAX_ELEMENTS} intervals")

    def equal(one: _Interval, other: _Interval) -> bool:
        ends = (one.open, one.closes_open) == (other.open, other.closes_open)
        return ends and same(one.low, other.low) and same(one.high, other.high)

    return len(wanted) == len(given) and all(any(equal(one, other) for other in given) for one in wanted)
