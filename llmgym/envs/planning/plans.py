"""Reading plans out of replies: JSON, or lines that say the same."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from llmgym.verifiers.numbers import final_number
from llmgym.verifiers.text import folded, without_thoughts

Problem = Mapping[str, Any]

_MOST = 20_000  # characters of a reply
_ENDING = 300  # characters at the end, where prose says that there is no plan
_STEPS = 60
_JSON_STARTS = 40  # braces that are tried, the last ones first
_NUMBER = re.compile(r"(?<![\w.])\d{1,6}(?:\.0+)?(?![\w.]*\d)")
_BULLET = re.compile(r"^\s*\d+[.)]\s")
_ARROW = re.compile(r"->|→|\bthen\b", re.IGNORECASE)
_IMPOSSIBLE = re.compile(
    r"\b(?:impossible|infeasible|not (?:possible|feasible)|no (?:such |valid |feasible )?(?:plan|schedule|tour)"
    r"|can(?:no|')t be (?:done|met))\b",
    re.IGNORECASE,
)


class Unreadable(ValueError):
    """A reply has no plan; says what one looks like."""


@dataclass(frozen=True)
class Reply:
    """What a reply says.

    Attributes:
        plan: The plan; None where it says that there is none.
        best: What it says can be reached at best, where it says that there is no plan.
    """

    plan: list[Any] | None
    best: int | None = None


def read_reply(text: str, problem: Problem) -> Reply:
    """Read a reply.

    Raises:
        Unreadable: It has neither a plan nor says that there is none.
    """
    said = folded(without_thoughts(text)).strip()
    if len(said) > _MOST:
        raise Unreadable(f"it has more than {_MOST:,} characters")
    for value in _values(said):
        if found := _from_json(value, problem):
            return found
        if isinstance(value, dict) and "impossible" in value:
            raise Unreadable("it has neither a plan nor says that there is none")
    if _IMPOSSIBLE.search(said[-_ENDING:]):
        number = final_number(said)
        return Reply(None, int(number) if number is not None and number.denominator == 1 else None)
    plan = _from_lines(said.replace("*", "").replace("`", ""), problem)
    if not plan:
        raise Unreadable("there is no plan in it")
    return Reply(plan)


def _values(text: str) -> Iterator[Any]:
    """The JSON objects and lists in a text, the last ones first, none inside of another."""
    decoder = json.JSONDecoder()
    starts = [match.start() for match in re.finditer(r"[\[{]", text)][-_JSON_STARTS:]
    found: list[tuple[int, int, Any]] = []
    for start in starts:
        if found and start < found[-1][1]:
            continue
        try:
            value, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            continue
        found.append((start, end, value))
    yield from (value for _, _, value in reversed(found))


def _from_json(value: Any, problem: Problem) -> Reply | None:
    """What JSON says; None where it is something else."""
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        if fields.get("impossible") is True or fields.get("plan", "") is None or fields.get("plan") == "impossible":
            return Reply(None, _whole(fields.get("best")))
        if "plan" in fields:
            value = fields["plan"]
        elif len(fields) == 1 and isinstance(next(iter(fields.values())), list):
            value = next(iter(fields.values()))
        else:
            return None
    if not isinstance(value, list) or len(value) > _STEPS:
        return None
    return plan_of(cast("list[Any]", value), problem)


def plan_of(steps: list[Any], problem: Problem) -> Reply | None:
    """The plan that a list of steps is; None where it is none."""
    tour = problem["kind"] == "tour"
    read = [_place(step, problem) if tour else _step(step, problem) for step in steps]
    return None if not read or any(step is None for step in read) else Reply(read)


def _place(step: Any, problem: Problem) -> str | None:
    """The place of a step; the hotel, where a tour starts and ends, is none of them."""
    if isinstance(step, dict):
        named = [value for value in cast("dict[str, Any]", step).values() if _name(value, _places(problem))]
        step = named[0] if named else None
    return _name(step, _places(problem))


def _step(step: Any, problem: Problem) -> dict[str, Any] | None:
    """Job, worker and start of a step."""
    if isinstance(step, list):
        values = cast("list[Any]", step)
        step = dict(zip(("job", "worker", "start"), values, strict=False)) if len(values) >= 3 else None
    if not isinstance(step, dict):
        return None
    fields = {key.lower(): value for key, value in cast("dict[str, Any]", step).items()}
    job = _name(fields.get("job", fields.get("task", fields.get("name"))), _jobs(problem))
    worker = _name(fields.get("worker", fields.get("by", fields.get("person"))), problem["workers"])
    start = _whole(fields.get("start", fields.get("start_hour", fields.get("from"))))
    return None if job is None or worker is None or start is None else {"job": job, "worker": worker, "start": start}


def _from_lines(text: str, problem: Problem) -> list[Any]:
    """The plan that lines say: each a job, a person and an hour, or one with the places in their order."""
    lines = text.splitlines()
    if problem["kind"] == "tour":
        pattern = re.compile("|".join(rf"\b{re.escape(name)}\b" for name in _places(problem)), re.IGNORECASE)
        # The ways of the problem itself have several places in a line, too, and minutes.
        meant = [line for line in lines if _ARROW.search(line) or not re.search(r"\d", _BULLET.sub("", line))]
        found = [[name.lower() for name in pattern.findall(line)] for line in meant]
        several = [names for names in found if len(names) > 1]
        return several[-1] if several else [names[0] for names in found if names]
    plan: list[Any] = []
    for line in lines:
        jobs = [name for name in _jobs(problem) if re.search(rf"\b{re.escape(name)}\b", line, re.IGNORECASE)]
        workers = [name for name in problem["workers"] if re.search(rf"\b{re.escape(name)}\b", line, re.IGNORECASE)]
        number = _NUMBER.search(_BULLET.sub("", line))
        if len(jobs) == 1 and len(workers) == 1 and number:
            plan.append({"job": jobs[0], "worker": workers[0], "start": int(float(number[0]))})
    return plan


def _places(problem: Problem) -> list[str]:
    return [place["name"] for place in problem["places"]]


def _jobs(problem: Problem) -> list[str]:
    return [job["name"] for job in problem["jobs"]]


def _name(value: Any, names: list[str]) -> str | None:
    if not isinstance(value, str):
        return None
    wanted = value.strip().lower().removeprefix("the ")
    return next((name for name in names if name.lower() == wanted), None)


def _whole(value: Any) -> int | None:
    """A whole number that is not negative; "hour 3" is 3."""
    if isinstance(value, str):
        found = re.fullmatch(r"\s*(?:hour\s*)?(\d{1,6})(?:\.0+)?\s*(?:hours?|h)?\s*", value, re.IGNORECASE)
        return int(found[1]) if found else None
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value or abs(value) > 10**6:
        return None
    return int(value) if value == int(value) and value >= 0 else None
