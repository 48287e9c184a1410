"""Folders of files by chance: logs of services, tables, settings, source and notes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from random import Random
from typing import TypeVar

from llmgym.envs.vocabulary import FAMILY_NAMES, PLACES, THINGS

_T = TypeVar("_T")

#: Contents of files by path.
Tree = dict[str, str]

SERVICES = ("api", "auth", "billing", "cache", "mailer", "search", "sync", "worker")
LEVELS = ("DEBUG", "INFO", "WARN", "ERROR")
STATUSES = ("open", "paid", "sent", "void")
SETTINGS = ("host", "port", "timeout", "retries", "log_level", "region", "pool")
_VALUES = {
    "host": ("db1.internal", "db2.internal", "db3.internal"),
    "port": ("5432", "6432", "8080"),
    "timeout": ("10", "30", "60"),
    "retries": ("2", "3", "5"),
    "log_level": ("info", "debug", "warn"),
    "region": ("north", "south", "east"),
    "pool": ("4", "8", "16"),
}
FUNCTIONS = ("load_rows", "parse_line", "make_key", "send_mail", "read_state", "check_sum", "open_log", "find_user")
_MESSAGES = ("started", "request served", "cache miss", "retrying", "connection closed", "job done", "slow query")


class NothingThere(LookupError):
    """There is nothing to choose from."""


def pick(rng: Random, choices: Sequence[_T]) -> _T:
    """One of some things.

    Raises:
        NothingThere: There are none.
    """
    if not choices:
        raise NothingThere
    return choices[int(rng.random() * len(choices))]  # Python promises its `random`, not its `choice`


def some(rng: Random, choices: Sequence[_T], count: int) -> list[_T]:
    """Several of some things, no one twice."""
    left = list(choices)
    return [left.pop(int(rng.random() * len(left))) for _ in range(min(count, len(left)))]


def number(rng: Random, low: int, high: int) -> int:
    """A whole number, both ends included."""
    return low + int(rng.random() * (high - low + 1))


def make(rng: Random, size: int) -> Tree:
    """A folder; the size is how many services it is of, each with some three logs, a table and settings."""
    tree: Tree = {}
    services = some(rng, SERVICES, size)
    first = date(2031, 1, 1) + timedelta(days=number(rng, 0, 330))
    for service in services:
        for _ in range(number(rng, 2, 4)):
            day = first + timedelta(days=number(rng, 0, 25))
            tree[f"logs/{service}-{day}.log"] = _log(rng, day)
        tree[f"config/{service}.conf"] = _settings(rng, service)
    for place in some(rng, PLACES, size + 1):
        tree[f"data/orders-{place.lower()}.csv"] = _orders(rng)
    for module in some(rng, SERVICES, size + 1):
        tree[f"src/{pick(rng, ('core', 'web'))}/{module}.py"] = _source(rng)
    for word in some(rng, THINGS, size + 2):
        tree[f"notes/{pick(rng, ('', 'old/'))}{word}.txt"] = _note(rng)
    for word in some(rng, THINGS, size + 1):
        where = pick(rng, ("", "notes/", "data/", "src/", "logs/"))
        tree[f"{where}{word}.{pick(rng, ('tmp', 'bak'))}"] = _note(rng) if rng.random() < 0.6 else ""
    return dict(sorted(tree.items()))


def lines(text: str) -> list[str]:
    """The lines of a file."""
    return text.splitlines()


def _joined(rows: Sequence[str]) -> str:
    return "".join(f"{row}\n" for row in rows)


def _log(rng: Random, day: date) -> str:
    """A line for each event: time, level, client, message."""
    clients = [f"10.0.{number(rng, 0, 3)}.{number(rng, 2, 60)}" for _ in range(5)]
    moments = sorted({number(rng, 0, 86_399) for _ in range(number(rng, 12, 40))})
    start = datetime.combine(day, datetime.min.time())
    return _joined(
        [
            f"{(start + timedelta(seconds=second)).isoformat()} {pick(rng, LEVELS)} client={pick(rng, clients)} "
            f"{pick(rng, _MESSAGES)}"
            for second in moments
        ]
    )


def _settings(rng: Random, service: str) -> str:
    rows = [f"{name} = {pick(rng, _VALUES[name])}" for name in some(rng, SETTINGS, number(rng, 4, 7))]
    return _joined([f"# settings of {service}", *rows])


def _orders(rng: Random) -> str:
    """A table of orders, their numbers rising."""
    order = number(rng, 1000, 5000)
    rows = ["order,customer,item,quantity,price,status"]
    for _ in range(number(rng, 10, 30)):
        order += number(rng, 1, 9)
        item, customer = pick(rng, THINGS), pick(rng, FAMILY_NAMES)
        rows.append(f"{order},{customer},{item},{number(rng, 1, 40)},{number(rng, 3, 250)},{pick(rng, STATUSES)}")
    return _joined(rows)


def _source(rng: Random) -> str:
    """Functions that call each other; some names begin with those of others."""
    rows = ['"""Part of the service."""', ""]
    for name in some(rng, FUNCTIONS, number(rng, 2, 4)):
        called = pick(rng, FUNCTIONS)
        rows += [
            "",
            f"def {name}(value):",
            f"    return {called}(value, limit={number(rng, 1, 99)})  # {called}_all?",
            "",
        ]
    return _joined(rows)


def _note(rng: Random) -> str:
    return _joined(
        [f"{pick(rng, PLACES)}: {number(rng, 2, 90)} x {pick(rng, THINGS)}" for _ in range(number(rng, 3, 15))]
    )
