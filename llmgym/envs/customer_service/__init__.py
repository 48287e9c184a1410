"""Customer service: a conversation with a customer, under a policy, over tools that change the data."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import orjson

from llmgym.env import Episode, ToolEnv
from llmgym.envs.customer_service.customer import Customer, tells
from llmgym.envs.customer_service.desk import Decision, Row, Tables, Wish, added, money
from llmgym.envs.customer_service.problems import DOMAINS, Conversations, Level
from llmgym.envs.customer_service.rows import read_row, row_schema
from llmgym.errors import ToolError
from llmgym.messages import Message, assistant, system, tool_call
from llmgym.rewards import Reward
from llmgym.tasks import Task, TaskSet
from llmgym.tools import tool
from llmgym.verifiers import state

_RULES = (
    "You work at a service desk. Talk to the customer in messages without tool calls, look things up and act with the "
    "tools. Do what the policy allows, refuse what it does not, and say so. A tool does what you tell it, whether the "
    "policy allows it or not. The conversation ends when the customer ends it."
)
_SHARED = ("find_customer", "hand_over")
_LONGEST = 120  # characters of an address or a name


class CustomerService(ToolEnv):
    """Serve a customer of a shop or an airline, within a policy.

    ## Description

    A customer has two to four wishes, one after another: to cancel, return or move something, to change an address,
    to add bags. The policy, whose days, fees and limits differ by task, allows some of them, refuses some, and has some
    handed over to a supervisor. Something is to be done in every conversation, and something not to be done in
    most. The customer is a state machine: it tells what it is asked for, and, where a message asks for nothing, what is
    missing; it says yes to "shall I go ahead?"; it may plead once when it is refused, change its mind about an item
    before it can have been returned, or not know a number; it sees what has been done in the data.

    ## Actions

    Messages to the customer, and calls of the tools of the domain: `find_customer`, `hand_over`; for the shop
    `list_orders`, `get_order`, `cancel_order`, `return_item`, `change_address`; for the airline `list_bookings`,
    `get_booking`, `find_flights`, `cancel_booking`, `change_flight`, `add_bags`. Amounts to pay back or to charge are
    worked out by the agent.

    ## Observations

    The policy as a system message, the customer's messages, and what the tools answer.

    ## Rewards

    1 where the customer has ended the conversation, the data are exactly as the policy has it, and each amount that the
    customer asked for has been told, else 0. A message may name other amounts beside it, such as prices, but no other
    total, and a list of amounts tells none.

    Metrics: `share` (of the rows that were or should have been changed, those that are right), `missing`, `extra`,
    `changed`, `told` (share of the amounts asked for), `wishes` (dealt with at the end), `tool_calls`, `tool_errors`.

    ## Episode End

    Terminates when the customer has no more wishes; truncates after `max_turns` messages.

    ## Arguments

    - `level` ("medium"): "easy" has two wishes, and all of it is told at once; with "medium" the customer has to be
      asked; "hard" has three or four wishes, and a customer who pleads, forgets numbers and changes its mind.
    - `domains` (shop, airline): which desks there are.
    - `tasks`: a file of rows with `prompt`, `answer` and `metadata` like those of generated tasks. Rows of NeMo Gym's
      simulated tool use are refused, since a model plays their tools.

    ## Registered Variants

    - `llmgym/CustomerService-v0`: two wishes, at the shop or the airline.
    - `llmgym/CustomerService-easy-v0`: two wishes at the shop, told in full.
    - `llmgym/CustomerService-hard-v0`: three or four wishes of a difficult customer.
    - `llmgym/CustomerServiceLive-v0`: the customer is a model, in the role `user`; see its own page.

    ## Version History

    - v0: first version.
    """

    max_turns = 30

    def __init__(
        self,
        *,
        level: Level = "medium",
        domains: Sequence[str] = ("shop", "airline"),
        tasks: TaskSet | str | Path | None = None,
        **options: Any,
    ) -> None:
        """Make the environment.

        Args:
            level: How many wishes there are, and how much the customer keeps to itself.
            domains: Which desks there are.
            tasks: Other conversations.
            **options: Passed to `ToolEnv`.

        Raises:
            ConfigError: An argument is unknown.
        """
        conversations = Conversations(level, tuple(domains))
        super().__init__(tasks=TaskSet.generated(conversations) if tasks is None else tasks, **options)

    read_row = staticmethod(read_row)
    row_schema = staticmethod(row_schema)

    def setup(self, task: Task) -> None:
        """Lay out the data, and let the customer in."""
        kept = orjson.dumps(task.metadata)
        data = orjson.loads(kept)
        self.domain = DOMAINS[data["domain"]]
        self.tables: Tables = data["tables"]
        self.today = date.fromisoformat(data["today"])
        self.policy: dict[str, Any] = data["policy"]
        self.before: Tables = orjson.loads(kept)["tables"]
        self.customer = Customer(data["user"], self._dealt_with)

    def offered(self, task: Task) -> list[str]:
        """The tools of the domain."""
        return [*_SHARED, *self.domain.tools]

    def opening(self, task: Task) -> list[Message]:
        """The policy, and what the customer says first."""
        return [system(f"{_RULES}\n\n{self.domain.policy(self.policy, self.today)}"), *super().opening(task)]

    def respond(self, message: Message) -> Any:
        """Let the customer answer."""
        said = self.customer.hear(message["content"])
        if self.customer.done:
            self.finish()
        return said

    def _dealt_with(self, wish: Wish) -> bool:
        """Whether what a wish is about has been changed or handed over."""
        target = wish["target"]
        objects = self.domain.objects
        return target in self.tables["handovers"] or self.tables[objects][target] != self.before[objects][target]

    @tool
    def find_customer(self, email: str) -> Row:
        """Find a customer by email.

        Args:
            email: The customer's email address.
        """
        for key, row in self.tables["customers"].items():
            if row["email"] == email.strip().lower():
                return {"customer_id": key, **row}
        raise ToolError(f"there is no customer with the email {email[:_LONGEST]!r}; ask the customer for it")

    @tool
    def hand_over(self, reference: str) -> str:
        """Hand an order or a booking over to a supervisor.

        Args:
            reference: Number of the order, or code of the booking.
        """
        key, _ = self._row(self.domain.objects, reference)
        self.tables["handovers"][key] = {"reference": key}
        return f"{key} was handed over to a supervisor."

    @tool
    def list_orders(self, customer_id: str) -> list[Row]:
        """List the orders of a customer.

        Args:
            customer_id: Such as "C123".
        """
        return self._rows_of("orders", "order_id", customer_id)

    @tool
    def get_order(self, order_id: str) -> Row:
        """Show an order: its status, items, address and total.

        Args:
            order_id: Such as "W1234".
        """
        key, row = self._row("orders", order_id)
        return {"order_id": key, **row}

    @tool
    def cancel_order(self, order_id: str, refund: float) -> str:
        """Cancel an order and pay money back.

        Args:
            order_id: Such as "W1234".
            refund: What is paid back, in dollars.
        """
        return self._cancel(*self._row("orders", order_id), refund, "total")

    @tool
    def return_item(self, order_id: str, item: str, refund: float) -> str:
        """Take one item of an order back and pay money back.

        Args:
            order_id: Such as "W1234".
            item: Name of the item.
            refund: What is paid back, in dollars.
        """
        key, order = self._row("orders", order_id)
        wanted = item.strip().lower()
        found = next((each for each in order["items"] if each["name"] == wanted), None)
        if found is None or found["status"] == "returned":
            names = ", ".join(each["name"] for each in order["items"] if each["status"] == "kept")
            raise ToolError(f"{key} has no item {item[:_LONGEST]!r} to take back; it has {names or 'none'}")
        order["refund"] = added(order["refund"], refund, order["total"])
        found["status"] = "returned"
        return f"The {found['name']} of {key} is taken back; {money(refund)} will be paid back."

    @tool
    def change_address(self, order_id: str, street: str, city: str) -> str:
        """Change the address that an order goes to.

        Args:
            order_id: Such as "W1234".
            street: House number and street.
            city: The city.
        """
        key, order = self._row("orders", order_id)
        if not (0 < len(street.strip()) <= _LONGEST and 0 < len(city.strip()) <= _LONGEST):
            raise ToolError(f"street and city have 1 to {_LONGEST} characters")
        order.update(street=street.strip(), city=city.strip())
        return f"{key} goes to {order['street']}, {order['city']}."

    @tool
    def list_bookings(self, customer_id: str) -> list[Row]:
        """List the bookings of a customer, with their flights.

        Args:
            customer_id: Such as "C123".
        """
        return [self._with_flight(row) for row in self._rows_of("bookings", "booking_code", customer_id)]

    @tool
    def get_booking(self, booking_code: str) -> Row:
        """Show a booking and its flight; the price of a flight is for one passenger.

        Args:
            booking_code: Such as "BCD123".
        """
        key, row = self._row("bookings", booking_code)
        return self._with_flight({"booking_code": key, **row})

    @tool
    def find_flights(self, origin: str, destination: str) -> list[Row]:
        """List the flights from one town to another, with the price for one passenger and the free seats.

        Args:
            origin: The town that they start from.
            destination: The town that they go to.
        """
        route = (origin.strip().lower(), destination.strip().lower())
        flights = self.tables["flights"].items()
        return [
            {"flight_number": key, **row}
            for key, row in flights
            if (row["origin"].lower(), row["destination"].lower()) == route
        ]

    @tool
    def cancel_booking(self, booking_code: str, refund: float) -> str:
        """Cancel a booking and pay money back.

        Args:
            booking_code: Such as "BCD123".
            refund: What is paid back, in dollars.
        """
        return self._cancel(*self._row("bookings", booking_code), refund, "paid")

    @tool
    def change_flight(self, booking_code: str, flight_number: str, charge: float) -> str:
        """Move a booking to another flight and charge for it.

        Args:
            booking_code: Such as "BCD123".
            flight_number: The new flight, such as "F123".
            charge: What the customer pays in all, in dollars; 0 for nothing.
        """
        key, booking = self._row("bookings", booking_code)
        flight, _ = self._row("flights", flight_number)
        if flight == booking["flight"]:
            raise ToolError(f"{key} is on {flight} already")
        booking.update(charged=added(booking["charged"], charge), flight=flight)
        return f"{key} is on {flight} now; {money(charge)} was charged."

    @tool
    def add_bags(self, booking_code: str, bags: int, charge: float) -> str:
        """Add bags to a booking and charge for them.

        Args:
            booking_code: Such as "BCD123".
            bags: How many bags are added.
            charge: What the customer pays for them in all, in dollars; 0 for nothing.
        """
        key, booking = self._row("bookings", booking_code)
        if not 1 <= bags <= 100:
            raise ToolError(f"bags is {bags}; 1 to 100")
        booking.update(charged=added(booking["charged"], charge), bags=booking["bags"] + bags)
        return f"{key} has {booking['bags']} bags now; {money(charge)} was charged."

    def _cancel(self, key: str, row: Row, refund: float, most: str) -> str:
        """Cancel an order or a booking, and pay back what a field of it allows at most."""
        if row["status"] == "cancelled":
            raise ToolError(f"{key} is cancelled already")
        row.update(status="cancelled", refund=added(row["refund"], refund, row[most]))
        return f"{key} was cancelled; {money(refund)} will be paid back."

    def _row(self, table: str, key: str) -> tuple[str, Row]:
        rows = self.tables[table]
        name = key.strip().lstrip("#").upper()
        if name not in rows:
            what = table.removesuffix("s")
            raise ToolError(f"there is no {what} {key[:_LONGEST]!r}; look it up, or ask the customer")
        return name, rows[name]

    def _rows_of(self, table: str, key: str, customer_id: str) -> list[Row]:
        name, _ = self._row("customers", customer_id)
        return [{key: number, **row} for number, row in self.tables[table].items() if row["customer"] == name]

    def _with_flight(self, row: Row) -> Row:
        return {**row, "flight": {"flight_number": row["flight"], **self.tables["flights"][row["flight"]]}}

    def verify(self, episode: Episode) -> Reward:
        """Compare the data with what the policy makes of the wishes, and look for the amounts that were asked for."""
        answer = episode.task.answer
        right = {name: {**rows, **answer["tables"].get(name, {})} for name, rows in self.before.items()}
        rules: dict[str, state.Rule] = {"street": "text", "city": "text"}
        verdict = state.check(self.tables, right, before=self.before, rules=rules)
        texts = [message["content"] for message in episode.messages if message["role"] == "assistant"]
        told = [any(tells(text, value) for text in texts) for value in answer["told"]]
        metrics = {
            **verdict.metrics,
            "told": sum(told) / len(told) if told else 1.0,
            "wishes": float(self.customer.index + self.customer.done),
        }
        return Reward(correct=float(self.customer.done and bool(verdict) and all(told)), metrics=metrics)

    def oracle(self, task: Task) -> Iterator[Message | str]:
        """Ask, look up, and do what the policy says of what was found."""
        noun = self.customer.wish["noun"]
        yield f"Hello! Please tell me your email address, the {noun} number and all details of what you want."
        talk = " ".join(message["content"] for message in self.transcript if message["role"] == "user")
        email = re.findall(r"[\w.]+@[\w.]+\w", talk)[-1]
        yield assistant("", tool_call("find_customer", email=email))
        found = self._answer()
        seen: Tables = {"customers": {found["customer_id"]: found}, self.domain.objects: {}, "flights": {}}
        for index, wish in enumerate(self.customer.script["wishes"]):
            while self.customer.hidden:
                yield f"Which {noun} is it, what is its number, and what are the details?"
            yield from self._look_up(wish, seen)
            decision = self.domain.decide(self.policy, self.today, seen, found["customer_id"], wish)
            yield from self._act(wish, decision, index)

    def _look_up(self, wish: Wish, seen: Tables) -> Generator[Message | str, None, None]:
        """See what a wish is about, and note it."""
        shop = self.domain.name == "shop"
        name, key = ("get_order", "order_id") if shop else ("get_booking", "booking_code")
        if wish.get("forgets"):
            yield assistant(
                "", tool_call("list_orders" if shop else "list_bookings", customer_id=next(iter(seen["customers"])))
            )
        yield assistant("", tool_call(name, **{key: wish["target"]}))
        row = self._answer()
        if flight := row.get("flight"):
            yield assistant("", tool_call("find_flights", origin=flight["origin"], destination=flight["destination"]))
            seen["flights"] |= {each["flight_number"]: each for each in self._answer()}
            row["flight"] = flight["flight_number"]
        seen[self.domain.objects][wish["target"]] = row

    def _act(self, wish: Wish, decision: Decision, index: int) -> Generator[Message | str, None, None]:
        """Do what was decided, and tell the customer."""
        if decision.outcome == "deny":
            said = f"I am sorry, I cannot do that: {decision.reason}."
        elif decision.outcome == "hand_over":
            yield assistant("", tool_call("hand_over", reference=wish["target"]))
            said = f"A supervisor will deal with it, since {decision.reason}."
        else:
            name, arguments = self.domain.call(wish, decision)
            yield assistant("", tool_call(name, **arguments))
            said = f"That is done. The amount is {money(decision.amount)}." if decision.amount else "That is done."
        while self.customer.index == index and not self.customer.done:
            yield f"You paid {money(wish['value'])} in total." if self.customer.asks_value else said

    def _answer(self) -> Any:
        """What the last tool call gave."""
        return orjson.loads(self.transcript[-1]["content"])
