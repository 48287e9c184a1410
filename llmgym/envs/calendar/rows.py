"""Rows of NeMo Gym's calendar: a conversation, and what the reply to its last message has to keep to."""

from __future__ import annotations

import re
from typing import Any

from llmgym.envs.calendar.replies import read_clock
from llmgym.envs.calendar.schedules import Event, schedule
from llmgym.tasks import Task, row_schema, task_from_row

_CONSTRAINT = re.compile(r"(before|after|at) (\S+)|between (\S+) and (\S+)")
_CLOCK = {"type": "string", "description": 'A time, such as "10:00" or "10am".'}
SCHEMA: dict[str, Any] = {
    **row_schema(),
    "title": "A conversation of NeMo Gym's calendar",
}
SCHEMA["properties"] = {
    **SCHEMA["properties"],
    "exp_cal_state": {
        "type": "object",
        "minProperties": 1,
        "propertyNames": {"pattern": r"^\d+$"},
        "additionalProperties": {
            "type": "object",
            "properties": {
                "duration": {"type": "integer", "minimum": 1},
                "constraint": {
                    "type": ["string", "null"],
                    "description": "before, after, at TIME, between TIME and TIME",
                },
                "min_time": _CLOCK,
                "max_time": _CLOCK,
            },
            "required": ["duration", "min_time", "max_time"],
        },
        "description": "What holds of each event, by its number; the reply is judged by that.",
    },
}
SCHEMA["required"] = [*SCHEMA.get("required", ()), "exp_cal_state"]


def read(row: dict[str, Any]) -> Task:
    """Make the task of a row.

    Raises:
        ValueError: Its state is empty, which would pay for any reply, or cannot be read or kept to.
        KeyError: It has none.
    """
    state = row["exp_cal_state"]
    if not isinstance(state, dict) or not state:
        raise ValueError("exp_cal_state is empty: any reply would be right; give events")
    events = [_event(key, given) for key, given in state.items()]
    if len(events) > 12:
        raise ValueError(f"exp_cal_state has {len(events)} events; at most 12 can be searched for a schedule")
    if schedule(events) is None:
        raise ValueError("no calendar keeps to exp_cal_state")
    rest = task_from_row({name: value for name, value in row.items() if name != "exp_cal_state"})
    return Task(
        id=rest.id, prompt=rest.prompt, answer=[{"set": [event.to_json() for event in events]}], metadata=rest.metadata
    )


def _event(key: str, given: dict[str, Any]) -> Event:
    minutes, low, high = given["duration"], _clock(given["min_time"]), _clock(given["max_time"])
    if isinstance(minutes, bool) or not isinstance(minutes, int) or minutes < 1:
        raise ValueError(f"event {key}: duration {minutes!r} is no number of minutes")
    constraint = given.get("constraint")
    if constraint is not None:
        match = _CONSTRAINT.fullmatch(constraint)
        if match is None:
            raise ValueError(f"event {key}: constraint {constraint!r} is neither before, after, at nor between times")
        if match[1] is None:
            low, high = max(low, _clock(match[3])), min(high, _clock(match[4]))
        else:
            time = _clock(match[2])
            low = max(low, time) if match[1] != "before" else low
            end = time + minutes if match[1] == "at" else time
            high = min(high, end) if match[1] != "after" else high
    return Event(int(key), "", minutes, low, high)


def _clock(text: str) -> int:
    minutes = read_clock(text)
    if minutes is None:
        raise ValueError(f"{text!r} is no time")
    return minutes
