"""Tasks: questions about a stock and deliveries to book, and all that goes wrong on the way."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from llmgym.envs.error_recovery.stock import DOZEN, PAGE
from llmgym.envs.kinds import CODE, DATE, Rng, pick, some
from llmgym.envs.vocabulary import PLACES, THINGS
from llmgym.errors import ConfigError
from llmgym.tasks import Task

#: What tasks ask for: a number, or deliveries to be booked and then a number.
KINDS = ("count", "book")
#: What may go wrong, besides reports that are always old.
TROUBLES = ("find_fails", "ledger_fails", "report_gone", "tokens", "dozens", "towns")
_FAILING = {"find_fails": "find_item", "ledger_fails": "ledger"}

_COUNT = (
    "How many units of the {name} does the store in {town} hold now?",
    "I have to know how many units of the {name} are in the store in {town} as of now.",
    "Find out the number of units of the {name} that the store in {town} has at the moment.",
)
_BOOK = (
    "Two deliveries have come in: {first}, and {second}. Book each of them exactly once. How many units of both "
    "together are there afterwards, in these two stores?",
    "Please book {first}, and also {second}, each exactly once. Then tell me how many units of the two there are "
    "together in these two stores.",
    "These have arrived: {first}, and {second}. Each has to be booked once and only once. What I want to know then is "
    "the number of units of both in these two stores, added up.",
)
_ENDINGS = (
    "End your reply with the number.",
    "The last thing in your reply must be the number.",
    "Close with the number that you find.",
)


@dataclass(frozen=True, slots=True)
class Problems:
    """A generator of tasks.

    Attributes:
        kinds: Of `KINDS`.
        troubles: Fewest and most of `TROUBLES` in a task.
        entries: Fewest and most entries of a ledger.
        balance: Whether entries have the balance, so that nothing has to be added up.
    """

    kinds: tuple[str, ...]
    troubles: tuple[int, int]
    entries: tuple[int, int]
    balance: bool

    def __post_init__(self) -> None:
        """Check the fields."""
        if not self.kinds or not set(self.kinds).issubset(KINDS):
            raise ConfigError(f"kinds is {list(self.kinds)}; it has some of {', '.join(KINDS)}")
        if not 1 <= self.troubles[0] <= self.troubles[1] <= len(TROUBLES):
            raise ConfigError(f"troubles is {list(self.troubles)}; two numbers from 1 to {len(TROUBLES)}")
        if not 2 <= self.entries[0] <= self.entries[1] <= 24:
            raise ConfigError(f"entries is {list(self.entries)}; two numbers from 2 to 24")

    def __call__(self, rng: Rng) -> Task:
        """Make a task."""
        kind = pick(rng, self.kinds)
        troubles = self._troubles(rng)
        names, towns = some(rng, THINGS, 2), some(rng, PLACES, 5)
        ids = [f"{letter}{int(rng.integers(10_000, 100_000))}" for letter in some(rng, "ABCDEFGH", 5)]
        wanted = 2 if kind == "book" else 1
        others, dozens = troubles.pop("towns", 0), troubles.get("dozens", False)
        items = [self._item(rng, ids[at], names[at], towns[at], dozens) for at in range(wanted)]
        items += [self._item(rng, ids[at], names[0], towns[at], dozens) for at in range(wanted, wanted + others)]
        answer: dict[str, Any] = {"number": sum(map(_held, items[:wanted])), "booked": []}
        if kind == "count":
            text = pick(rng, _COUNT).format(name=names[0], town=towns[0])
        else:
            lost = int(rng.integers(2))
            changes = [int(rng.integers(13, 90)) for _ in range(2)]
            references = [CODE.draw(rng) for _ in range(2)]
            troubles["timeouts"] = {item["id"]: at != lost for at, item in enumerate(items[:2])}
            answer["booked"] = [[items[at]["id"], changes[at], references[at]] for at in range(2)]
            answer["number"] += sum(changes)
            said = [
                f"{changes[at]} units of the {names[at]} for the store in {towns[at]} (reference {references[at]})"
                for at in range(2)
            ]
            text = pick(rng, _BOOK).format(first=said[0], second=said[1])
        return Task(
            prompt=f"{text} {pick(rng, _ENDINGS)}",
            answer=answer,
            metadata={
                "items": some(rng, items, len(items)),
                "troubles": troubles,
                "balance": self.balance,
                "wanted": [{"name": names[at], "town": towns[at]} for at in range(wanted)],
            },
        )

    def _troubles(self, rng: Rng) -> dict[str, Any]:
        """What goes wrong, with all that it depends on."""
        known = [name for name in TROUBLES if not (name == "dozens" and self.balance)]
        names = some(rng, known, int(rng.integers(self.troubles[0], self.troubles[1] + 1)))
        fails = {_FAILING[name]: int(rng.integers(1, 4)) for name in names if name in _FAILING}
        found: dict[str, Any] = {"fails": fails}
        if "report_gone" in names:
            found["gone"] = ["stock_report"]
        if "tokens" in names:
            found["tokens"] = [f"t{int(rng.integers(1000, 10_000))}-{at}" for at in range(8)]
            found["tokens_from"] = int(rng.integers(1, 3)) if self.entries[0] > PAGE else 1
        if "dozens" in names:
            found["dozens"] = True
        if "towns" in names:
            found["towns"] = int(rng.integers(1, 4))
        return found

    def _item(self, rng: Rng, code: str, name: str, town: str, dozens: bool) -> dict[str, Any]:
        """Something in a store, whose report is as old as an earlier entry, and wrong."""
        count = int(rng.integers(self.entries[0], self.entries[1] + 1))
        days = sorted(DATE.draw(rng) for _ in range(count))
        changes = [int(rng.integers(200, 900))]
        while len(changes) < count:
            changes.append(_change(rng, sum(changes), dozens and len(changes) >= PAGE))
            if len(changes) == count and 0 in accumulate(reversed(changes)):  # an earlier balance would be right
                changes.pop()
        old = int(rng.integers(count - 1))
        return {
            "id": code,
            "name": name,
            "town": town,
            "entries": [
                {"day": day, "change": change, "reference": CODE.draw(rng)}
                for day, change in zip(days, changes, strict=True)
            ],
            "report": {"item_id": code, "quantity": sum(changes[: old + 1]), "as_of": days[old]},
        }


def _change(rng: Rng, balance: int, dozens: bool) -> int:
    """What comes or goes, never more than there is."""
    size = int(rng.integers(1, 9)) * DOZEN if dozens and rng.random() < 0.6 else int(rng.integers(3, 90))
    return -size if balance > size + 20 and rng.random() < 0.6 else size


def _held(item: dict[str, Any]) -> int:
    return sum(entry["change"] for entry in item["entries"])
