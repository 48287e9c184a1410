"""Goals about mails."""

from __future__ import annotations

from typing import Any

from llmgym.envs.office.dates import later, spoken
from llmgym.envs.office.world import TEAMS
from llmgym.envs.workplace.goals import Call, Kind, Picker, Solving, address, some

_Picked = tuple[dict[str, Any], str, list[Call]] | None


def _pick_reply(picker: Picker) -> _Picked:
    who = picker.one(picker.others)
    mails = sorted((row for row in picker.rows("mails") if row["sender"] == who["email"]), key=lambda row: row["sent"])
    if len(mails) < 2:
        return None
    name, body = picker.named(who), picker.text()
    clause = picker.one(
        (
            f'reply to the last mail from {name} with "{body}"',
            f'answer {name}\'s latest mail with "{body}"',
            f'reply "{body}" to the most recent mail that {name} sent me',
        )
    )
    return {"who": name, "body": body}, clause, [("reply_mail", {"mail_id": mails[-1]["id"], "body": body})]


def _reply(values: dict[str, Any]) -> Solving:
    mails = yield "search_mails", {"sender": (yield from address(values["who"]))}
    yield "reply_mail", {"mail_id": mails["rows"][0]["id"], "body": values["body"]}


def _pick_forward(picker: Picker) -> _Picked:
    mail = picker.one(picker.rows("mails"))
    if mail["sender"] == picker.office.me["email"]:
        return None
    sender = picker.office.people[mail["sender"]]
    same = [row for row in picker.rows("mails") if (row["sender"], row["subject"]) == (mail["sender"], mail["subject"])]
    to = picker.one([row for row in picker.others if row is not sender])
    last = max(same, key=lambda row: row["sent"])
    one, other, subject = picker.named(sender), picker.named(to), mail["subject"]
    clause = picker.one(
        (
            f'forward the last mail "{subject}" from {one} to {other}',
            f'send {other} a forward of {one}\'s latest mail with the subject "{subject}"',
            f'pass the most recent mail from {one} with the subject "{subject}" on to {other} by forwarding it',
        )
    )
    values = {"who": one, "subject": subject, "to": other}
    return values, clause, [("forward_mail", {"mail_id": last["id"], "to": to["email"]})]


def _forward(values: dict[str, Any]) -> Solving:
    mails = yield "search_mails", {"sender": (yield from address(values["who"])), "text": values["subject"]}
    mail = next(row for row in mails["rows"] if row["subject"] == values["subject"])
    yield "forward_mail", {"mail_id": mail["id"], "to": (yield from address(values["to"]))}


def _pick_delete(picker: Picker) -> _Picked:
    who, date = picker.one(picker.others), later(picker.office.today, -picker.number(5, 25))
    mails = some(
        row
        for row in picker.rows("mails")
        if row["sender"] == who["email"] and row["folder"] == "inbox" and row["sent"] < date
    )
    if mails is None:
        return None
    name = picker.named(who)
    clause = picker.one(
        (
            f"delete all mails from {name} in the inbox that were sent before {spoken(date)}",
            f"clear the inbox of everything that {name} sent before {spoken(date)}, by deleting it",
        )
    )
    return {"who": name, "before": date}, clause, [("delete_mail", {"mail_id": row["id"]}) for row in mails]


def _delete(values: dict[str, Any]) -> Solving:
    sender = yield from address(values["who"])
    mails = yield "search_mails", {"sender": sender, "folder": "inbox", "until": later(values["before"], -1)}
    for row in mails["rows"]:
        yield "delete_mail", {"mail_id": row["id"]}


def _pick_archive(picker: Picker) -> _Picked:
    subject = picker.one(picker.rows("mails"))["subject"]
    mails = some(row for row in picker.rows("mails") if row["subject"] == subject and row["folder"] == "inbox")
    if mails is None:
        return None
    clause = picker.one(
        (
            f'move every mail in the inbox with the subject "{subject}" to the archive',
            f'archive all inbox mails whose subject is "{subject}"',
        )
    )
    calls = [("move_mail", {"mail_id": row["id"], "folder": "archive"}) for row in mails]
    return {"subject": subject}, clause, calls


def _archive(values: dict[str, Any]) -> Solving:
    mails = yield "search_mails", {"text": values["subject"], "folder": "inbox"}
    for row in mails["rows"]:
        if row["subject"] == values["subject"]:
            yield "move_mail", {"mail_id": row["id"], "folder": "archive"}


def _pick_send(picker: Picker) -> _Picked:
    team = picker.one([team for team in TEAMS if team != picker.office.me["team"]])
    people = some(row for row in picker.others if row["team"] == team)
    if people is None:
        return None
    subject, body = picker.one(picker.rows("mails"))["subject"], picker.text()
    who = f"everyone in the {team} team" if len(people) > 1 else f"the colleague in the {team} team"
    each = "a mail of their own" if len(people) > 1 else "a mail"
    clause = picker.one(
        (
            f'send {who} {each} with the subject "{subject}" and the text "{body}"',
            f'write {each} to {who}, with the subject "{subject}" and the text "{body}"',
        )
    )
    calls = [("send_mail", {"to": row["email"], "subject": subject, "body": body}) for row in people]
    return {"team": team, "subject": subject, "body": body}, clause, calls


def _send(values: dict[str, Any]) -> Solving:
    people = yield "find_people", {"team": values["team"]}
    for row in people["rows"]:
        yield "send_mail", {"to": row["email"], "subject": values["subject"], "body": values["body"]}


KINDS = {
    "reply": Kind("mails", _pick_reply, _reply, simple=True),
    "forward": Kind("mails", _pick_forward, _forward),
    "delete_mails": Kind("mails", _pick_delete, _delete),
    "archive": Kind("mails", _pick_archive, _archive, simple=True),
    "send": Kind("mails", _pick_send, _send, simple=True),
}
