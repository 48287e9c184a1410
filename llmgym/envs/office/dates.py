"""Dates and times as tools take them and as people say them."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from llmgym.errors import ToolError

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
    "November", "December",
)  # fmt: skip


def read_date(text: str) -> str:
    """A date as an argument says it.

    Raises:
        ToolError: It is none.
    """
    try:
        return date.fromisoformat(text.strip()[:10]).isoformat()
    except ValueError:
        raise ToolError(f"{text[:40]!r} is no date; write one such as 2026-03-02") from None


def read_time(text: str) -> str:
    """A date with a time as an argument says it.

    Raises:
        ToolError: It is none.
    """
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        found = None
    if found is None or len(text.strip()) < 16:
        raise ToolError(f"{text[:40]!r} is no date with a time; write one such as 2026-03-02 14:30")
    return found.strftime("%Y-%m-%d %H:%M")


def day(text: str) -> date:
    """The date of a row's text."""
    return date.fromisoformat(text[:10])


def spoken(text: str) -> str:
    """A date in words, such as "2 March 2026"."""
    found = day(text)
    return f"{found.day} {MONTHS[found.month - 1]} {found.year}"


def later(text: str, days: int) -> str:
    """The date some days later, or earlier."""
    return (day(text) + timedelta(days=days)).isoformat()


def next_weekday(today: str, weekday: int) -> str:
    """The date of that day in the week after this one, from Monday (0) on."""
    found = day(today)
    return (found + timedelta(days=7 - found.weekday() + weekday)).isoformat()
