"""Goals about customers."""

from __future__ import annotations

from typing import Any

from llmgym.envs.office.dates import later, spoken
from llmgym.envs.office.world import PRODUCTS, STATUSES
from llmgym.envs.vocabulary import FAMILY_NAMES, FIRM_KINDS, FIRM_NAMES, GIVEN_NAMES
from llmgym.envs.workplace.goals import Call, Kind, Picker, Solving, address, some

_Picked = tuple[dict[str, Any], str, list[Call]] | None


def _pick_hand_over(picker: Picker) -> _Picked:
    (one, other), status = picker.two(), picker.one(STATUSES)
    customers = some(
        row for row in picker.rows("customers") if row["owner"] == one["email"] and row["status"] == status
    )
    if customers is None:
        return None
    first, second = picker.named(one), picker.named(other)
    clause = picker.one(
        (
            f'make {second} the owner of all of {first}\'s customers with the status "{status}"',
            f'reassign every customer that {first} owns and whose status is "{status}" to {second}',
        )
    )
    calls = [("update_customer", {"customer_id": row["id"], "owner": other["email"]}) for row in customers]
    return {"who": first, "to": second, "status": status}, clause, calls


def _hand_over(values: dict[str, Any]) -> Solving:
    one = yield from address(values["who"])
    other = yield from address(values["to"])
    customers = yield "search_customers", {"owner": one, "status": values["status"]}
    for row in customers["rows"]:
        yield "update_customer", {"customer_id": row["id"], "owner": other}


def _pick_give_up(picker: Picker) -> _Picked:
    product, status = picker.one(PRODUCTS), picker.one(STATUSES[:3])
    date = later(picker.office.today, -picker.number(20, 70))
    customers = some(
        row
        for row in picker.rows("customers")
        if row["product"] == product and row["status"] == status and row["last_contact"] < date
    )
    if customers is None:
        return None
    clause = picker.one(
        (
            f'set the status of all customers interested in {product} that have the status "{status}" and were last '
            f'contacted before {spoken(date)} to "lost"',
            f'mark every customer interested in {product} with the status "{status}" and no contact on '
            f'{spoken(date)} or later as "lost"',
        )
    )
    calls = [("update_customer", {"customer_id": row["id"], "status": "lost"}) for row in customers]
    return {"product": product, "status": status, "before": date}, clause, calls


def _give_up(values: dict[str, Any]) -> Solving:
    until = later(values["before"], -1)
    wanted = {"product": values["product"], "status": values["status"], "contacted_until": until}
    customers = yield "search_customers", wanted
    for row in customers["rows"]:
        yield "update_customer", {"customer_id": row["id"], "status": "lost"}


def _pick_add(picker: Picker) -> _Picked:
    owner, name = picker.one(picker.others), f"{picker.one(GIVEN_NAMES)} {picker.one(FAMILY_NAMES)}"
    firm = f"{picker.one(FIRM_NAMES)} {picker.one(FIRM_KINDS)}"
    email = f"{name.split()[0]}@{firm.replace(' ', '')}.example".lower()
    product, status, who = picker.one(PRODUCTS), picker.one(STATUSES[:3]), picker.named(owner)
    clause = picker.one(
        (
            f'add {name} of {firm} ({email}) as a customer with the status "{status}", interested in {product} and '
            f"owned by {who}",
            f'enter a new customer: {name}, {firm}, {email}, product {product}, status "{status}", with {who} as the '
            "owner",
        )
    )
    customer = {"name": name, "company": firm, "email": email, "product": product, "status": status}
    return {**customer, "who": who}, clause, [("add_customer", {**customer, "owner": owner["email"]})]


def _add(values: dict[str, Any]) -> Solving:
    owner = yield from address(values["who"])
    yield "add_customer", {**{name: value for name, value in values.items() if name != "who"}, "owner": owner}


def _pick_note(picker: Picker) -> _Picked:
    customer, note = picker.one(picker.rows("customers")), picker.text()
    clause = picker.one(
        (
            f'replace the note on the customer {customer["name"]} by "{note}"',
            f'set the note of {customer["name"]} of {customer["company"]}, a customer, to "{note}"',
        )
    )
    calls: list[Call] = [("update_customer", {"customer_id": customer["id"], "note": note})]
    return {"name": customer["name"], "note": note}, clause, calls


def _note(values: dict[str, Any]) -> Solving:
    customers = yield "search_customers", {"text": values["name"]}
    customer = next(row for row in customers["rows"] if row["name"] == values["name"])
    yield "update_customer", {"customer_id": customer["id"], "note": values["note"]}


def _pick_drop(picker: Picker) -> _Picked:
    owner, status = picker.one(picker.others), picker.one(("lost", "won"))
    customers = some(
        row for row in picker.rows("customers") if row["owner"] == owner["email"] and row["status"] == status
    )
    if customers is None:
        return None
    name = picker.named(owner)
    clause = picker.one(
        (
            f'delete all of {name}\'s customers with the status "{status}"',
            f'remove every customer that {name} owns and whose status is "{status}"',
        )
    )
    return (
        {"who": name, "status": status},
        clause,
        [("delete_customer", {"customer_id": row["id"]}) for row in customers],
    )


def _drop(values: dict[str, Any]) -> Solving:
    owner = yield from address(values["who"])
    customers = yield "search_customers", {"owner": owner, "status": values["status"]}
    for row in customers["rows"]:
        yield "delete_customer", {"customer_id": row["id"]}


KINDS = {
    "hand_over": Kind("customers", _pick_hand_over, _hand_over),
    "give_up": Kind("customers", _pick_give_up, _give_up),
    "add_customer": Kind("customers", _pick_add, _add, simple=True),
    "note": Kind("customers", _pick_note, _note, simple=True),
    "drop": Kind("customers", _pick_drop, _drop),
}
