"""How long a server asks to wait, in whatever form it says so."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime

_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|us|ns|[dhms])")
_DURATION = re.compile(rf"(?:{_PART.pattern})+")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_THIS_MILLENNIUM = 1e9  # seconds since 1970: a number beyond it is a moment, and beyond a thousand times it in ms
_WORDS = re.compile(
    r"(?:try again|retry)\s+(?:in|after)\s+(\d[\w.]*)(?:\s*(ms|milli|s|m)\w*)?"
    r'|"retryDelay":\s*"(\d[\w.]*)"',
    re.IGNORECASE,
)
_RATES = ("requests", "tokens", "input-tokens", "output-tokens")
# OpenAI's, Groq's and Azure's; Anthropic's; OpenRouter's and the IETF's draft.
_NAMES = [
    *((f"x-ratelimit-remaining-{rate}", f"x-ratelimit-reset-{rate}") for rate in _RATES[:2]),
    *((f"anthropic-ratelimit-{rate}-remaining", f"anthropic-ratelimit-{rate}-reset") for rate in _RATES),
    ("x-ratelimit-remaining", "x-ratelimit-reset"),
    ("ratelimit-remaining", "ratelimit-reset"),
]
_LONGEST_RESET_S = 60.0  # limits are per minute; a reset says when all is there again, and a part of it is there before


def seconds(text: str, now: float | None = None) -> float | None:
    """Read a wait: "20", "1.5", "6m0s", "20ms", a date of HTTP or ISO 8601, seconds or milliseconds since 1970.

    Args:
        text: What a header says.
        now: Seconds since 1970.

    Returns:
        Seconds from now, 0 or more; None where it is none of these.
    """
    text, now = text.strip(), time.time() if now is None else now
    if _NUMBER.fullmatch(text):
        value = float(text)
        if value > _THIS_MILLENNIUM * 1000:
            value /= 1000
        return max(0.0, value - now) if value > _THIS_MILLENNIUM else value
    if _DURATION.fullmatch(text):
        return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            return max(0.0, read(text).timestamp() - now)
        except (ValueError, TypeError, OverflowError):
            continue
    return None


def asked(headers: Mapping[str, str], words: str = "") -> float | None:
    """Seconds to wait before another try, by `retry-after-ms`, `Retry-After`, or the words of a refusal."""
    if (found := headers.get("retry-after-ms")) is not None and _NUMBER.fullmatch(found.strip()):
        return float(found) / 1000
    if (found := headers.get("Retry-After")) is not None and (wait := seconds(found)) is not None:
        return wait
    if (said := _WORDS.search(words)) is None:
        return None
    number, unit, delay = said.groups()
    number = (number or delay).rstrip(".").lower()
    unit = {"milli": "ms"}.get((unit or "s").lower(), (unit or "s").lower())
    return seconds(number + unit if _NUMBER.fullmatch(number) else number)


def until_more(headers: Mapping[str, str]) -> float:
    """Seconds until the server takes more: 0 while it has not said that nothing is left."""
    longest = 0.0
    for remaining, reset in _NAMES:
        if headers.get(remaining) == "0":
            longest = max(longest, seconds(headers.get(reset, "")) or 0.0)
    return min(longest, _LONGEST_RESET_S)


def limits(headers: Mapping[str, str]) -> str:
    """The limits that the headers name, in words, such as "500 requests, 30,000 tokens"; "" for none."""
    found = {
        rate.replace("-", " "): headers.get(f"x-ratelimit-limit-{rate}")
        or headers.get(f"anthropic-ratelimit-{rate}-limit")
        for rate in _RATES
    }
    return ", ".join(f"{int(most):,} {rate}" for rate, most in found.items() if most and most.isdigit())
