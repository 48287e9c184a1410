"""An online shop: orders are cancelled, items returned, addresses changed, or not."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from llmgym.envs.customer_service.desk import (
    Decision,
    Domain,
    Rng,
    Row,
    Tables,
    Wish,
    days,
    draw_customers,
    money,
    pick,
    some,
)
from llmgym.envs.vocabulary import PLACES, THINGS

_CATEGORIES = ("household", "garden", "music", "travel", "clothing", "office")
_STREETS = ("Mill Lane", "Station Road", "High Street", "Park Avenue", "Harbour Street", "Church Lane", "Elm Street")
_STATUS = ("processing", "packed", "shipped", "delivered", "delivered", "delivered")
_CITIES = 6  # of a world, of which the first five are delivered to


def draw(rng: Rng, today: date) -> tuple[Tables, dict[str, Any]]:
    """Make customers with orders, and the numbers of the policy."""
    cities = some(rng, PLACES, _CITIES)
    policy: dict[str, Any] = {
        "return_days": pick(rng, (14, 20, 30, 45)),
        "gold_days": pick(rng, (5, 10, 15)),
        "no_return": some(rng, _CATEGORIES, 2),
        "return_fee": pick(rng, (2.5, 3.75, 4.5, 6.25)),
        "packed_fee": pick(rng, (5.25, 7.5, 8.75)),
        "cities": cities[: _CITIES - 1],
        "limit": pick(rng, (120, 150, 180, 220)),
    }
    customers = draw_customers(rng, 4)
    owners = [name for index, name in enumerate(customers) for _ in range(5 if index == 0 else 2)]
    numbers = [f"W{number}" for number in some(rng, range(1000, 10_000), len(owners))]
    things = iter(some(rng, THINGS, 3 * len(owners)))
    orders: dict[str, Row] = {}
    for number, owner in zip(numbers, owners, strict=True):
        items: list[Row] = [
            {"name": next(things), "category": pick(rng, _CATEGORIES), "price": _price(rng), "status": "kept"}
            for _ in range(int(rng.integers(1, 4)))
        ]
        status = pick(rng, _STATUS)
        # Around the last day that an item can be returned on.
        age = policy["return_days"] + pick(rng, (-9, -4, -1, 0, 1, 2, policy["gold_days"], policy["gold_days"] + 1))
        orders[number] = {
            "customer": owner,
            "status": status,
            "delivered": (today - timedelta(days=int(age))).isoformat() if status == "delivered" else None,
            "street": f"{int(rng.integers(1, 99))} {pick(rng, _STREETS)}",
            "city": pick(rng, policy["cities"]),
            "items": items,
            "total": round(sum(item["price"] for item in items), 2),
            "refund": 0.0,
        }
    return {"customers": customers, "orders": dict(sorted(orders.items())), "handovers": {}}, policy


def _price(rng: Rng) -> float:
    return int(rng.integers(40, 500)) / 4


def describe(policy: Mapping[str, Any], today: date) -> str:
    """The policy in words."""
    window = policy["return_days"]
    return "\n".join(
        [
            f"You serve the customers of an online shop. Today is {today.isoformat()}.",
            "- Ask for the customer's email first and find the customer by it. Show and change only orders of this "
            "customer; a wish about anybody else's order is refused, whatever the reason.",
            "- An order can be cancelled while its status is processing or packed. All of its total is paid back, but "
            f"for a packed order {money(policy['packed_fee'])} less, unless the customer's level is gold.",
            f"- A single item can be returned when its order was delivered at most {window} days ago, or at most "
            f"{window + policy['gold_days']} days ago where the customer's level is gold. Its price is paid back, less "
            f"a fee of {money(policy['return_fee'])}; gold customers pay no fee. Items of the categories "
            f"{' and '.join(policy['no_return'])} cannot be returned.",
            "- The address of an order can be changed while its status is processing, to an address in "
            f"{', '.join(policy['cities'][:-1])} or {policy['cities'][-1]}; nowhere else is delivered to.",
            f"- Where more than {money(policy['limit'])} would be paid back, do not cancel or return anything: call "
            "hand_over with the number of the order, for a supervisor to do it. Hand over nothing else.",
            "- Refuse everything else, and make no exceptions.",
        ]
    )


def decide(policy: Mapping[str, Any], today: date, tables: Tables, customer: str, wish: Wish) -> Decision:
    """What the policy says of a wish."""
    order = tables["orders"][wish["target"]]
    if order["customer"] != customer:
        return Decision("deny", reason="it is not an order of yours")
    gold = tables["customers"][customer]["level"] == "gold"
    if wish["kind"] == "address":
        if order["status"] != "processing":
            return Decision("deny", reason=f"it is {order['status']} already")
        fine = wish["city"] in policy["cities"]
        return Decision("allow") if fine else Decision("deny", reason=f"we do not deliver to {wish['city']}")
    if wish["kind"] == "cancel":
        if order["status"] not in ("processing", "packed"):
            return Decision("deny", reason=f"it is {order['status']} already")
        fee = policy["packed_fee"] if order["status"] == "packed" and not gold else 0.0
        return _paid_back(policy, order["total"] - fee)
    item = next(item for item in order["items"] if item["name"] == wish["item"])
    window = policy["return_days"] + (policy["gold_days"] if gold else 0)
    if order["status"] != "delivered":
        return Decision("deny", reason="it has not been delivered")
    if days(order["delivered"], today) > window:
        return Decision("deny", reason=f"it was delivered more than {window} days ago")
    if item["category"] in policy["no_return"]:
        return Decision("deny", reason=f"items of the category {item['category']} cannot be returned")
    return _paid_back(policy, item["price"] - (0.0 if gold else policy["return_fee"]))


def _paid_back(policy: Mapping[str, Any], amount: float) -> Decision:
    amount = round(amount, 2)
    if amount > policy["limit"]:
        return Decision("hand_over", reason=f"more than {money(policy['limit'])} would be paid back")
    return Decision("allow", amount)


def wishes(rng: Rng, policy: Mapping[str, Any], today: date, tables: Tables, customer: str) -> list[Wish]:
    """Wishes about each order of the customer, and about some of others."""
    found: list[Wish] = []
    for number, order in tables["orders"].items():
        own = order["customer"] == customer
        item = pick(rng, order["items"])["name"]
        hint = f"it is the order with the {order['items'][0]['name']}" if own else None
        about = {"target": number, "noun": "order", "hint": hint, "value": order["total"]}
        found.append({**about, "kind": "cancel", "said": f"cancel {'an order' if own else 'the order of a friend'}"})
        if own and len(order["items"]) > 1:
            other = next(other["name"] for other in order["items"] if other["name"] != item)
            slots = [["item", f"It is the {item} that I want to return."]]
            found.append(
                {**about, "kind": "return", "item": item, "other": other, "said": "return something", "slots": slots}
            )
        if own:
            # In one of six cities, the last of which no order has gone to.
            city = _elsewhere(tables, policy) if rng.random() < 0.3 else pick(rng, policy["cities"])
            street = f"{int(rng.integers(1, 99))} {pick(rng, _STREETS)}"
            slots = [["address", f"The new address is {street}, {city}."]]
            said = "change the address of an order"
            found.append({**about, "kind": "address", "street": street, "city": city, "said": said, "slots": slots})
    return found


def _elsewhere(tables: Tables, policy: Mapping[str, Any]) -> str:
    """A town that is not delivered to."""
    free = [place for place in PLACES if place not in policy["cities"]]
    return free[len(str(tables["orders"])) % len(free)]


def call(wish: Wish, decision: Decision) -> tuple[str, dict[str, Any]]:
    """The tool call that does what was decided."""
    order = {"order_id": wish["target"]}
    if wish["kind"] == "address":
        return "change_address", {**order, "street": wish["street"], "city": wish["city"]}
    if wish["kind"] == "cancel":
        return "cancel_order", {**order, "refund": decision.amount}
    return "return_item", {**order, "item": wish["item"], "refund": decision.amount}


def apply(tables: Tables, wish: Wish, decision: Decision) -> None:
    """Do to the tables what was decided."""
    order = tables["orders"][wish["target"]]
    if wish["kind"] == "address":
        order.update(street=wish["street"], city=wish["city"])
        return
    order["refund"] = round(order["refund"] + decision.amount, 2)
    if wish["kind"] == "cancel":
        order["status"] = "cancelled"
    else:
        next(item for item in order["items"] if item["name"] == wish["item"])["status"] = "returned"


SHOP = Domain(
    "shop",
    ("list_orders", "get_order", "cancel_order", "return_item", "change_address"),
    "orders",
    draw,
    describe,
    decide,
    wishes,
    call,
    apply,
)
