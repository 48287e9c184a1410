"""Goals about visits of the website, and conditions, which ask what is so before anything is done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from llmgym.envs.office import Desk
from llmgym.envs.office.dates import spoken
from llmgym.envs.office.world import SOURCES, STATUSES
from llmgym.envs.workplace.goals import Call, Kind, Picker, Solving, address

_Picked = tuple[dict[str, Any], str, list[Call]] | None

_FIGURES = {
    "visits": ("count_visits", "visits", "the number of visits"),
    "engaged visits": ("count_engaged_visits", "engaged_visits", "the number of engaged visits"),
    "average seconds": ("average_visit", "seconds", "the average seconds, rounded down, of the visits"),
}


def _pick_plot(picker: Picker) -> _Picked:
    (since, until), figure, kind = picker.span(), picker.one(tuple(_FIGURES)), picker.one(("line", "bar"))
    clause = picker.one(
        (
            f"make a {kind} plot of the {figure} from {spoken(since)} to {spoken(until)}",
            f"plot the {figure} between {spoken(since)} and {spoken(until)}, both included, as a {kind} plot",
        )
    )
    plot = {"figure": figure, "since": since, "until": until, "kind": kind}
    return plot, clause, [("create_plot", plot)]


def _plot(values: dict[str, Any]) -> Solving:
    yield "create_plot", values


def _pick_report(picker: Picker) -> _Picked:
    (since, until), figure, source = picker.span(), picker.one(tuple(_FIGURES)), picker.one(SOURCES)
    tool, key, said = _FIGURES[figure]
    span = {"since": since, "until": until, "source": source}
    number = getattr(Desk(picker.office), tool)(**span)[key]
    if number is None or not 1 <= number < 1000:
        return None
    to = picker.one(picker.others)
    name, subject = picker.named(to), f"{source.capitalize()} in {spoken(until).split()[1]}"
    clause = picker.one(
        (
            f'send {name} a mail with the subject "{subject}" whose text is {said} from the source "{source}" between '
            f"{spoken(since)} and {spoken(until)} (both included), as a number and nothing else",
            f'mail {name} {said} that came from the source "{source}" from {spoken(since)} to {spoken(until)}: subject '
            f'"{subject}", and the text only the number',
        )
    )
    calls: list[Call] = [("send_mail", {"to": to["email"], "subject": subject, "body": str(number)})]
    return {**span, "figure": figure, "who": name, "subject": subject}, clause, calls


def _report(values: dict[str, Any]) -> Solving:
    tool, key, _ = _FIGURES[values["figure"]]
    counted = yield tool, {name: values[name] for name in ("since", "until", "source")}
    to = yield from address(values["who"])
    yield "send_mail", {"to": to, "subject": values["subject"], "body": str(counted[key])}


KINDS = {
    "plot": Kind("website", _pick_plot, _plot, simple=True),
    "report": Kind("website", _pick_report, _report, simple=True),
}


@dataclass(frozen=True)
class Condition:
    """Something that is so or not.

    Attributes:
        area: Which tables it is about.
        pick: Picks one: what the request says of it, how that is said, and whether it is so.
        solve: Finds out with the tools.
    """

    area: str
    pick: Callable[[Picker], tuple[dict[str, Any], str, bool] | None]
    solve: Callable[[dict[str, Any]], Solving]


def _pick_visited(picker: Picker) -> tuple[dict[str, Any], str, bool] | None:
    (since, until), source = picker.span(), picker.one(SOURCES)
    span = {"since": since, "until": until, "source": source}
    visits = Desk(picker.office).count_visits(since, until, source)["visits"]
    is_so = picker.chance(0.5)
    limit = visits - picker.number(1, 9) if is_so else visits + picker.number(0, 8)
    if limit < 1:
        return None
    text = f'there were more than {limit} visits from the source "{source}" from {spoken(since)} to {spoken(until)}'
    return {**span, "limit": limit}, text, is_so


def _visited(values: dict[str, Any]) -> Solving:
    counted = yield "count_visits", {name: values[name] for name in ("since", "until", "source")}
    return counted["visits"] > values["limit"]


def _pick_busy(picker: Picker) -> tuple[dict[str, Any], str, bool] | None:
    who, stage = picker.one(picker.others), picker.one(("in progress", "in review", "backlog"))
    count = sum(row["assignee"] == who["email"] and row["stage"] == stage for row in picker.rows("tasks"))
    is_so = picker.chance(0.5)
    limit = count - 1 if is_so else count
    if limit < 1:
        return None
    name = picker.named(who)
    words = f"more than {limit} tasks" if limit > 1 else "more than one task"
    return {"who": name, "stage": stage, "limit": limit}, f'{name} has {words} in the stage "{stage}"', is_so


def _busy(values: dict[str, Any]) -> Solving:
    assignee = yield from address(values["who"])
    tasks = yield "search_tasks", {"assignee": assignee, "stage": values["stage"]}
    return tasks["found"] > values["limit"]


def _pick_status(picker: Picker) -> tuple[dict[str, Any], str, bool] | None:
    customer, is_so = picker.one(picker.rows("customers")), picker.chance(0.5)
    status = customer["status"] if is_so else picker.one([each for each in STATUSES if each != customer["status"]])
    values = {"name": customer["name"], "status": status}
    return values, f'the customer {customer["name"]} has the status "{status}"', is_so


def _status(values: dict[str, Any]) -> Solving:
    customers = yield "search_customers", {"text": values["name"]}
    return next(row["status"] for row in customers["rows"] if row["name"] == values["name"]) == values["status"]


def _pick_free(picker: Picker) -> tuple[dict[str, Any], str, bool] | None:
    date, called = picker.coming_day()
    count, is_so = sum(row["start"][:10] == date for row in picker.rows("events")), picker.chance(0.5)
    limit = count + 1 if is_so else count
    if limit < 2:
        return None
    return {"date": date, "limit": limit}, f"fewer than {limit} events start {called}", is_so


def _free(values: dict[str, Any]) -> Solving:
    events = yield "search_events", {"since": values["date"], "until": values["date"]}
    return events["found"] < values["limit"]


CONDITIONS = {
    "visited": Condition("website", _pick_visited, _visited),
    "busy": Condition("tasks", _pick_busy, _busy),
    "status": Condition("customers", _pick_status, _status),
    "free": Condition("events", _pick_free, _free),
}
