"""Tools for people and mails."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Literal

import msgspec

from llmgym.envs.office.dates import read_date
from llmgym.envs.office.searching import found, words
from llmgym.envs.office.tables import Row, Tables
from llmgym.errors import ToolError
from llmgym.tools import tool
from llmgym.verifiers.text import folded

Folder = Literal["inbox", "sent", "archive", "spam"]
Address = Annotated[str, msgspec.Meta(max_length=200)]


def read_address(text: str) -> str:
    """An address as an argument says it.

    Raises:
        ToolError: It is none.
    """
    address = text.strip().lower()
    user, _, host = address.partition("@")
    if not (user and "." in host) or any(char.isspace() or char in ",;<>" for char in address):
        raise ToolError(f"{text[:40]!r} is not one address; find_people gives those of colleagues")
    return address


def _has(subject: str, body: str, wanted: list[str]) -> bool:
    text = _searchable(subject, body)
    for word in wanted:  # noqa: SIM110 -- takes half the time of `all`
        if word not in text:
            return False
    return True


@lru_cache(4096)
def _searchable(subject: str, body: str) -> str:
    return folded(f"{subject} {body}").casefold()


class Mailing:
    """Tools for people and mails."""

    office: Tables

    def read_colleague(self, text: str) -> str:
        """The address of a colleague as an argument says it."""
        address = read_address(text)
        if address not in self.office.people:
            raise ToolError(f"{address!r} is not a colleague's address; find_people gives them")
        return address

    @tool
    def find_people(self, name: str | None = None, team: str | None = None) -> Row:
        """Find colleagues, with their addresses and teams.

        Args:
            name: Name, or a part of it; everyone where it is left out.
            team: Only those of this team.
        """
        wanted, group = words(name), (team or "").strip().casefold()

        def fits(row: Row) -> bool:
            known = f"{row['name']} {row['email']}".casefold()
            return all(word in known for word in wanted) and (not group or row["team"].casefold() == group)

        return found(self.office.people.values(), fits, "name", ("name", "email", "team"), last=False)

    @tool
    def search_mails(
        self,
        sender: Address | None = None,
        recipient: Address | None = None,
        text: str | None = None,
        folder: Folder | None = None,
        since: str | None = None,
        until: str | None = None,
    ) -> Row:
        """Search mails in all folders. The latest come first; read_mail shows the text of one.

        Args:
            sender: Address of the sender.
            recipient: Address of the recipient.
            text: Words that the subject or the text must have, all of them.
            folder: Only mails of this folder.
            since: First date, such as 2026-03-02.
            until: Last date, such as 2026-03-02.
        """
        low, high = since and read_date(since), until and read_date(until)
        one, other = sender and read_address(sender), recipient and read_address(recipient)
        wanted = words(text)

        def fits(row: Row) -> bool:
            return (
                (not one or row["sender"] == one)
                and (not other or row["to"] == other)
                and (folder is None or row["folder"] == folder)
                and (not low or row["sent"][:10] >= low)
                and (not high or row["sent"][:10] <= high)
                and (not wanted or _has(row["subject"], row["body"], wanted))
            )

        return found(
            self.office.rows["mails"].values(),
            fits,
            "sent",
            ("id", "folder", "sender", "to", "subject", "sent"),
            last=True,
        )

    @tool
    def read_mail(self, mail_id: str) -> Row:
        """Show a mail with its text.

        Args:
            mail_id: Its id, such as mail-123.
        """
        return self.office.get("mails", mail_id)

    @tool
    def send_mail(self, to: Address, subject: str, body: str) -> Row:
        """Send a new mail.

        Args:
            to: Address of the recipient.
            subject: Subject.
            body: Text.
        """
        return self._send(read_address(to), subject, body, None)

    @tool
    def reply_mail(self, mail_id: str, body: str) -> Row:
        """Reply to a mail; recipient and subject are filled in.

        Args:
            mail_id: Id of the mail to reply to.
            body: Text of the reply, without the text of the mail.
        """
        mail = self.office.get("mails", mail_id)
        to = mail["to"] if mail["sender"] == self.office.me["email"] else mail["sender"]
        return self._send(to, f"Re: {mail['subject']}", body, mail_id)

    @tool
    def forward_mail(self, mail_id: str, to: Address) -> Row:
        """Forward a mail with its text.

        Args:
            mail_id: Id of the mail to forward.
            to: Address of the recipient.
        """
        mail = self.office.get("mails", mail_id)
        return self._send(read_address(to), f"Fwd: {mail['subject']}", mail["body"], mail_id)

    @tool
    def move_mail(self, mail_id: str, folder: Folder) -> Row:
        """Move a mail to another folder.

        Args:
            mail_id: Id of the mail to move.
            folder: Where to.
        """
        self.office.change("mails", mail_id, folder=folder)
        return {"moved": mail_id, "folder": folder}

    @tool
    def delete_mail(self, mail_id: str) -> Row:
        """Delete a mail.

        Args:
            mail_id: Id of the mail to delete.
        """
        self.office.remove("mails", mail_id)
        return {"deleted": mail_id}

    def _send(self, to: str, subject: str, body: str, refers_to: str | None) -> Row:
        office = self.office
        if not body.strip():
            raise ToolError("nothing was sent: the body is empty")
        row = office.add(
            "mails", folder="sent", sender=office.me["email"], to=to, subject=subject, sent=office.now, body=body,
            refers_to=refers_to,
        )  # fmt: skip
        return {"sent": row["id"], "to": to, "subject": subject}
