"""Numbers as they stand in an answer, and others near to them."""

from __future__ import annotations

import random
import re
from decimal import Decimal, localcontext

_PARTS = re.compile(r"([^\d]*?)(\d[\d,]*(?:\.\d+)?)(%?)")
_EXACT = 10**6  # above it, verifiers may rightly allow for rounding


def off_by_one(text: str, rng: random.Random) -> str | None:
    """A whole number and one, or less one."""
    value = _value(text)
    if value is None or "." in text or abs(value) > _EXACT:
        return None
    return _written(text, value + rng.choice((1, -1)))


def off_by_some(text: str) -> str | None:
    """A number and a twentieth of it, or at least 1."""
    value = _value(text)
    if value is None:
        return None
    with localcontext(prec=len(text) + 4):  # numbers of any length, exactly
        return _written(text, value + max(Decimal(1), abs(value) / 20))


def other_digit(text: str) -> str | None:
    """A whole number of a few digits whose last digit is another."""
    digits = text.replace(",", "")
    if not re.search(r"\d{2,6}$", digits) or "." in digits or "," in text:
        return None
    return f"{text[:-1]}{(int(text[-1]) + 5) % 10}"


def _value(text: str) -> Decimal | None:
    match = _PARTS.fullmatch(text)
    if match is None:
        return None
    value = Decimal(match[2].replace(",", ""))
    return -value if match[1].startswith(("-", "\u2212")) else value


def _written(text: str, value: Decimal) -> str:
    """A value as another was written."""
    match = _PARTS.fullmatch(text)
    assert match is not None
    places = len(match[2].partition(".")[2])
    number = f"{abs(round(value, places)):{',' if ',' in match[2] else ''}.{places}f}"
    width = len(match[2]) if match[2].startswith("0") and not places else 0
    sign = match[1].lstrip("-\u2212")
    return f"{'-' if value < 0 else ''}{sign}{number.zfill(width)}{match[3]}"


def with_commas(text: str) -> str | None:
    """A whole number of five digits or more, with separators of thousands."""
    return f"{int(text):,}" if re.fullmatch(r"-?[1-9]\d{4,}", text) else None
