"""An airline: bookings are cancelled, moved to other flights, and given bags, or not."""

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
    pick,
    some,
)
from llmgym.envs.vocabulary import PLACES

_FARES = ("basic", "standard", "standard", "flex")
_MOST_BAGS = 2  # of a passenger
_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"


def draw(rng: Rng, today: date) -> tuple[Tables, dict[str, Any]]:
    """Make flights and customers with bookings, and the numbers of the policy."""
    policy = {
        "grace_days": pick(rng, (1, 2, 3)),
        "cancel_fee": pick(rng, (25, 30, 40, 45)),
        "change_fee": pick(rng, (15, 20, 35)),
        "bag_price": pick(rng, (18, 22, 28, 34)),
        "bag_days": pick(rng, (1, 2, 3)),
        "limit": pick(rng, (350, 450, 550, 650)),
    }
    towns = some(rng, PLACES, 4)
    routes = [(towns[0], towns[1]), (towns[1], towns[0]), (towns[0], towns[2]), (towns[3], towns[1])]
    flights = _flights(rng, today, routes)
    customers = draw_customers(rng, 4)
    owners = [name for index, name in enumerate(customers) for _ in range(5 if index == 0 else 2)]
    bookings: dict[str, Row] = {}
    for owner in owners:
        code = "".join(_LETTERS[i] for i in rng.integers(len(_LETTERS), size=3)) + str(int(rng.integers(100, 1000)))
        flight = pick(rng, list(flights))
        people = int(rng.integers(1, 5))
        booked = today - timedelta(days=int(pick(rng, (1, 2, 3, 4, 9, 20, 31))))
        bookings[code] = {
            "customer": owner,
            "flight": flight,
            "fare": pick(rng, _FARES),
            "passengers": people,
            "booked": booked.isoformat(),
            "paid": flights[flight]["price"] * people + int(rng.integers(3, 30)),
            "bags": int(rng.integers(0, people + 1)),
            "status": "active",
            "refund": 0,
            "charged": 0,
        }
    return {
        "customers": customers,
        "flights": flights,
        "bookings": dict(sorted(bookings.items())),
        "handovers": {},
    }, policy


def _flights(rng: Rng, today: date, routes: list[tuple[str, str]]) -> dict[str, Row]:
    numbers = iter(sorted(some(rng, range(100, 1000), 4 * len(routes))))
    found: dict[str, Row] = {}
    for origin, destination in routes:
        for offset in (int(rng.integers(-3, 1)), 1, int(rng.integers(2, 5)), int(rng.integers(6, 30))):
            found[f"F{next(numbers)}"] = {
                "origin": origin,
                "destination": destination,
                "date": (today + timedelta(days=offset)).isoformat(),
                "time": f"{int(rng.integers(5, 23)):02d}:{int(rng.integers(0, 12)) * 5:02d}",
                "price": int(rng.integers(45, 260)),
                "seats": pick(rng, (0, 1, 2, 4, 9, 20)),
            }
    return found


def describe(policy: Mapping[str, Any], today: date) -> str:
    """The policy in words."""
    return "\n".join(
        [
            f"You serve the customers of an airline. Today is {today.isoformat()}.",
            "- Ask for the customer's email first and find the customer by it. Show and change only bookings of this "
            "customer; a wish about anybody else's booking is refused, whatever the reason.",
            "- Nothing can be done to a booking whose flight is today or in the past.",
            f"- Any booking that was made at most {_days(policy['grace_days'])} ago can be cancelled, and all that was "
            "paid is paid back. After that, basic fares cannot be cancelled; flex fares get all that was paid; "
            f"standard fares get it less ${policy['cancel_fee']} for each passenger, or all of it where the customer's "
            "level is gold.",
            "- A flight can be changed to another one with the same origin and destination, after today, with a seat "
            "for each passenger. Basic fares cannot be changed. Charge the difference of the prices of the two flights "
            f"for each passenger, nothing where the new one is cheaper; standard fares pay ${policy['change_fee']} for "
            "each passenger on top, unless the customer's level is gold.",
            f"- Bags can be added until {_days(policy['bag_days'])} before the flight (on that day "
            f"still), up to {_MOST_BAGS} bags for each passenger in all. Each added bag costs ${policy['bag_price']}; "
            "flex fares and gold customers pay nothing.",
            f"- Where more than ${policy['limit']} would be paid back, do not cancel: call hand_over with the code of "
            "the booking, for a supervisor to do it. Hand over nothing else.",
            "- Refuse everything else, and make no exceptions.",
        ]
    )


def _days(count: int) -> str:
    return "1 day" if count == 1 else f"{count} days"


def decide(policy: Mapping[str, Any], today: date, tables: Tables, customer: str, wish: Wish) -> Decision:
    """What the policy says of a wish."""
    booking = tables["bookings"][wish["target"]]
    if booking["customer"] != customer:
        return Decision("deny", reason="it is not a booking of yours")
    flight = tables["flights"][booking["flight"]]
    ahead = -days(flight["date"], today)
    if ahead <= 0:
        return Decision("deny", reason="the flight is today or over")
    gold = tables["customers"][customer]["level"] == "gold"
    if wish["kind"] == "cancel":
        return _cancel(policy, today, booking, gold)
    if wish["kind"] == "bags":
        return _add_bags(policy, booking, ahead, gold, wish["count"])
    return _move(policy, today, booking, flight, tables["flights"][wish["flight"]], gold)


