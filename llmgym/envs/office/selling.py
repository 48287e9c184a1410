"""Tools for customers."""

from __future__ import annotations

from typing import Literal

from llmgym.envs.office.dates import read_date
from llmgym.envs.office.mailing import Address, Mailing, read_address
from llmgym.envs.office.scheduling import Text
from llmgym.envs.office.searching import found, words
from llmgym.envs.office.tables import Row
from llmgym.errors import ToolError
from llmgym.tools import tool

Status = Literal["lead", "qualified", "proposal", "won", "lost"]
Product = Literal["hardware", "software", "services", "training", "consulting"]


class Selling(Mailing):
    """Tools for customers."""

    @tool
    def search_customers(
        self,
        text: str | None = None,
        owner: Address | None = None,
        status: Status | None = None,
        product: Product | None = None,
        contacted_since: str | None = None,
        contacted_until: str | None = None,
    ) -> Row:
        """Search customers. Those contacted longest ago come first; read_customer shows the note on one.

        Args:
            text: Words that the name or the company must have, all of them.
            owner: Address of the colleague who looks after them.
            status: Only those of this status.
            product: Only those interested in this product.
            contacted_since: First date of the last contact, such as 2026-03-02.
            contacted_until: Last date of the last contact, such as 2026-03-02.
        """
        low, high = contacted_since and read_date(contacted_since), contacted_until and read_date(contacted_until)
        who, wanted = owner and read_address(owner), words(text)

        def fits(row: Row) -> bool:
            return (
                (not who or row["owner"] == who)
                and (status is None or row["status"] == status)
                and (product is None or row["product"] == product)
                and (not low or row["last_contact"] >= low)
                and (not high or row["last_contact"] <= high)
                and (not wanted or all(word in f"{row['name']} {row['company']}".casefold() for word in wanted))
            )

        columns = ("id", "name", "company", "email", "owner", "status", "product", "last_contact")
        return found(self.office.rows["customers"].values(), fits, "last_contact", columns, last=False)

    @tool
    def read_customer(self, customer_id: str) -> Row:
        """Show all that is known of a customer, with the note.

        Args:
            customer_id: Its id, such as customer-123.
        """
        return self.office.get("customers", customer_id)

    @tool
    def add_customer(
        self, name: Text, company: Text, email: Address, owner: Address, product: Product, status: Status = "lead"
    ) -> Row:
        """Add a customer, contacted today, without a note.

        Args:
            name: Name of the person.
            company: Their firm.
            email: Their address.
            owner: Address of the colleague who looks after them.
            product: What they are interested in.
            status: How far it has come.
        """
        row = self.office.add(
            "customers", name=name, company=company, email=read_address(email), owner=self.read_colleague(owner),
            status=status, product=product, last_contact=self.office.today, note="",
        )  # fmt: skip
        return {"added": row["id"]}

    @tool
    def update_customer(
        self,
        customer_id: str,
        owner: Address | None = None,
        status: Status | None = None,
        product: Product | None = None,
        email: Address | None = None,
        last_contact: str | None = None,
        note: str | None = None,
    ) -> Row:
        """Change a customer; what is left out stays as it is.

        Args:
            customer_id: Id of the customer.
            owner: Address of the colleague who looks after them from now on.
            status: New status.
            product: What they are interested in now.
            email: New address of the customer.
            last_contact: Date of the last contact, such as 2026-03-02.
            note: New note, in the place of the old one.
        """
        given = {
            "owner": owner and self.read_colleague(owner),
            "status": status,
            "product": product,
            "email": email and read_address(email),
            "last_contact": last_contact and read_date(last_contact),
            "note": note,
        }
        changes = {name: value for name, value in given.items() if value}
        if not changes:
            raise ToolError("nothing was changed: give an owner, status, product, email, last_contact or note")
        self.office.change("customers", customer_id, **changes)
        return {"changed": customer_id, **changes}

    @tool
    def delete_customer(self, customer_id: str) -> Row:
        """Delete a customer.

        Args:
            customer_id: Id of the customer.
        """
        self.office.remove("customers", customer_id)
        return {"deleted": customer_id}
