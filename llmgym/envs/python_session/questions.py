"""Questions about records: which of them, and what of these; in words, and as Python that answers them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np

from llmgym.envs.python_session.records import THEMES, Record, Theme, apart, draw_records, untidied
from llmgym.errors import ConfigError
from llmgym.tasks import Task

_TRIES = 200
_FEWEST = 4  # records that a question is about
_NAMES: dict[str, Any] = {"date": date}
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
_ENDS = ("Give the number at the end of your reply.", "End your reply with the number.", "State the number last.")

_Choice = tuple[str, str]  # in words, and as Python


def _pick(rng: np.random.Generator, choices: Sequence[Any]) -> Any:
    return choices[int(rng.integers(len(choices)))]


def _draw_filter(rng: np.random.Generator, t: Theme, records: list[Record], *, homes: bool) -> _Choice:
    """A condition on the record `r`, which some of the records meet."""
    one, other = _pick(rng, records), _pick(rng, records)
    month, year = int(one["date"][5:7]), one["date"][:4]
    choices: list[_Choice] = [
        (f"whose {t.place} is {one[t.place]}", f"r[{t.place!r}] == {one[t.place]!r}"),
        (f"whose {t.place} is not {one[t.place]}", f"r[{t.place!r}] != {one[t.place]!r}"),
        (f"whose {t.thing} is not {one[t.thing]}", f"r[{t.thing!r}] != {one[t.thing]!r}"),
        (f"whose {t.person} is not {one[t.person]}", f"r[{t.person!r}] != {one[t.person]!r}"),
        (f"whose {t.count} is at least {one[t.count]}", f"r[{t.count!r}] >= {one[t.count]}"),
        (f"whose {t.price} is below {one[t.price]}", f"r[{t.price!r}] < {one[t.price]}"),
        (f"whose date is before {one['date']}", f"r['date'] < {one['date']!r}"),
        (f"whose date is in {year}", f"r['date'][:4] == {year!r}"),
        (f"whose date is not in {_MONTHS[month - 1]}, of any year", f"int(r['date'][5:7]) != {month}"),
    ]
    if one[t.thing] != other[t.thing]:
        names = one[t.thing], other[t.thing]
        choices.append((f"whose {t.thing} is {names[0]} or {names[1]}", f"r[{t.thing!r}] in {names!r}"))
    if homes:
        choices += 3 * [(f"whose {t.person} has the home {one['home']}", f"r['home'] == {one['home']!r}")]
    return _pick(rng, choices)


def _draw_aggregate(rng: np.random.Generator, t: Theme, picked: list[Record]) -> _Choice:
    """Something that is one number of the records `picked`."""
    total = f"r[{t.count!r}] * r[{t.price!r}]"
    meant = f"the {t.total}, which is {t.count} times {t.price},"
    goal = int(sum(r[t.count] * r[t.price] for r in picked) * 0.6) // 50 * 50
    top = int(rng.integers(2, 4))
    column = _pick(rng, (t.person, t.thing, t.place))
    groups = f"[sum({total} for r in picked if r[{column!r}] == key) for key in {{r[{column!r}] for r in picked}}]"
    ordered = "sorted(picked, key=lambda r: r['id'])"
    sums = f"sum(s[{t.count!r}] * s[{t.price!r}] for s in picked if s['id'] <= r['id'])"
    return _pick(
        rng,
        (
            (f"What is the sum of {meant} over all of them?", f"sum({total} for r in picked)"),
            (
                f"What is the sum of {meant} over the {top} of them with the largest {t.total}?",
                f"sum(sorted({total} for r in picked)[-{top}:])",
            ),
            (
                f"Add up {meant} for each {column}. How large is the largest of these sums?",
                f"max({groups})",
            ),
            (
                f"Add up {meant} for each {column} that occurs in them. How much larger is the largest of these sums "
                "than the smallest?",
                f"max({groups}) - min({groups})",
            ),
            (
                f"Go through them in ascending order of their id, adding up {meant} as you go. What is the id of the "
                f"one with which the sum first reaches {goal} or more?",
                f"next(r['id'] for r in {ordered} if {sums} >= {goal})",
            ),
            (
                "How many days after the earliest of their dates is the latest one?",
                "(date.fromisoformat(max(r['date'] for r in picked)) - "
                "date.fromisoformat(min(r['date'] for r in picked))).days",
            ),
            (
                f"Add up {meant} of those with an even id, and subtract it for those with an odd id. What comes out?",
                f"sum(({total}) * (-1) ** r['id'] for r in picked)",
            ),
            (
                f"What is the sum of {t.price} times the day of the month of the date, over all of them?",
                f"sum(r[{t.price!r}] * int(r['date'][8:]) for r in picked)",
            ),
        ),
    )


@dataclass(frozen=True)
class Problems:
    """Makes tasks.

    Attributes:
        records: How many records there are.
        questions: Questions of a task, each about some of the records of the one before.
        filters: Conditions of the first question.
        untidy: Whether the records are kept carelessly.
        joined: Whether persons are kept apart from the records.
    """

    records: int
    questions: int
    filters: int
    untidy: bool
    joined: bool

    def __post_init__(self) -> None:
        """Refuse what cannot be.

        Raises:
            ConfigError: An argument is out of range.
        """
        for name, low, high in (("records", 12, 500), ("questions", 1, 4), ("filters", 0, 3)):
            if not low <= (value := getattr(self, name)) <= high:
                raise ConfigError(f"{name} is {value!r}; it must be from {low} to {high}")

    def __call__(self, rng: np.random.Generator) -> Task:
        """Make one."""
        theme: Theme = _pick(rng, THEMES)
        records = draw_records(rng, theme, self.records)
        for _ in range(_TRIES):
            if asked := self._ask(rng, theme, records):
                return self._task(rng, theme, records, *asked)
        raise RuntimeError(f"no questions about {self.records} records came up in {_TRIES} tries")

    def _ask(
        self, rng: np.random.Generator, theme: Theme, records: list[Record]
    ) -> tuple[list[str], list[int], list[str]] | None:
        """Questions, answers and cells; None where what came up says too little."""
        said, answers, cells = list[str](), list[int](), list[str]()
        picked = records
        for number in range(self.questions):
            filters = [
                _draw_filter(rng, theme, picked, homes=self.joined) for _ in range(self.filters if number == 0 else 1)
            ]
            before, source = len(picked), "rows" if number == 0 else "picked"
            for _, code in filters:
                keep: Callable[[Record], bool] = eval(f"lambda r: {code}")
                kept = [record for record in picked if keep(record)]
                if len(kept) == len(picked):
                    return None
                picked = kept
            if len(picked) < _FEWEST or (number and len(picked) == before):
                return None
            question, code = _draw_aggregate(rng, theme, picked)
            answers.append(eval(code, _NAMES | {"picked": picked}))
            said.append(f"{_which(theme, [words for words, _ in filters], first=number == 0)} {question}")
            condition = " and ".join(f"({code})" for _, code in filters)
            cells.append(f"picked = [r for r in {source}{f' if {condition}' if condition else ''}]\n{code}")
        texts = " ".join(said)
        if 0 in answers or len(set(answers)) < len(answers) or any(str(answer) in texts for answer in answers):
            return None
        return said, answers, cells

    def _task(
        self,
        rng: np.random.Generator,
        theme: Theme,
        records: list[Record],
        said: list[str],
        answers: list[int],
        cells: list[str],
    ) -> Task:
        rows, variables = records, dict[str, Any]()
        if self.joined:
            rows, variables[theme.people] = apart(rows, theme)
        if self.untidy:
            rows = untidied(rng, rows, theme)
        variables[theme.name] = [{name: value for name, value in row.items() if name != "home"} for row in rows]
        first, *others = (f"{question} {_pick(rng, _ENDS)}" for question in said)
        more = f" There are {len(said)} questions, one after the other; this is the first." if others else ""
        prompt = f"{_told(theme, variables, untidy=self.untidy)}{more}\n\n{first}"
        cells[0] = f"{_tidying(theme, untidy=self.untidy, joined=self.joined)}\n{cells[0]}"
        metadata = {"variables": variables, "follow_ups": others, "cells": cells}
        return Task(prompt=prompt, answer=answers, metadata=metadata)


def _which(theme: Theme, filters: list[str], *, first: bool) -> str:
    """The sentence that says which records a question is about."""
    if not filters:
        return f"Take all {theme.name}."
    those = ", and ".join(filters)
    return (
        f"Take the {theme.name} {those}." if first else f"Of the {theme.name} of the last question, take those {those}."
    )


def _told(theme: Theme, variables: dict[str, Any], *, untidy: bool) -> str:
    """What there is in the session."""
    rows = variables[theme.name]
    columns = ", ".join(f"{name!r} ({type(value).__name__})" for name, value in rows[0].items())
    lines = [f"A Python session holds `{theme.name}`, a list of {len(rows)} dicts with the keys {columns}."]
    if theme.people in variables:
        lines.append(
            f"It holds `{theme.people}` too, a list of dicts with the keys 'id' (int), 'name' (str) and 'home' (str): "
            f"the 'person_id' of {theme.name} is the 'id' of their {theme.person}."
        )
    if untidy:
        lines.append(
            f"The {theme.name} were kept carelessly: some are there twice, with the same id, and count once; upper and "
            f"lower case and blanks around it make no difference to the {theme.place}; the {theme.price} is text "
            "with a number and a currency."
        )
    return " ".join(lines)


def _tidying(theme: Theme, *, untidy: bool, joined: bool) -> str:
    """The cell that makes `rows` as they were before they were untidied and taken apart."""
    t, lines = theme, [f"from datetime import date\nrows = {theme.name}"]
    if untidy:
        lines += [
            "rows = list({r['id']: r for r in rows}.values())",
            f"rows = [{{**r, {t.place!r}: r[{t.place!r}].strip().title()}} for r in rows]",
            f"rows = [{{**r, {t.price!r}: int(r[{t.price!r}].split()[0])}} for r in rows]",
        ]
    if joined:
        lines += [
            f"people = {{p['id']: p for p in {t.people}}}",
            f"home = lambda p: {{{t.person!r}: p['name'], 'home': p['home']}}",
            "rows = [{**r, **home(people[r['person_id']])} for r in rows]",
        ]
    return "\n".join(lines)
