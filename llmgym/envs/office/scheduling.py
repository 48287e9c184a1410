"""Tools for the calendar."""

from __future__ import annotations

from typing import Annotated

import msgspec

from llmgym.envs.office.dates import read_date, read_time
from llmgym.envs.office.mailing import Address, Mailing, read_address
from llmgym.envs.office.searching import found, words
from llmgym.envs.office.tables import Row
from llmgym.errors import ToolError
from llmgym.tools import tool

Minutes = Annotated[int, msgspec.Meta(ge=5, le=600)]
Text = Annotated[str, msgspec.Meta(min_length=1)]


class Scheduling(Mailing):
    """Tools for the calendar, which is that of whom the assistant works for."""

    @tool
    def search_events(
        self,
        text: str | None = None,
        participant: Address | None = None,
        since: str | None = None,
        until: str | None = None,
    ) -> Row:
        """Search the events of the calendar. The earliest come first; read_event shows the notes of one.

        Args:
            text: Words that the title must have, all of them.
            participant: Address of someone who takes part.
            since: First date, such as 2026-03-02.
            until: Last date, such as 2026-03-02.
        """
        low, high = since and read_date(since), until and read_date(until)
        who, wanted = participant and read_address(participant), words(text)

        def fits(row: Row) -> bool:
            return (
                (not who or who in row["participants"])
                and (not low or row["start"][:10] >= low)
                and (not high or row["start"][:10] <= high)
                and (not wanted or all(word in row["title"].casefold() for word in wanted))
            )

        columns = ("id", "title", "start", "minutes", "place", "participants")
        return found(self.office.rows["events"].values(), fits, "start", columns, last=False)

    @tool
    def read_event(self, event_id: str) -> Row:
        """Show all that is known of an event.

        Args:
            event_id: Its id, such as event-123.
        """
        return self.office.get("events", event_id)

    @tool
    def create_event(
        self, title: Text, start: str, minutes: Minutes, participants: list[Address], place: str = "Online"
    ) -> Row:
        """Put a new event into the calendar.

        Args:
            title: Title.
            start: Date and time, such as 2026-03-02 14:30.
            minutes: How long it takes.
            participants: Addresses of all others who take part.
            place: Where it is.
        """
        if len(participants) > 50:
            raise ToolError("an event has at most 50 participants")
        others = dict.fromkeys(read_address(each) for each in participants)
        others.pop(self.office.me["email"], None)
        row = self.office.add(
            "events",
            title=title,
            start=read_time(start),
            minutes=minutes,
            place=place,
            participants=list(others),
            notes="",
        )
        return {"created": row["id"], "start": row["start"]}

    @tool
    def update_event(
        self,
        event_id: str,
        title: Text | None = None,
        start: str | None = None,
        minutes: Minutes | None = None,
        place: Text | None = None,
    ) -> Row:
        """Change an event; what is left out stays as it is.

        Args:
            event_id: Id of the event.
            title: New title.
            start: New date and time, such as 2026-03-02 14:30.
            minutes: How long it takes now.
            place: Where it is now.
        """
        given = {"title": title, "start": start and read_time(start), "minutes": minutes, "place": place}
        changes = {name: value for name, value in given.items() if value}
        if not changes:
            raise ToolError("nothing was changed: give a title, start, minutes or place")
        self.office.change("events", event_id, **changes)
        return {"changed": event_id, **changes}

    @tool
    def add_participant(self, event_id: str, participant: Address) -> Row:
        """Invite someone to an event.

        Args:
            event_id: Id of the event.
            participant: Address of whom to invite.
        """
        there, who = self.office.get("events", event_id)["participants"], read_address(participant)
        if who in there:
            raise ToolError(f"{who} takes part already")
        self.office.change("events", event_id, participants=[*there, who])
        return {"changed": event_id, "participants": [*there, who]}

    @tool
    def cancel_event(self, event_id: str) -> Row:
        """Take an event out of the calendar.

        Args:
            event_id: Id of the event.
        """
        self.office.remove("events", event_id)
        return {"cancelled": event_id}
