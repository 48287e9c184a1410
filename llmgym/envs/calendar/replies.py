"""What a reply says of a calendar."""

from __future__ import annotations

import re
from typing import Any

from llmgym.verifiers.base import MAX_ANSWER
from llmgym.verifiers.strings import normalised
from llmgym.verifiers.structured.syntaxes import read_json
from llmgym.verifiers.text import folded, without_thoughts

_LIST = re.compile(r"\[\s*\{[^\[\]]*\}\s*,?\s*\]|\[\s*\]")
_CLOCK = re.compile(r"(?:\d{4}-\d\d-\d\d[T ])?(\d{1,2})(?:[:.](\d\d)(?::\d\d)?)?\s*([ap])?\.?(?:m\.?)?", re.IGNORECASE)
MOST = 50  # events that a reply may list


class Unreadable(ValueError):
    """A reply is no calendar; says what it should have."""


def read_calendar(reply: str) -> dict[int, tuple[int, Any]] | None:
    """The start of each event of a reply, and its duration if it is told, by number; None where it says "none".

    The last list counts.

    Raises:
        Unreadable: There is neither a calendar nor "none".
    """
    text = folded(without_thoughts(reply)).strip()
    if len(text) > MAX_ANSWER:
        raise Unreadable(f"that is longer than {MAX_ANSWER:,} characters")
    lists = _LIST.findall(text)
    lines = text.splitlines() or [""]
    if normalised(lines[0]) == "none":  # whatever calendar is shown below, as it was before
        return None
    if not lists:
        if re.match(r"none\b", normalised(text)) or normalised(lines[-1]) == "none":
            return None
        raise Unreadable("I found no JSON list of events")
    try:
        entries = read_json(lists[-1])
    except ValueError as error:
        raise Unreadable(f"the list is no JSON ({str(error)[:100]})") from None
    if len(entries) > MOST:
        raise Unreadable(f"the list has more than {MOST} events")
    found: dict[int, tuple[int, Any]] = {}
    for entry in entries:
        key, start, minutes = _read(entry)
        if key in found:
            raise Unreadable(f"event {key} is in the list twice")
        found[key] = start, minutes
    return found


def _read(entry: dict[str, Any]) -> tuple[int, int, Any]:
    key, start = entry.get("event_id"), entry.get("start_time")
    if isinstance(key, str) and key.strip().isdecimal() and len(key) < 10:
        key = int(key)
    if isinstance(key, bool) or not isinstance(key, int):
        raise Unreadable('an event has no "event_id" that is a number')
    clock = read_clock(start) if isinstance(start, str) else None
    if clock is None:
        raise Unreadable(f'event {str(key)[:10]} has no "start_time" such as "09:30"')
    return key, clock, entry.get("duration")


def read_clock(text: str) -> int | None:
    """A time of the day as people write it ("14:30", "2:30 pm", "2pm", with a date or not), in minutes."""
    match = _CLOCK.fullmatch(text.strip()[:40])
    if match is None or (match[2] is None and match[3] is None):
        return None
    hours, minutes = int(match[1]), int(match[2] or 0)
    if match[3]:
        if not 1 <= hours <= 12:
            return None
        hours = hours % 12 + (12 if match[3] in "pP" else 0)
    return hours * 60 + minutes if hours < 24 and minutes < 60 else None


def write_clock(minutes: int) -> str:
    """A time of the day, such as "09:30"."""
    return f"{minutes // 60:02d}:{minutes % 60:02d}"
