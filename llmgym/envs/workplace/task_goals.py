"""Goals about tasks."""

from __future__ import annotations

from typing import Any

from llmgym.envs.office.dates import later
from llmgym.envs.office.world import BOARDS, DEEDS
from llmgym.envs.vocabulary import THINGS
from llmgym.envs.workplace.goals import Call, Kind, Picker, Solving, address, some

_Picked = tuple[dict[str, Any], str, list[Call]] | None


def _pick_rescue(picker: Picker) -> _Picked:
    (one, other), today = picker.two(), picker.office.today
    tasks = some(
        row
        for row in picker.rows("tasks")
        if row["assignee"] == one["email"] and row["due"] < today and row["stage"] != "done"
    )
    if tasks is None:
        return None
    first, second = picker.named(one), picker.named(other)
    clause = picker.one(
        (
            f"reassign all of {first}'s overdue tasks to {second} (overdue: due before today and not done)",
            f"give every task of {first} that was due before today and is not done to {second}",
        )
    )
    calls = [("update_task", {"task_id": row["id"], "assignee": other["email"]}) for row in tasks]
    return {"who": first, "to": second, "today": today}, clause, calls


def _rescue(values: dict[str, Any]) -> Solving:
    one = yield from address(values["who"])
    other = yield from address(values["to"])
    tasks = yield "search_tasks", {"assignee": one, "due_until": later(values["today"], -1)}
    for row in tasks["rows"]:
        if row["stage"] != "done":
            yield "update_task", {"task_id": row["id"], "assignee": other}


def _pick_close(picker: Picker) -> _Picked:
    who = picker.one(picker.others)
    tasks = some(row for row in picker.rows("tasks") if row["assignee"] == who["email"] and row["stage"] == "in review")
    if tasks is None:
        return None
    name = picker.named(who)
    clause = picker.one(
        (
            f'move all of {name}\'s tasks that are in the stage "in review" to "done"',
            f'set every task of {name} that is "in review" to the stage "done"',
        )
    )
    return {"who": name}, clause, [("update_task", {"task_id": row["id"], "stage": "done"}) for row in tasks]


def _close(values: dict[str, Any]) -> Solving:
    tasks = yield "search_tasks", {"assignee": (yield from address(values["who"])), "stage": "in review"}
    for row in tasks["rows"]:
        yield "update_task", {"task_id": row["id"], "stage": "done"}


def _pick_create(picker: Picker) -> _Picked:
    who, board, (date, when) = picker.one(picker.others), picker.one(BOARDS), picker.coming_day()
    title, name = f"{picker.one(DEEDS)} the {picker.one(THINGS)} page", picker.named(who)
    clause = picker.one(
        (
            f'create a task "{title}" for {name} in the backlog of the {board} board, due {when}',
            f'put a task "{title}" on the {board} board, in the backlog, for {name}; it is due {when}',
        )
    )
    task = {"title": title, "board": board, "due": date, "stage": "backlog"}
    return {**task, "who": name}, clause, [("create_task", {**task, "assignee": who["email"]})]


def _create(values: dict[str, Any]) -> Solving:
    assignee = yield from address(values["who"])
    yield "create_task", {**{name: value for name, value in values.items() if name != "who"}, "assignee": assignee}


def _pick_postpone(picker: Picker) -> _Picked:
    task, weeks = picker.unique("tasks", "title"), picker.number(1, 3)
    if task is None:
        return None
    long = "one week" if weeks == 1 else f"{weeks} weeks"
    clause = picker.one(
        (
            f'put off the due date of the task "{task["title"]}" by {long}',
            f'make the task "{task["title"]}" due {long} later than it is now',
        )
    )
    calls: list[Call] = [("update_task", {"task_id": task["id"], "due": later(task["due"], 7 * weeks)})]
    return {"title": task["title"], "weeks": weeks}, clause, calls


def _postpone(values: dict[str, Any]) -> Solving:
    tasks = yield "search_tasks", {"text": values["title"]}
    task = next(row for row in tasks["rows"] if row["title"] == values["title"])
    yield "update_task", {"task_id": task["id"], "due": later(task["due"], 7 * values["weeks"])}


def _pick_prune(picker: Picker) -> _Picked:
    who, board = picker.one(picker.others), picker.one(BOARDS)
    tasks = some(
        row
        for row in picker.rows("tasks")
        if row["assignee"] == who["email"] and row["board"] == board and row["stage"] == "backlog"
    )
    if tasks is None:
        return None
    name = picker.named(who)
    clause = picker.one(
        (
            f"delete all of {name}'s tasks in the backlog of the {board} board",
            f"remove every backlog task of {name} from the {board} board by deleting it",
        )
    )
    return {"who": name, "board": board}, clause, [("delete_task", {"task_id": row["id"]}) for row in tasks]


def _prune(values: dict[str, Any]) -> Solving:
    assignee = yield from address(values["who"])
    tasks = yield "search_tasks", {"assignee": assignee, "board": values["board"], "stage": "backlog"}
    for row in tasks["rows"]:
        yield "delete_task", {"task_id": row["id"]}


KINDS = {
    "rescue": Kind("tasks", _pick_rescue, _rescue),
    "close_tasks": Kind("tasks", _pick_close, _close),
    "create_task": Kind("tasks", _pick_create, _create, simple=True),
    "postpone": Kind("tasks", _pick_postpone, _postpone, simple=True),
    "prune": Kind("tasks", _pick_prune, _prune),
}
