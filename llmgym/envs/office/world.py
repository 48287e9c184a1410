"""Offices made by a seed: people of a firm, their mails, events, customers and tasks, and visits of their website."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from typing import Any

import numpy as np

from llmgym.envs.office.counting import Source
from llmgym.envs.office.tables import PREFIXES, Made, Row, Table, Tables, Visits
from llmgym.envs.vocabulary import FAMILY_NAMES, FIRM_KINDS, FIRM_NAMES, GIVEN_NAMES

TEAMS = ("Sales", "Finance", "Design", "Support", "Engineering", "Marketing")
FOLDERS = ("inbox", "sent", "archive")
STATUSES = ("lead", "qualified", "proposal", "won", "lost")
PRODUCTS = ("hardware", "software", "services", "training", "consulting")
BOARDS = ("Website", "Mobile app", "Back office")
STAGES = ("backlog", "in progress", "in review", "done")
SOURCES: tuple[Source, ...] = ("direct", "search", "social", "referral")
MINUTES = (15, 30, 45, 60, 90)
TOPICS = (
    "Budget", "Timeline", "Contract", "Feedback", "Agenda", "Invoice", "Launch", "Hiring", "Training", "Travel",
    "Roadmap", "Onboarding", "Survey", "Security", "Pricing", "Inventory", "Branding", "Staffing", "Testing",
    "Reporting",
)  # fmt: skip
MEETINGS = ("sync", "review", "workshop", "briefing", "interview", "retrospective", "demo", "planning", "check-in")
PLACES = ("Room 1", "Room 2", "Room 3", "Library", "Studio", "Online")
DEEDS = ("Draft", "Review", "Update", "Translate", "Test", "Publish", "Archive", "Prepare", "Check", "Rewrite")
PAPERS = (
    "landing page", "price list", "user guide", "release notes", "login form", "report", "newsletter",
    "contract template", "search page", "data export", "help pages", "checkout", "style guide", "survey", "dashboard",
)  # fmt: skip
_REMARKS = (
    "there is news about it, and I will send the figures soon.",
    "could you have a look when you find the time?",
    "we are on track so far.",
    "two points are still open on our side.",
    "the first draft is ready for your comments.",
    "I have nothing to add to what we said last week.",
    "it took longer than planned, but it is done.",
    "please let me know what you think of it.",
)
_NOTES = ("Met at a fair.", "Asked for a demo.", "Prefers calls.", "Wants an offer.", "Has a long contract.", "")

#: How many rows an office of each size has: people, mails, events, customers, tasks.
SIZES = {"small": (6, 30, 20, 16, 24), "medium": (12, 120, 60, 60, 80), "large": (20, 200, 100, 100, 140)}
VISITED = 28  # days before today with visits

_FIRST = date(2026, 1, 5)
_DATES = [(_FIRST + timedelta(days=i)).isoformat() for i in range(-100, 411)]


@lru_cache(64)
def make_office(seed: int, size: str) -> Tables:
    """The office of a seed; it is shared, so take its `fresh` tables to write to."""
    maker = _Maker(np.random.Generator(np.random.PCG64(seed)))
    people, mails, events, customers, tasks = SIZES[size]
    maker.hire(people)
    columns = {
        "mails": maker.mails(mails),
        "events": maker.events(events),
        "customers": maker.customers(customers),
        "tasks": maker.tasks(tasks),
    }
    rows = Made(_Columns(maker.people, columns))
    return Tables(rows, maker.visits(), maker.people, f"{maker.today} {maker.clock}")


_IDS = {table: [f"{prefix}-{number}" for number in range(101, 1000)] for table, prefix in PREFIXES.items()}


@lru_cache
def _clocks(step: int) -> list[str]:
    return [f" {minutes // 60:02d}:{minutes % 60:02d}" for minutes in range(8 * 60, 17 * 60, step)]


class _Maker:
    """Draws whole columns at a time, which is quick."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        week, self.weekday = divmod(int(rng.integers(250)), 5)
        self.at = 100 + 7 * week + self.weekday  # place of today among the dates
        self.today = _DATES[self.at]
        self.clock = f"{rng.integers(8, 11):02d}:{15 * rng.integers(4):02d}"

    def numbers(self, high: int, count: int) -> list[int]:
        return self.rng.integers(high, size=count).tolist()

    def pick(self, choices: tuple[Any, ...] | list[Any], count: int) -> list[Any]:
        return [choices[i] for i in self.numbers(len(choices), count)]

    def distinct(self, choices: tuple[str, ...], count: int) -> list[str]:
        return [choices[i] for i in self.rng.permutation(len(choices))[:count].tolist()]

    def ids(self, table: str, count: int) -> list[str]:
        """Ids in an order that tells nothing."""
        ids = _IDS[table]
        return [ids[i] for i in self.rng.permutation(len(ids))[:count].tolist()]

    def days(self, low: int, high: int, count: int) -> list[str]:
        """Dates, as days from today."""
        return [_DATES[self.at + low + i] for i in self.numbers(high - low, count)]

    def times(self, low: int, high: int, count: int, step: int = 30) -> list[str]:
        """Times of weekdays in office hours, each another one."""
        days = [_DATES[self.at + i] for i in range(low, high) if (self.weekday + i) % 7 < 5]
        clocks = _clocks(step)
        chosen = self.rng.permutation(len(days) * len(clocks))[:count].tolist()
        return [days[number // len(clocks)] + clocks[number % len(clocks)] for number in chosen]

    def hire(self, count: int) -> None:
        """The people; the first is whom the assistant works for."""
        firm, kind = self.pick(FIRM_NAMES, 1)[0], self.pick(FIRM_KINDS, 1)[0]
        self.domain = f"{firm}{kind}.example".lower()
        given, family = self.distinct(GIVEN_NAMES, count), self.distinct(FAMILY_NAMES, count)
        teams = [TEAMS[i % len(TEAMS)] for i in range(count)]
        self.people: list[Row] = [
            {"name": f"{first} {last}", "email": f"{first}.{last}@{self.domain}".lower(), "team": team}
            for first, last, team in zip(given, family, teams, strict=True)
        ]
        self.emails = [row["email"] for row in self.people]
        self.others = self.emails[1:]
        self.projects = self.distinct(FIRM_NAMES, 6)

    def mails(self, count: int) -> tuple[list[Any], ...]:
        return (
            self.ids("mails", count),
            self.pick(("inbox", "inbox", "inbox", "inbox", "archive", "sent"), count),
            self.pick(self.others, count),
            self.pick(TOPICS, count),
            self.pick(self.projects, count),
            self.pick(_REMARKS, count),
            self.times(-40, 0, count, step=10),
        )

    def events(self, count: int) -> tuple[list[Any], ...]:
        return (
            self.ids("events", count),
            self.pick(self.projects, count),
            self.pick(MEETINGS, count),
            self.times(-10, 15, count),
            self.pick(MINUTES, count),
            self.pick(PLACES, count),
            self.pick(self.others, count),
            self.pick(self.others, count),
            self.numbers(3, count),
        )

    def customers(self, count: int) -> tuple[list[Any], ...]:
        return (
            self.ids("customers", count),
            self.distinct(GIVEN_NAMES, count),
            self.distinct(FAMILY_NAMES, count),
            self.pick(FIRM_NAMES, count),
            self.pick(FIRM_KINDS, count),
            self.pick(self.emails, count),
            self.pick(STATUSES, count),
            self.pick(PRODUCTS, count),
            self.days(-90, 0, count),
            self.pick(_NOTES, count),
        )

    def tasks(self, count: int) -> tuple[list[Any], ...]:
        return (
            self.ids("tasks", count),
            self.pick(DEEDS, count),
            self.pick(PAPERS, count),
            self.pick(self.projects, count),
            self.pick(self.emails, count),
            self.pick(BOARDS, count),
            self.pick(STAGES, count),
            self.days(-20, 30, count),
        )

    def visits(self) -> list[Visits]:
        days = [_DATES[self.at + i] for i in range(-VISITED, 0) for _ in SOURCES]
        count = len(days)
        visits = self.numbers(40, count)
        engaged = [each * share // 20 for each, share in zip(visits, self.numbers(12, count), strict=True)]
        seconds = [each * (20 + mean) for each, mean in zip(visits, self.numbers(300, count), strict=True)]
        return list(zip(days, SOURCES * VISITED, visits, engaged, seconds, strict=True))


@dataclass(frozen=True, slots=True)
class _Columns:
    """Makes the rows of a table out of its columns, which takes as long as drawing these.

    Attributes:
        people: The people of the firm.
        columns: Columns by table.
    """

    people: list[Row]
    columns: dict[str, tuple[list[Any], ...]]

    def __call__(self, table: str) -> Table:
        if table not in self.columns:
            return {}
        rows: Iterator[Row] = getattr(self, table)(zip(*self.columns[table], strict=True))
        return {row["id"]: row for row in rows}

    def mails(self, columns: Iterable[tuple[Any, ...]]) -> Iterator[Row]:
        me, firsts = self.people[0]["email"], {row["email"]: row["name"].split()[0] for row in self.people}
        for key, folder, other, topic, project, remark, sent in columns:
            sender, to = (me, other) if folder == "sent" else (other, me)
            body = f"Hello {firsts[to]},\n\nabout {topic.lower()} for {project}: {remark}\n\n{firsts[sender]}"
            yield {"id": key, "folder": folder, "sender": sender, "to": to, "subject": f"{topic} for {project}",
                   "sent": sent, "body": body, "refers_to": None}  # fmt: skip

    def events(self, columns: Iterable[tuple[Any, ...]]) -> Iterator[Row]:
        for key, project, meeting, start, minutes, place, one, other, pair in columns:
            participants = [one, other] if pair == 0 and one != other else [one]
            yield {"id": key, "title": f"{project} {meeting}", "start": start, "minutes": minutes, "place": place,
                   "participants": participants, "notes": ""}  # fmt: skip

    def customers(self, columns: Iterable[tuple[Any, ...]]) -> Iterator[Row]:
        for key, first, last, firm, kind, owner, status, product, contact, note in columns:
            yield {"id": key, "name": f"{first} {last}", "company": f"{firm} {kind}",
                   "email": f"{first}@{firm}{kind}.example".lower(), "owner": owner, "status": status,
                   "product": product, "last_contact": contact, "note": note}  # fmt: skip

    def tasks(self, columns: Iterable[tuple[Any, ...]]) -> Iterator[Row]:
        for key, deed, paper, project, who, board, stage, due in columns:
            yield {"id": key, "title": f"{deed} the {paper} for {project}", "assignee": who, "board": board,
                   "stage": stage, "due": due, "note": ""}  # fmt: skip
