"""Requests: one goal or several, some of them on a condition, told in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from llmgym.envs.office.world import make_office
from llmgym.envs.workplace import customer_goals, event_goals, mail_goals, task_goals
from llmgym.envs.workplace.goals import Goal, Kind, Picker, Solving
from llmgym.envs.workplace.website_goals import CONDITIONS
from llmgym.envs.workplace.website_goals import KINDS as WEBSITE
from llmgym.tasks import Task

KINDS: dict[str, Kind] = {
    **mail_goals.KINDS, **event_goals.KINDS, **customer_goals.KINDS, **task_goals.KINDS, **WEBSITE,
}  # fmt: skip
AREAS = ("mails", "events", "customers", "tasks", "website")
_IDLE = 0.12  # share of conditional goals that have no "otherwise", and whose condition does not hold
_BY_AREA = {area: [name for name, kind in KINDS.items() if kind.area == area] for area in AREAS}
_SIMPLE = {area: [name for name in names if KINDS[name].simple] for area, names in _BY_AREA.items()}

_TOOLS = {
    "mails": (
        "find_people", "search_mails", "read_mail", "send_mail", "reply_mail", "forward_mail", "move_mail",
        "delete_mail",
    ),
    "events": (
        "find_people", "search_events", "read_event", "create_event", "update_event", "add_participant", "cancel_event",
    ),
    "customers": (
        "find_people", "search_customers", "read_customer", "add_customer", "update_customer", "delete_customer",
    ),
    "tasks": ("find_people", "search_tasks", "read_task", "create_task", "update_task", "delete_task"),
    "website": ("find_people", "send_mail", "count_visits", "count_engaged_visits", "average_visit", "create_plot"),
}  # fmt: skip

_OPENINGS = ("Please {}.", "{}.", "Can you {}?", "I need you to {}.", "{}, please.")
_NEXT = ("Then {}.", "Also, {}.", "After that, {}.", "And {}.")


@dataclass(frozen=True)
class Requests:
    """Makes tasks.

    Attributes:
        size: How large offices are.
        goals: Least and most goals of a request.
        conditional: How often one of them depends on a condition.
        simple: Only goals that take few calls.
    """

    size: str
    goals: tuple[int, int]
    conditional: float
    simple: bool

    def __call__(self, rng: np.random.Generator) -> Task:
        """Make a task."""
        seed = int(rng.integers(2**31))
        picker = Picker(rng, make_office(seed, self.size))
        areas = [AREAS[i] for i in rng.permutation(len(AREAS)).tolist()]
        count = picker.number(*self.goals)
        plan: list[list[Any]] = []
        calls: list[dict[str, Any]] = []
        said: list[str] = []
        if picker.chance(self.conditional):
            steps, text, made = self._conditional(picker, areas)
            plan.append(steps)
            said.append(text)
            calls.extend(made)
        while len(said) < count:
            goal = self._goal(picker, areas.pop())
            plan.append([goal.kind, goal.values])
            said.append(goal.clause)
            calls.extend(goal.calls)
        metadata = {"office": seed, "size": self.size, "plan": plan}
        return Task(prompt=_tell(picker, said), answer=calls, metadata=metadata)

    def _goal(self, picker: Picker, area: str) -> Goal:
        names = (_SIMPLE if self.simple else _BY_AREA)[area]
        while True:
            name = picker.one(names)
            if picked := KINDS[name].pick(picker):
                values, clause, made = picked
                return Goal(name, values, clause, [{"name": tool, "arguments": given} for tool, given in made])

    def _conditional(self, picker: Picker, areas: list[str]) -> tuple[list[Any], str, list[dict[str, Any]]]:
        """A goal, or else another one, on a condition of a third area; takes their areas from those that are left."""
        while True:
            name = picker.one(tuple(CONDITIONS))
            if picked := CONDITIONS[name].pick(picker):
                break
        values, text, is_so = picked
        areas.remove(CONDITIONS[name].area)
        then = self._goal(picker, areas.pop())
        if not is_so and picker.chance(_IDLE):
            words = picker.one(("if {0}, {1}; otherwise leave everything as it is", "{1}, but only if {0}"))
            return [name, values, [then.kind, then.values], None], words.format(text, then.clause), []
        otherwise = self._goal(picker, areas.pop())
        words = picker.one(("if {0}, {1}; otherwise {2}", "find out whether {0}: if so, {1}, and if not, {2}"))
        step = [name, values, [then.kind, then.values], [otherwise.kind, otherwise.values]]
        chosen = then if is_so else otherwise
        return step, words.format(text, then.clause, otherwise.clause), chosen.calls


def _tell(picker: Picker, said: list[str]) -> str:
    if len(said) > 1 and picker.chance(0.5):
        lines = [f"{number}. {_capital(text)}." for number, text in enumerate(said, 1)]
        return "\n".join([picker.one(("Please do the following:", "These are my wishes:", "To do:")), *lines])
    opening = picker.one(_OPENINGS)
    if said[0].startswith(("if ", "find out")) or "; " in said[0] or ": " in said[0]:
        opening = _OPENINGS[1]
    first = _capital(opening.format(said[0]))
    return " ".join([first, *(_capital(picker.one(_NEXT).format(text)) for text in said[1:])])


def _capital(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}"


def solve(plan: list[list[Any]]) -> Solving:
    """Do all goals of a plan with the tools."""
    for name, values, *branches in plan:
        if not branches:
            yield from KINDS[name].solve(values)
            continue
        is_so = yield from CONDITIONS[name].solve(values)
        if branch := branches[0 if is_so else 1]:
            yield from KINDS[branch[0]].solve(branch[1])


def tools_for(plan: list[list[Any]]) -> list[str]:
    """Names of the tools of the areas of a plan."""
    areas: list[str] = []
    for name, _, *branches in plan:
        areas.append(CONDITIONS[name].area if branches else KINDS[name].area)
        areas.extend(KINDS[branch[0]].area for branch in branches if branch)
    return list(dict.fromkeys(tool for area in areas for tool in _TOOLS[area]))
