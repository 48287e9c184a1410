"""What the tools are about: things of a dozen domains, with what is known of each and how a wish says it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from llmgym.envs.kinds import DATE, EMAIL, FIRM, MONEY, PERSON, PLACE, THING, TIME, Kind, choice, count, flag, things


@dataclass(frozen=True)
class Attribute:
    """What is known of a thing.

    Attributes:
        name: Name of the parameter.
        kind: What its value may be.
        clause: How a wish says it, with `{}` for the value.
        default: The value where a call leaves it out; None where it may not.
    """

    name: str
    kind: Kind
    clause: str
    default: Any = None

    @property
    def label(self) -> str:
        """How a wish names it."""
        name = self.name.replace("_", " ")
        return f"number of {name}" if self.kind.schema["type"] == "integer" and re.search("[^s]s$", name) else name


@dataclass(frozen=True)
class Entity:
    """A kind of thing that tools make, find, change and remove.

    Attributes:
        name: What one is called.
        domain: Where it belongs.
        attributes: Of which things are found by the first and changed in the second and third.
    """

    name: str
    domain: str
    attributes: tuple[Attribute, ...]

    @property
    def word(self) -> str:
        """The name as part of an identifier."""
        return self.name.replace(" ", "_")

    @property
    def many(self) -> str:
        """The name of several."""
        return f"{self.name}{'es' if self.name.endswith('x') else 's'}"

    @property
    def article(self) -> str:
        """The name with an article."""
        return f"{'an' if self.name[0] in 'aeiou' else 'a'} {self.name}"


_PRIORITY = choice(low="low", normal="normal", high="high")
_URGENT = flag("urgent", "not urgent")


def _a(name: str, kind: Kind, clause: str, default: Any = None) -> Attribute:
    return Attribute(name, kind, clause, default)


def _domain(domain: str, **entities: tuple[Attribute, ...]) -> tuple[Entity, ...]:
    return tuple(Entity(name.replace("_", " "), domain, attributes) for name, attributes in entities.items())


ENTITIES: tuple[Entity, ...] = (
    *_domain(
        "calendar",
        meeting=(
            _a("person", PERSON, "with {}"),
            _a("day", DATE, "on {}"),
            _a("start_time", TIME, "at {}"),
            _a("minutes", count(13, 120), "lasting {} minutes"),
            _a("priority", _PRIORITY, "with {} priority", "normal"),
        ),
        reminder=(
            _a("about", THING, "about the {}"),
            _a("day", DATE, "for {}"),
            _a("time", TIME, "at {}"),
            _a("repeats", count(0, 9), "repeated {} times", 0),
        ),
        holiday=(
            _a("employee", PERSON, "for {}"),
            _a("first_day", DATE, "from {}"),
            _a("days", count(2, 30), "of {} days"),
            _a("town", PLACE, "in {}"),
        ),
    ),
    *_domain(
        "travel",
        flight=(
            _a("passenger", PERSON, "for {}"),
            _a("day", DATE, "on {}"),
            _a("departure_time", TIME, "leaving at {}"),
            _a("destination", PLACE, "to {}"),
            _a("cabin", choice(economy="economy", business="business", first="first"), "in {} class", "economy"),
        ),
        hotel_room=(
            _a("guest", PERSON, "for {}"),
            _a("arrival_day", DATE, "from {}"),
            _a("nights", count(1, 20), "for a stay of {} nights"),
            _a("town", PLACE, "in {}"),
        ),
        rental_car=(
            _a("driver", PERSON, "for {}"),
            _a("pickup_day", DATE, "from {}"),
            _a("pickup_time", TIME, "at {}"),
            _a("pickup_town", PLACE, "in {}"),
            _a("days", count(1, 20), "for {} days"),
        ),
    ),
    *_domain(
        "shop",
        order=(
            _a("customer", PERSON, "for {}"),
            _a("quantity", count(1, 60), "for a quantity of {}"),
            _a("item", THING, "of the article {}"),
            _a("gift_wrapping", flag("wrapped as a gift", "not wrapped as a gift"), "{}", False),
        ),
        voucher=(
            _a("holder", PERSON, "for {}"),
            _a("amount", MONEY, "worth {}"),
            _a("expiry_day", DATE, "that ends on {}"),
            _a("email", EMAIL, "to be sent to {}"),
        ),
        price_alert=(
            _a("item", THING, "for the {}"),
            _a("limit", MONEY, "at {}"),
            _a("last_day", DATE, "until {}"),
            _a("email", EMAIL, "to {}"),
        ),
    ),
    *_domain(
        "bank",
        transfer=(
            _a("recipient", PERSON, "to {}"),
            _a("amount", MONEY, "of {}"),
            _a("day", DATE, "on {}"),
            _a("speed", choice(normal="normal", instant="instant"), "at {} speed", "normal"),
        ),
        standing_order=(
            _a("payee", FIRM, "to {}"),
            _a("amount", MONEY, "of {}"),
            _a("first_day", DATE, "from {}"),
            _a("months", count(2, 36), "for {} months"),
        ),
        savings_goal=(
            _a("purpose", THING, "for the {}"),
            _a("target", MONEY, "of {}"),
            _a("deadline", DATE, "by {}"),
            _a("monthly_amount", MONEY, "with {} a month"),
        ),
    ),
    *_domain(
        "delivery",
        parcel=(
            _a("recipient", PERSON, "to {}"),
            _a("pickup_day", DATE, "on {}"),
            _a("weight_kg", count(1, 30), "of {} kilograms"),
            _a("destination", PLACE, "in {}"),
            _a("fragile", flag("fragile", "not fragile"), "that is {}", False),
        ),
        courier=(
            _a("sender", FIRM, "for {}"),
            _a("day", DATE, "on {}"),
            _a("time", TIME, "at {}"),
            _a("origin", PLACE, "from {}"),
            _a("destination", PLACE, "to {}"),
        ),
        storage_box=(
            _a("owner", PERSON, "for {}"),
            _a("months", count(1, 24), "for {} months"),
            _a("shelf", count(1, 90), "on shelf {}"),
            _a("contents", things(), "holding the {}"),
        ),
    ),
    *_domain(
        "restaurant",
        table=(
            _a("guest", PERSON, "for {}"),
            _a("day", DATE, "on {}"),
            _a("time", TIME, "at {}"),
            _a("seats", count(2, 14), "with {} seats"),
            _a("place", choice(inside="inside", terrace="on the terrace", bar="at the bar"), "{}", "inside"),
        ),
        catering=(
            _a("client", FIRM, "for {}"),
            _a("day", DATE, "on {}"),
            _a("guests", count(13, 300), "for {} people"),
            _a("budget", MONEY, "at {} in all"),
        ),
        staff_shift=(
            _a("worker", PERSON, "for {}"),
            _a("day", DATE, "on {}"),
            _a("start_time", TIME, "from {}"),
            _a("hours", count(2, 10), "of {} hours"),
        ),
    ),
    *_domain(
        "health",
        appointment=(
            _a("patient", PERSON, "for {}"),
            _a("day", DATE, "on {}"),
            _a("time", TIME, "at {}"),
            _a("doctor", PERSON, "with doctor {}"),
            _a("urgent", _URGENT, "that is {}", False),
        ),
        prescription=(
            _a("patient", PERSON, "for {}"),
            _a("day", DATE, "from {}"),
            _a("tablets", count(13, 120), "of {} tablets"),
            _a("refills", count(0, 5), "with {} refills", 0),
        ),
        vaccination=(
            _a("patient", PERSON, "for {}"),
            _a("day", DATE, "on {}"),
            _a("dose", count(1, 4), "as dose number {}"),
            _a("clinic_town", PLACE, "in {}"),
        ),
    ),
    *_domain(
        "library",
        loan=(
            _a("reader", PERSON, "for {}"),
            _a("due_day", DATE, "due on {}"),
            _a("volumes", count(1, 12), "of {} volumes"),
            _a("branch", PLACE, "at the branch in {}"),
        ),
        reading_room=(
            _a("reader", PERSON, "for {}"),
            _a("day", DATE, "on {}"),
            _a("start_time", TIME, "from {}"),
            _a("seat", count(1, 80), "with seat number {}"),
        ),
        fine=(
            _a("reader", PERSON, "for {}"),
            _a("amount", MONEY, "of {}"),
            _a("due_day", DATE, "to be paid by {}"),
            _a("waived", flag("waived", "not waived"), "that is {}", False),
        ),
    ),
    *_domain(
        "home",
        heating_plan=(
            _a("room", choice(kitchen="kitchen", bedroom="bedroom", office="office", hall="hall"), "for the {}"),
            _a("degrees", count(13, 26), "at {} degrees"),
            _a("start_time", TIME, "from {}"),
            _a("hours", count(1, 12), "for {} hours"),
        ),
        light_scene=(
            _a("room", choice(kitchen="kitchen", bedroom="bedroom", office="office", hall="hall"), "for the {}"),
            _a("brightness", count(13, 100), "at {} percent"),
            _a("time", TIME, "starting at {}"),
            _a("color", choice(white="white", red="red", blue="blue", green="green"), "in {}", "white"),
        ),
        repair_visit=(
            _a("technician", PERSON, "by {}"),
            _a("day", DATE, "on {}"),
            _a("time", TIME, "at {}"),
            _a("device", THING, "for the {}"),
        ),
    ),
    *_domain(
        "school",
        lesson=(
            _a("pupil", PERSON, "for {}"),
            _a("day", DATE, "on {}"),
            _a("time", TIME, "at {}"),
            _a("teacher", PERSON, "with teacher {}"),
        ),
        exam=(
            _a("subject", choice(maths="maths", history="history", music="music", biology="biology"), "in {}"),
            _a("day", DATE, "on {}"),
            _a("minutes", count(30, 240), "of {} minutes"),
            _a("hall_seats", count(20, 400), "with {} seats"),
        ),
        excursion=(
            _a("destination", PLACE, "to {}"),
            _a("day", DATE, "on {}"),
            _a("children", count(13, 90), "with {} children"),
            _a("price", MONEY, "at {} each"),
        ),
    ),
    *_domain(
        "work",
        task=(
            _a("assignee", PERSON, "for {}"),
            _a("deadline", DATE, "by {}"),
            _a("hours", count(1, 80), "of {} hours"),
            _a("priority", _PRIORITY, "with {} priority", "normal"),
        ),
        job_opening=(
            _a("firm", FIRM, "at {}"),
            _a("deadline", DATE, "open until {}"),
            _a("salary", MONEY, "paid {} a month"),
            _a("town", PLACE, "in {}"),
        ),
        expense_claim=(
            _a("employee", PERSON, "for {}"),
            _a("amount", MONEY, "of {}"),
            _a("day", DATE, "dated {}"),
            _a("receipts", count(1, 12), "with {} receipts"),
        ),
    ),
    *_domain(
        "sports",
        court=(
            _a("player", PERSON, "for {}"),
            _a("day", DATE, "on {}"),
            _a("time", TIME, "at {}"),
            _a("minutes", count(30, 180), "for {} minutes"),
            _a("indoors", flag("indoors", "outdoors"), "{}", True),
        ),
        training_plan=(
            _a("athlete", PERSON, "for {}"),
            _a("weeks", count(2, 30), "of {} weeks"),
            _a("first_day", DATE, "from {}"),
            _a("trainer", PERSON, "with trainer {}"),
        ),
        tournament=(
            _a("town", PLACE, "in {}"),
            _a("day", DATE, "on {}"),
            _a("teams", count(4, 64), "with {} teams"),
            _a("prize", MONEY, "with a prize of {}"),
        ),
    ),
)
"""Three kinds of things of each of twelve domains."""