def _cancel(policy: Mapping[str, Any], today: date, booking: Row, gold: bool) -> Decision:
    amount = booking["paid"]
    if days(booking["booked"], today) > policy["grace_days"]:
        if booking["fare"] == "basic":
            return Decision("deny", reason="basic fares cannot be cancelled")
        if booking["fare"] == "standard" and not gold:
            amount -= policy["cancel_fee"] * booking["passengers"]
    if amount > policy["limit"]:
        return Decision("hand_over", reason=f"more than ${policy['limit']} would be paid back")
    return Decision("allow", amount)


def _add_bags(policy: Mapping[str, Any], booking: Row, ahead: int, gold: bool, count: int) -> Decision:
    if ahead < policy["bag_days"]:
        return Decision("deny", reason="it is too late to add bags")
    if booking["bags"] + count > _MOST_BAGS * booking["passengers"]:
        return Decision("deny", reason=f"each passenger has {_MOST_BAGS} bags at most")
    free = gold or booking["fare"] == "flex"
    return Decision("allow", 0 if free else policy["bag_price"] * count)


def _move(policy: Mapping[str, Any], today: date, booking: Row, old: Row, new: Row, gold: bool) -> Decision:
    people = booking["passengers"]
    if booking["fare"] == "basic":
        return Decision("deny", reason="basic fares cannot be changed")
    if days(new["date"], today) >= 0:
        return Decision("deny", reason="the new flight is today or over")
    if new["seats"] < people:
        return Decision("deny", reason="the new flight has not enough seats")
    fee = policy["change_fee"] if booking["fare"] == "standard" and not gold else 0
    return Decision("allow", people * (max(0, new["price"] - old["price"]) + fee))


def wishes(rng: Rng, policy: Mapping[str, Any], today: date, tables: Tables, customer: str) -> list[Wish]:
    """Wishes about each booking of the customer, and about some of others."""
    found: list[Wish] = []
    flights = tables["flights"]
    routes = [flights[b["flight"]] for b in tables["bookings"].values() if b["customer"] == customer]
    for code, booking in tables["bookings"].items():
        own = booking["customer"] == customer
        flight = flights[booking["flight"]]
        alone = sum(_same_trip(flight, other) for other in routes) == 1
        hint = f"it is the one from {flight['origin']} to {flight['destination']} on {flight['date']}"
        about = {"target": code, "noun": "booking", "hint": hint if own and alone else None, "value": booking["paid"]}
        found.append({**about, "kind": "cancel", "said": f"cancel {'a booking' if own else 'the booking of a friend'}"})
        if not own:
            continue
        count = int(rng.integers(1, 4))
        bags = "1 bag" if count == 1 else f"{count} bags"
        said = "add bags to a booking"
        slots = [["count", f"I want to add {bags}."]]
        found.append({**about, "kind": "bags", "count": count, "said": said, "slots": slots})
        there = [name for name, other in flights.items() if other is not flight and _same_route(flight, other)]
        new = pick(rng, there)
        when = f"{flights[new]['date']} at {flights[new]['time']}"
        slots = [["day", f"I want to fly on {when} instead."]]
        found.append(
            {**about, "kind": "change", "flight": new, "said": "change the flight of a booking", "slots": slots}
        )
    return found


def _same_route(one: Row, other: Row) -> bool:
    return (one["origin"], one["destination"]) == (other["origin"], other["destination"])


def _same_trip(one: Row, other: Row) -> bool:
    return _same_route(one, other) and one["date"] == other["date"]


def call(wish: Wish, decision: Decision) -> tuple[str, dict[str, Any]]:
    """The tool call that does what was decided."""
    booking = {"booking_code": wish["target"]}
    if wish["kind"] == "cancel":
        return "cancel_booking", {**booking, "refund": decision.amount}
    if wish["kind"] == "bags":
        return "add_bags", {**booking, "bags": wish["count"], "charge": decision.amount}
    return "change_flight", {**booking, "flight_number": wish["flight"], "charge": decision.amount}


def apply(tables: Tables, wish: Wish, decision: Decision) -> None:
    """Do to the tables what was decided."""
    booking = tables["bookings"][wish["target"]]
    if wish["kind"] == "cancel":
        booking.update(status="cancelled", refund=booking["refund"] + decision.amount)
        return
    booking["charged"] += decision.amount
    if wish["kind"] == "bags":
        booking["bags"] += wish["count"]
    else:
        booking["flight"] = wish["flight"]


AIRLINE = Domain(
    "airline",
    ("list_bookings", "get_booking", "find_flights", "cancel_booking", "change_flight", "add_bags"),
    "bookings",
    draw,
    describe,
    decide,
    wishes,
    call,
    apply,
)
