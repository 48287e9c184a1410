"""Schedules of one day: which events there are, when each may be, and whether a schedule keeps to it.

All times are minutes of the day.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any


@dataclass(frozen=True)
class Event:
    """An event, and when it may be.

    Attributes:
        id: Its number.
        name: What it is called.
        minutes: How long it takes.
        earliest: It starts at this time or later.
        latest: It ends at this time or earlier.
        after: Numbers of events that end before it starts.
    """

    id: int
    name: str
    minutes: int
    earliest: int
    latest: int
    after: tuple[int, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As a task keeps it."""
        return {
            "id": self.id, "name": self.name, "minutes": self.minutes, "earliest": self.earliest, "latest": self.latest,
            "after": list(self.after),
        }  # fmt: skip

    @classmethod
    def of_json(cls, given: Mapping[str, Any]) -> Event:
        """The event that a task keeps."""
        times = (given[name] for name in ("minutes", "earliest", "latest"))
        return cls(given["id"], given["name"], *times, after=tuple(given["after"]))


def schedule(events: Sequence[Event]) -> dict[int, int] | None:
    """When each event may start so that all constraints are kept; None where that cannot be.

    For each set of events that come first, what counts is how early they can be done: so a search over sets decides it,
    and takes each event as early as it can be.
    """
    count = len(events)
    places = {event.id: place for place, event in enumerate(events)}
    needs = [sum(1 << places[other] for other in event.after if other in places) for event in events]
    done: dict[int, tuple[int, int, int]] = {0: (0, -1, 0)}  # by set: when it is done, the last event, and its start
    for chosen in range(1 << count):
        if chosen not in done:
            continue
        now = done[chosen][0]
        for place, event in enumerate(events):
            bit = 1 << place
            if chosen & bit or needs[place] & ~chosen:
                continue
            start = max(now, event.earliest)
            end = start + event.minutes
            if end <= event.latest and (chosen | bit not in done or end < done[chosen | bit][0]):
                done[chosen | bit] = end, place, start
    chosen = (1 << count) - 1
    if chosen not in done:
        return None
    starts: dict[int, int] = {}
    while chosen:
        _, place, start = done[chosen]
        starts[events[place].id] = start
        chosen &= ~(1 << place)
    return starts


def faults(events: Sequence[Event], starts: Mapping[int, int]) -> list[str]:
    """What is wrong with a schedule, in words; nothing where it keeps to all constraints."""
    found: list[str] = []
    there = {event.id: event for event in events}
    found += [f"event {key} is not one of the events" for key in starts if key not in there]
    found += [f"event {key} is missing" for key in there if key not in starts]
    ends = {key: starts[key] + event.minutes for key, event in there.items() if key in starts}
    for key, end in ends.items():
        event = there[key]
        if starts[key] < event.earliest:
            found.append(f"event {key} starts too early")
        if end > event.latest:
            found.append(f"event {key} ends too late")
        found += [
            f"event {key} starts before event {one} ends"
            for one in event.after
            if one in ends and starts[key] < ends[one]
        ]
    order = sorted(ends, key=lambda key: (starts[key], ends[key]))
    found += [f"events {a} and {b} overlap" for a, b in pairwise(order) if starts[b] < ends[a]]
    return found
