"""The stock of stores, and the unreliable service that answers about it."""

from __future__ import annotations

from typing import Any

from llmgym.errors import ToolError

PAGE = 4  # entries of a page of the ledger
START = "start"
DOZEN = 12


class Service:
    """What the tools do: they fail, and what they tell is old, as the task says.

    Args:
        items: What there is: `id`, `name`, `town`, the `entries` of its ledger, and what its `report` says.
        troubles: What goes wrong, by name; see `Problems`.
        balance: Whether entries have the balance.

    Attributes:
        booked: What was booked: item, change and reference of each.
    """

    def __init__(self, items: list[dict[str, Any]], troubles: dict[str, Any], *, balance: bool) -> None:
        self._items = {item["id"]: item for item in items}
        self._entries = {item["id"]: [dict(entry) for entry in item["entries"]] for item in items}
        self._left: dict[str, int] = dict(troubles.get("fails", {}))
        self._gone: set[str] = set(troubles.get("gone", ()))
        self._tokens: list[str] = troubles.get("tokens", [])
        self._tokens_from: int = troubles.get("tokens_from", 0)
        self._dozens: bool = troubles.get("dozens", False)
        self._timeouts: dict[str, bool] = dict(troubles.get("timeouts", {}))
        self._balance = balance
        self.booked: list[tuple[str, int, str]] = []

    def find(self, name: str) -> list[dict[str, str]]:
        """Items of a name, in every town."""
        self._try("find_item")
        wanted = " ".join(name.casefold().split())
        found = [item for item in self._items.values() if item["name"] == wanted]
        if not found:
            raise ToolError(f"no item is called {name[:40]!r}; pass its name alone, such as 'lamp'")
        return [{"item_id": item["id"], "name": item["name"], "town": item["town"]} for item in found]

    def report(self, item_id: str) -> dict[str, Any]:
        """The copy of the stock, which is old."""
        item = self._item(item_id)
        self._try("stock_report")
        return item["report"]

    def ledger(self, item_id: str, page: int | str) -> dict[str, Any]:
        """A page of all that came and went, oldest first."""
        item = self._item(item_id)
        self._try("ledger")
        entries = self._entries[item["id"]]
        pages = max(1, -(-len(entries) // PAGE))
        tokens = [START, *self._tokens[: pages - 1]]
        if self._tokens_from and not (isinstance(page, int) and page < self._tokens_from):
            return self._page_of_token(item["id"], page, tokens)
        number = int(page) if isinstance(page, int) or page.isdecimal() else 0
        if not 1 <= number <= pages:
            raise ToolError(f"there is no page {str(page)[:20]!r}; the pages are 1 to {pages}")
        return {"page": number, "pages": pages, "entries": self._shown(item["id"], number - 1)}

    def _page_of_token(self, item_id: str, page: int | str, tokens: list[str]) -> dict[str, Any]:
        if page not in tokens:
            raise ToolError(
                f"the ledger has changed: numbers of pages are no longer served. Pass '{START}' as `page` for the "
                "first page, and then the text under `next` of each answer, until it is null"
            )
        at = tokens.index(str(page))
        following = tokens[at + 1] if at + 1 < len(tokens) else None
        return {"entries": self._shown(item_id, at), "next": following}

    def _shown(self, item_id: str, at: int) -> list[dict[str, Any]]:
        """The entries of a page, as it writes them: later pages may count in dozens what comes in whole dozens."""
        entries, balance = self._entries[item_id], 0
        shown: list[dict[str, Any]] = []
        for place, entry in enumerate(entries):
            balance += entry["change"]
            if place // PAGE != at:
                continue
            one = {key: value for key, value in entry.items() if key != "change"}
            if self._dozens and at and entry["change"] % DOZEN == 0:
                one["change_in_dozens"] = entry["change"] // DOZEN
            else:
                one["change"] = entry["change"]
            shown.append({**one, "balance": balance} if self._balance else one)
        return shown

    def book(self, item_id: str, change: int, reference: str) -> dict[str, Any]:
        """Write an entry; the answer may be lost, and the entry with it or not."""
        item = self._item(item_id)
        if change == 0 or abs(change) > 10_000:
            raise ToolError(f"change is {change}; it is a number of units from -10000 to 10000, and not 0")
        reference = reference.strip().upper()[:20]
        kept = self._timeouts.pop(item["id"], None)
        if kept is not False:
            self.booked.append((item["id"], change, reference))
            self._entries[item["id"]].append({"day": "today", "change": change, "reference": reference})
        if kept is not None:
            raise ToolError("timeout: no answer came in time, and the entry may have been written or not")
        return {"written": True, "reference": reference}

    def _item(self, item_id: str) -> dict[str, Any]:
        found = self._items.get(item_id.strip().upper())
        if found is None:
            raise ToolError(f"there is no item {item_id[:20]!r}; find_item gives the ids")
        return found

    def _try(self, tool: str) -> None:
        """Fail, as often as the task says, or for good."""
        if tool in self._gone:
            raise ToolError(f"{tool} was switched off for good; it will not come back")
        if self._left.get(tool, 0):
            self._left[tool] -= 1
            raise ToolError(f"{tool} is overloaded for a moment (503); the same call may work when it is made again")
