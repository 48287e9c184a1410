"""The records that texts tell of: of each kind its fields, of which a task takes some."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llmgym.envs.kinds import (
    CODE,
    DATE,
    EMAIL,
    FIRM,
    MONEY,
    PERSON,
    PLACE,
    THING,
    TIME,
    Kind,
    Rng,
    choice,
    count,
    flag,
    part,
    parts_list,
    people,
    pick,
    things,
)


@dataclass(frozen=True)
class Field:
    """A field of a record.

    Attributes:
        name: Its name, as a property.
        kind: What its value may be.
        told: Sentences that tell it, with `{}` for the value.
    """

    name: str
    kind: Kind
    told: tuple[str, ...]

    def tell(self, rng: Rng, value: Any) -> str:
        """A sentence."""
        return pick(rng, self.told).format(self.kind.show(rng, value))


@dataclass(frozen=True)
class Domain:
    """A kind of record.

    Attributes:
        name: What one is called.
        does: What its tool does.
        fields: What may be known of one, besides its code.
    """

    name: str
    does: str
    fields: tuple[Field, ...]

    @property
    def word(self) -> str:
        """The name as part of an identifier."""
        return self.name.replace(" ", "_")


CODE_FIELD = Field("code", CODE, ("",))
"""What every record has, and is told by: the text names it."""

DOMAINS: tuple[Domain, ...] = (
    Domain(
        "booking",
        "Record the booking of a hotel room.",
        (
            Field("guest", PERSON, ("The room is for {}.", "The guest is {}.")),
            Field("town", PLACE, ("The hotel is in {}.", "It is for a hotel in {}.")),
            Field("arrival", DATE, ("Arrival is on {}.", "The stay begins on {}.")),
            Field("nights", count(1, 21), ("The number of nights is {}.", "Nights booked: {}.")),
            Field("price", MONEY, ("The whole stay costs {}.", "The price comes to {} in all.")),
            Field("breakfast", flag("included", "not included"), ("Breakfast is {}.",)),
            Field(
                "status",
                choice(
                    confirmed="has been confirmed|is confirmed",
                    pending="still waits to be confirmed|is not confirmed yet",
                    cancelled="was called off|has been cancelled",
                ),
                ("The booking {}.",),
            ),
            Field("email", EMAIL, ("Questions go to {}.", "The guest's address for mail is {}.")),
            Field("companions", people(), ("Travelling along are {}.",)),
            Field(
                "room",
                part(
                    "a {type} room on floor {floor}", type=choice(single="single", double="double"), floor=count(1, 9)
                ),
                ("It is {}.", "The hotel has given them {}."),
            ),
            Field(
                "extras",
                parts_list("{item} ({quantity} at {price} each)", item=THING, quantity=count(2, 9), price=MONEY),
                ("On top come, from the hotel's shop, {}.",),
            ),
        ),
    ),
    Domain(
        "invoice",
        "Record an invoice.",
        (
            Field("seller", FIRM, ("It was sent by {}.", "{} wrote it.")),
            Field("buyer", FIRM, ("The buyer is {}.", "It is addressed to {}.")),
            Field("issued", DATE, ("It was issued on {}.", "Its date is {}.")),
            Field("due", DATE, ("Payment is due by {}.", "It has to be paid by {}.")),
            Field("total", MONEY, ("The total is {}.", "In all, {} are asked for.")),
            Field("paid", flag("has been paid", "has not been paid"), ("The invoice {}.",)),
            Field("reminders", count(0, 6), ("The number of reminders sent so far is {}.",)),
            Field(
                "payment",
                choice(card="by card", transfer="by bank transfer", cash="in cash"),
                ("Payment is to be made {}.",),
            ),
            Field(
                "address",
                part("{street_number} Station Road in {town}", street_number=count(13, 180), town=PLACE),
                ("The buyer's address is {}.", "The goods went to {}."),
            ),
            Field("contacts", people(), ("Those who know about it are {}.",)),
            Field(
                "lines",
                parts_list("{item} ({quantity} at {price} each)", item=THING, quantity=count(2, 90), price=MONEY),
                ("It lists {}.", "Its lines are {}."),
            ),
        ),
    ),
    Domain(
        "support ticket",
        "Record a support ticket.",
        (
            Field("customer", PERSON, ("The customer is {}.", "{} opened it.")),
            Field("product", THING, ("The product in question is the {}.",)),
            Field("opened", DATE, ("It was opened on {}.", "It came in on {}.")),
            Field("calls", count(0, 12), ("The number of calls about it so far is {}.",)),
            Field("email", EMAIL, ("The customer writes from {}.", "Replies go to {}.")),
            Field(
                "priority",
                choice(low="can wait", normal="is of ordinary urgency", high="is very urgent|cannot wait at all"),
                ("The matter {}.",),
            ),
            Field("refund", MONEY, ("The customer wants {} back.", "A refund of {} is asked for.")),
            Field("warranty", flag("still has", "no longer has"), ("The product {} a warranty.",)),
            Field("team", people(), ("Working on it are {}.",)),
            Field("attachments", things(), ("There are photographs of the {}.",)),
            Field(
                "device",
                part("serial number {serial}, bought in {town}", serial=CODE, town=PLACE),
                ("The product has {}.",),
            ),
            Field(
                "visits",
                parts_list(
                    "{technician} on {day} for {minutes} minutes", technician=PERSON, day=DATE, minutes=count(15, 90)
                ),
                ("Visits were made by {}.",),
            ),
        ),
    ),
    Domain(
        "event",
        "Record an event.",
        (
            Field("host", PERSON, ("The host is {}.", "{} is the host.")),
            Field("town", PLACE, ("It takes place in {}.",)),
            Field("day", DATE, ("It is on {}.", "The day is {}.")),
            Field("starts", TIME, ("It starts at {}.", "Doors open at {}, when it begins.")),
            Field("seats", count(20, 900), ("There are {} seats.",)),
            Field("ticket_price", MONEY, ("A ticket costs {}.", "Tickets are sold at {}.")),
            Field("outdoors", flag("outdoors", "indoors"), ("It is held {}.",)),
            Field(
                "type",
                choice(concert="a concert", lecture="a lecture", fair="a fair", workshop="a workshop"),
                ("What is planned is {}.", "It is to be {}."),
            ),
            Field("sponsor", FIRM, ("It is paid for by {}.", "The sponsor is {}.")),
            Field("speakers", people(), ("On the stage will be {}.",)),
            Field("prizes", things(), ("The prizes are, from first to last, the {}.",)),
            Field(
                "venue",
                part("the hall of {firm}, which has room for {capacity} people", firm=FIRM, capacity=count(950, 3000)),
                ("The venue is {}.",),
            ),
            Field(
                "sessions",
                parts_list("{speaker} at {starts}", speaker=PERSON, starts=TIME),
                ("The sessions are those of {}.",),
            ),
        ),
    ),
    Domain(
        "shipment",
        "Record a shipment.",
        (
            Field("sender", FIRM, ("It was sent by {}.", "The sender is {}.")),
            Field("recipient", PERSON, ("It goes to {}.", "The recipient is {}.")),
            Field("origin", PLACE, ("It left from {}.",)),
            Field("destination", PLACE, ("It is on its way to {}.", "Its destination is {}.")),
            Field("sent", DATE, ("It was handed over on {}.",)),
            Field("parcels", count(1, 40), ("The number of parcels is {}.",)),
            Field("weight_kg", count(13, 900), ("It weighs {} kilograms.",)),
            Field("value", MONEY, ("It is insured for {}.", "Its value is {}.")),
            Field("fragile", flag("fragile", "not fragile"), ("The contents are {}.",)),
            Field("service", choice(air="by air", sea="by ship", road="by lorry"), ("It travels {}.",)),
            Field("contents", things(), ("Inside are the following, one of each: {}.",)),
            Field("driver", part("{name}, reached at {email}", name=PERSON, email=EMAIL), ("The driver is {}.",)),
            Field(
                "stops",
                parts_list("{town} on {day}", town=PLACE, day=DATE),
                ("It stops in {}.", "Stops on the way: {}."),
            ),
        ),
    ),
    Domain(
        "membership",
        "Record the membership of a sports club.",
        (
            Field("member", PERSON, ("The member is {}.", "It belongs to {}.")),
            Field("town", PLACE, ("The club is in {}.",)),
            Field("since", DATE, ("It began on {}.", "It has been running since {}.")),
            Field("fee", MONEY, ("The yearly fee is {}.", "It costs {} a year.")),
            Field("visits", count(0, 200), ("The number of visits this year is {}.",)),
            Field("email", EMAIL, ("News is sent to {}.",)),
            Field(
                "level",
                choice(basic="the basic one", plus="the middle one, called plus", gold="the dearest one, called gold"),
                ("The level is {}.", "Of the three levels it is {}."),
            ),
            Field("newsletter", flag("wants", "does not want"), ("The member {} the newsletter.",)),
            Field("trainer", PERSON, ("The trainer is {}.", "Training is with {}.")),
            Field("family", people(), ("Also covered are {}.",)),
            Field("borrowed", things(), ("On loan from the club: {}.",)),
            Field(
                "locker", part("locker {code} on floor {floor}", code=CODE, floor=count(1, 6)), ("It comes with {}.",)
            ),
            Field(
                "courses",
                parts_list("one with {trainer} at {starts} for {fee}", trainer=PERSON, starts=TIME, fee=MONEY),
                ("Courses taken: {}.",),
            ),
        ),
    ),
    Domain(
        "repair order",
        "Record a repair order.",
        (
            Field("owner", PERSON, ("The owner is {}.", "It was placed by {}.")),
            Field("object", THING, ("What has to be mended is the {}.", "The thing to be mended is the {}.")),
            Field("workshop", FIRM, ("The work is done at {}.", "{} does the work.")),
            Field("received", DATE, ("It came in on {}.",)),
            Field("ready", DATE, ("It will be ready on {}.", "It can be fetched on {}.")),
            Field("estimate", MONEY, ("The estimate is {}.", "It will cost about {}, by the estimate.")),
            Field("hours", count(1, 40), ("Hours of work: {}.", "The number of hours it takes is {}.")),
            Field("insured", flag("is", "is not"), ("The damage {} covered by insurance.",)),
            Field(
                "stage",
                choice(waiting="has not begun", working="is under way", done="is finished"),
                ("The work {}.", "As of today, the work {}."),
            ),
            Field("tools", things(), ("The tools and things needed: {}.",)),
            Field("helpers", people(), ("Helpers are {}.",)),
            Field("pickup", part("in {town} at {at}", town=PLACE, at=TIME), ("It will be picked up {}.",)),
            Field(
                "spare_parts",
                parts_list("{number} ({quantity} at {price} each)", number=CODE, quantity=count(2, 9), price=MONEY),
                ("Spare parts ordered: {}.",),
            ),
        ),
    ),
    Domain(
        "job application",
        "Record a job application.",
        (
            Field("applicant", PERSON, ("The applicant is {}.", "{} sent it in.")),
            Field("employer", FIRM, ("It is for a job at {}.", "The employer is {}.")),
            Field("home", PLACE, ("The applicant lives in {}.",)),
            Field("received", DATE, ("It arrived on {}.", "It was received on {}.")),
            Field("experience_years", count(0, 35), ("Years of experience: {}.",)),
            Field("salary", MONEY, ("The salary asked for is {} a month.",)),
            Field("email", EMAIL, ("The address for replies is {}.",)),
            Field("relocate", flag("is willing", "is not willing"), ("The applicant {} to move.",)),
            Field(
                "contract",
                choice(
                    full_time="for the whole working week",
                    part_time="for half the working week",
                    freelance="as a freelancer",
                ),
                ("The work would be {}.",),
            ),
            Field("referees", people(), ("Those who speak for the applicant are {}.",)),
            Field("interview", part("on {day} at {at}", day=DATE, at=TIME), ("The interview is {}.",)),
            Field(
                "jobs",
                parts_list("{years} years at {firm}", firm=FIRM, years=count(2, 15)),
                ("Earlier jobs: {}.",),
            ),
        ),
    ),
)
