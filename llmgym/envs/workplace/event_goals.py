"""Goals about the calendar."""

from __future__ import annotations

from typing import Any

from llmgym.envs.office.dates import WEEKDAYS, day, later, next_weekday, spoken
from llmgym.envs.office.tables import Row
from llmgym.envs.office.world import MEETINGS, MINUTES, PLACES
from llmgym.envs.vocabulary import THINGS
from llmgym.envs.workplace.goals import Call, Kind, Picker, Solving, address, some

_Picked = tuple[dict[str, Any], str, list[Call]] | None


def _coming(picker: Picker) -> list[Row]:
    return [row for row in picker.rows("events") if row["start"][:10] > picker.office.today]


def _pick_move(picker: Picker) -> _Picked:
    event = picker.unique("events", "title")
    if event is None or event["start"][:10] <= picker.office.today:
        return None
    (date, when), clock = picker.coming_day(), picker.clock()
    start = f"{date} {clock}"
    if start == event["start"]:
        return None
    clause = picker.one(
        (
            f"move the {event['title']} so that it starts {when} at {clock}",
            f"reschedule the {event['title']}: it is to start {when} at {clock}",
        )
    )
    calls: list[Call] = [("update_event", {"event_id": event["id"], "start": start})]
    return {"title": event["title"], "start": start}, clause, calls


def _move(values: dict[str, Any]) -> Solving:
    events = yield "search_events", {"text": values["title"]}
    event = next(row for row in events["rows"] if row["title"] == values["title"])
    yield "update_event", {"event_id": event["id"], "start": values["start"]}


def _pick_rename(picker: Picker) -> _Picked:
    date = picker.one(_coming(picker) or picker.rows("events"))["start"][:10]
    events = sorted((row for row in picker.rows("events") if row["start"][:10] == date), key=lambda row: row["start"])
    if len(events) < 2:
        return None
    last = picker.chance(0.5)
    title = f"{picker.one(THINGS).capitalize()} {picker.one(MEETINGS)}"
    which = picker.one(("last", "latest")) if last else picker.one(("first", "earliest"))
    when = f"{WEEKDAYS[day(date).weekday()]}, {spoken(date)}"
    clause = picker.one(
        (
            f'rename the {which} event on {when} to "{title}"',
            f'change the title of the event that starts {which} on {when} to "{title}"',
        )
    )
    calls: list[Call] = [("update_event", {"event_id": events[-1 if last else 0]["id"], "title": title})]
    return {"date": date, "last": last, "title": title}, clause, calls


def _rename(values: dict[str, Any]) -> Solving:
    events = yield "search_events", {"since": values["date"], "until": values["date"]}
    yield "update_event", {"event_id": events["rows"][-1 if values["last"] else 0]["id"], "title": values["title"]}


def _pick_create(picker: Picker) -> _Picked:
    people = picker.two()[: picker.number(1, 2)]
    names = [picker.named(row) for row in people]
    (date, when), clock = picker.coming_day(), picker.clock()
    minutes, place = picker.one(MINUTES), picker.one(PLACES)
    title = f"{picker.one(THINGS).capitalize()} {picker.one(MEETINGS)}"
    whom, where = (
        " and ".join(names),
        "online" if place == "Online" else f"in {place}" if place[0] == "R" else f"in the {place}",
    )
    clause = picker.one(
        (
            f'create a {minutes}-minute event "{title}" with {whom} {when} at {clock}, {where}',
            f'set up "{title}" with {whom}, {when} at {clock}, {where}; it takes {minutes} minutes',
        )
    )
    event = {"title": title, "start": f"{date} {clock}", "minutes": minutes, "place": place}
    calls: list[Call] = [("create_event", {**event, "participants": [row["email"] for row in people]})]
    return {**event, "who": names}, clause, calls


def _create(values: dict[str, Any]) -> Solving:
    participants: list[str] = []
    for name in values["who"]:
        participants.append((yield from address(name)))  # noqa: PERF401 -- no comprehension can yield
    event = {name: values[name] for name in ("title", "start", "minutes", "place")}
    yield "create_event", {**event, "participants": participants}


def _pick_cancel(picker: Picker) -> _Picked:
    who, monday = picker.one(picker.others), next_weekday(picker.office.today, 0)
    events = some(
        row
        for row in picker.rows("events")
        if who["email"] in row["participants"] and monday <= row["start"][:10] <= later(monday, 4)
    )
    if events is None:
        return None
    name = picker.named(who)
    clause = picker.one(
        (
            f"cancel all events of next week in which {name} takes part",
            f"take every event with {name} in the week from Monday, {spoken(monday)} out of the calendar",
        )
    )
    return {"who": name, "monday": monday}, clause, [("cancel_event", {"event_id": row["id"]}) for row in events]


def _cancel(values: dict[str, Any]) -> Solving:
    who = yield from address(values["who"])
    events = yield "search_events", {"participant": who, "since": values["monday"], "until": later(values["monday"], 6)}
    for row in events["rows"]:
        yield "cancel_event", {"event_id": row["id"]}


def _pick_invite(picker: Picker) -> _Picked:
    event, who = picker.unique("events", "title"), picker.one(picker.others)
    if event is None or who["email"] in event["participants"]:
        return None
    name = picker.named(who)
    clause = picker.one(
        (f"invite {name} to the {event['title']}", f"add {name} to the participants of the {event['title']}")
    )
    calls: list[Call] = [("add_participant", {"event_id": event["id"], "participant": who["email"]})]
    return {"title": event["title"], "who": name}, clause, calls


def _invite(values: dict[str, Any]) -> Solving:
    who = yield from address(values["who"])
    events = yield "search_events", {"text": values["title"]}
    event = next(row for row in events["rows"] if row["title"] == values["title"])
    yield "add_participant", {"event_id": event["id"], "participant": who}


KINDS = {
    "move_event": Kind("events", _pick_move, _move, simple=True),
    "rename_event": Kind("events", _pick_rename, _rename, simple=True),
    "create_event": Kind("events", _pick_create, _create, simple=True),
    "cancel_events": Kind("events", _pick_cancel, _cancel),
    "invite": Kind("events", _pick_invite, _invite, simple=True),
}
