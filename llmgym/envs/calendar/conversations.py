"""Conversations about a calendar, made from a schedule that nobody is shown, so that what is asked for can be done.

What cannot be done is asked for, too, in some turns: a search over all schedules has found none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from llmgym.envs.calendar.replies import write_clock
from llmgym.envs.calendar.schedules import Event, faults, schedule
from llmgym.envs.vocabulary import GIVEN_NAMES, THINGS
from llmgym.tasks import Task

GRID = 15
_LENGTHS = (30, 45, 60, 75, 90)
_TRIES = 12
_KINDS = ("review", "workshop", "demo", "briefing", "interview", "training", "rehearsal", "call")


@dataclass(frozen=True)
class Conversations:
    """Makes tasks.

    Attributes:
        turns: Least and most messages of the user.
        events: Most events at a time.
        hours: When the day begins and ends.
        refusals: How often a turn asks for what cannot be done, once there are two events.
        chains: How often an event has to come after another one.
    """

    turns: tuple[int, int]
    events: int
    hours: tuple[int, int]
    refusals: float
    chains: float

    def __call__(self, rng: np.random.Generator) -> Task:
        """Make a task."""
        while True:
            talk = _Talk(rng, self)
            talk.hold(int(rng.integers(self.turns[0], self.turns[1] + 1)))
            if not talk.is_lazy():
                break
        first, *others = talk.said
        day = {"from": 60 * self.hours[0], "to": 60 * self.hours[1]}
        return Task(prompt=first, answer=talk.changes, metadata={"day": day, "turns": others})


def states(changes: Sequence[dict[str, Any]]) -> Iterator[list[Event] | None]:
    """The events after each turn; None where what was asked for cannot be done."""
    events: dict[int, Event] = {}
    for change in changes:
        if "impossible" in change:
            yield None
            continue
        if "drop" in change:
            del events[change["drop"]]
        for event in change.get("set", ()):
            events[event["id"]] = Event.of_json(event)
        yield list(events.values())


class _Talk:
    """What is said, beside the hidden schedule."""

    def __init__(self, rng: np.random.Generator, rules: Conversations) -> None:
        self.rng, self.rules = rng, rules
        self.low, self.high = 60 * rules.hours[0], 60 * rules.hours[1]
        self.events: dict[int, Event] = {}
        self.starts: dict[int, int] = {}
        self.next = 1
        self.said: list[str] = []
        self.changes: list[dict[str, Any]] = []
        self.twelve = rng.random() < 0.5  # how this user tells the time

    def one(self, choices: Sequence[Any]) -> Any:
        return choices[int(self.rng.integers(len(choices)))]

    def hold(self, turns: int) -> None:
        while len(self.said) < turns:
            full, few = len(self.events) >= self.rules.events, len(self.events) < 2
            if few:
                self._add()
            elif self.rng.random() < self.rules.refusals:
                self._ask_too_much()
            elif self.rng.random() < (1 if full else 0.35):
                (self._move, self._move, self._stretch, self._cancel)[int(self.rng.integers(4))]()
            else:
                self._add()

    def is_lazy(self) -> bool:
        """Whether one event after the other from the morning on, whatever was asked for, would be right all the way."""
        for events in states(self.changes):
            if events is None:
                return False
            now, starts = self.low, {}
            for event in events:
                starts[event.id], now = now, now + event.minutes
            if faults(events, starts):
                return False
        return True

    def _say(self, text: str, **change: Any) -> None:
        self.said.append(text)
        self.changes.append(change)

    def _slots(self, event: Event) -> list[int]:
        """When an event may start beside the hidden schedule of the others."""
        others = [(at, at + self.events[key].minutes) for key, at in self.starts.items() if key != event.id]
        low = max([event.earliest, *(end for key, (_, end) in self._ends().items() if key in event.after)])
        high = min([event.latest, *(self.starts[key] for key, other in self.events.items() if event.id in other.after)])
        return [
            at
            for at in range(low, high - event.minutes + 1, GRID)
            if all(at + event.minutes <= start or at >= end for start, end in others)
        ]

    def _ends(self) -> dict[int, tuple[int, int]]:
        return {key: (at, at + self.events[key].minutes) for key, at in self.starts.items()}

    def _new(self) -> Event:
        who, thing = self.one(GIVEN_NAMES), self.one(THINGS)
        name = self.one((f"{thing} {self.one(_KINDS)}", f"{self.one(_KINDS)} with {who}"))
        return Event(self.next, name, self.one(_LENGTHS), self.low, self.high)

    def _bounded(self, event: Event, at: int) -> tuple[Event, str]:
        """The event with a constraint that its place keeps to, and that in words."""
        kinds = ("at", "after", "before", "between") + (("any",) if len(self.events) > 1 else ())
        kind = "at" if not self.events else self.one(kinds)
        early = max(self.low, at - GRID * int(self.rng.integers(6)))
        late = min(self.high, at + event.minutes + GRID * int(self.rng.integers(6)))
        clock = self._clock
        if kind == "at":
            return replace(event, earliest=at, latest=at + event.minutes), self.one(
                (f"starting at {clock(at)}", f"at {clock(at)} exactly")
            )
        if kind == "after":
            return replace(event, earliest=early), self.one(
                (f"not before {clock(early)}", f"starting at {clock(early)} or later")
            )
        if kind == "before":
            return replace(event, latest=late), self.one(
                (f"over by {clock(late)}", f"ending at {clock(late)} or earlier")
            )
        if kind == "between":
            return replace(event, earliest=early, latest=late), self.one(
                (f"between {clock(early)} and {clock(late)}", f"from {clock(early)} on, and over by {clock(late)}")
            )
        return event, "at any time"

    def _clock(self, minutes: int) -> str:
        if not self.twelve:
            return write_clock(minutes)
        hours, rest = divmod(minutes, 60)
        return f"{(hours - 1) % 12 + 1}:{rest:02d} {'am' if hours < 12 else 'pm'}"

    def _added(self, event: Event, when: str) -> str:
        after = f", and after event {event.after[0]} has ended" if event.after else ""
        return self.one(
            (
                f'Add "{event.name}" as event {event.id}: {event.minutes} minutes, {when}{after}.',
                f'I need {event.minutes} minutes for "{event.name}" (event {event.id}), {when}{after}.',
                f'Please put event {event.id}, "{event.name}", into the calendar; it takes {event.minutes} minutes, '
                f"{when}{after}.",
            )
        )

    def _add(self) -> None:
        for _ in range(_TRIES):
            event = self._new()
            if self.events and self.rng.random() < self.rules.chains:
                event = replace(event, after=(self.one(tuple(self.events)),))
            if slots := self._slots(event):
                at = self.one(slots)
                event, when = self._bounded(event, at)
                self.events[event.id], self.starts[event.id] = event, at
                self.next += 1
                self._say(self._added(event, when), set=[event.to_json()])
                return

    def _move(self) -> None:
        """Give an event another time, which its place in the hidden schedule does not keep to."""
        old = self.events[self.one(tuple(self.events))]
        free = replace(old, earliest=self.low, latest=self.high)
        slots = [at for at in self._slots(free) if at != self.starts[old.id]]
        for _ in range(_TRIES if slots else 0):
            at = self.one(slots)
            event, when = self._bounded(free, at)
            if faults([event], {event.id: self.starts[old.id]}):
                self.events[event.id], self.starts[event.id] = event, at
                still = f", still after event {event.after[0]}" if event.after else ""
                text = self.one(
                    (
                        f'"{event.name}" (event {event.id}) gets another time, in place of the old one: {when}{still}.',
                        f"I have a new time for event {event.id}, instead of what I said before: {when}{still}.",
                    )
                )
                self._say(text, set=[event.to_json()])
                return

    def _stretch(self) -> None:
        """Make an event longer or shorter, where its place and its constraint allow it."""
        old = self.events[self.one(tuple(self.events))]
        if old.latest - old.earliest == old.minutes:
            return
        event = replace(old, minutes=self.one([each for each in _LENGTHS if each != old.minutes]))
        if slots := self._slots(event):
            self.events[event.id], self.starts[event.id] = event, self.one(slots)
            text = self.one(
                (
                    f'"{event.name}" (event {event.id}) takes {event.minutes} minutes now.',
                    f"Event {event.id} needs {event.minutes} minutes instead of {old.minutes}.",
                )
            )
            self._say(text, set=[event.to_json()])

    def _cancel(self) -> None:
        held = {key for event in self.events.values() for key in event.after}
        free = [key for key in self.events if key not in held]
        if len(self.events) < 3 or not free:
            return
        key = self.one(free)
        name = self.events.pop(key).name
        del self.starts[key]
        self._say(self.one((f'Cancel "{name}" (event {key}).', f"Event {key} is off; take it out.")), drop=key)

    def _ask_too_much(self) -> None:
        for _ in range(_TRIES):
            event = self._new()
            at = self.low + GRID * int(self.rng.integers((self.high - self.low - event.minutes) // GRID))
            event, when = self._bounded(event, at)
            if schedule([*self.events.values(), event]) is None:
                self.next += 1
                self._say(self._added(event, when), impossible=event.id)
                return
