"""Rows of a user's own: a request, the tables that it is about, and the calls that do it."""

from __future__ import annotations

from typing import Any

from llmgym.envs.office import Desk
from llmgym.envs.office.tables import PREFIXES, Row, Tables
from llmgym.envs.workplace import nemo_gym
from llmgym.errors import ToolError
from llmgym.tasks import Task, row_schema, schema_of_row
from llmgym.verifiers.structured.schemas import find_faults

_TEXT = {"type": "string"}
_WHOLE = {"type": "integer"}
_COLUMNS: dict[str, dict[str, Any]] = {
    "people": dict.fromkeys(("name", "email", "team"), _TEXT),
    "mails": dict.fromkeys(("id", "folder", "sender", "to", "subject", "sent", "body"), _TEXT),
    "events": {
        **dict.fromkeys(("id", "title", "start", "place"), _TEXT),
        "minutes": _WHOLE,
        "participants": {"type": "array", "items": _TEXT},
    },
    "customers": dict.fromkeys(
        ("id", "name", "company", "email", "owner", "status", "product", "last_contact", "note"), _TEXT
    ),
    "tasks": dict.fromkeys(("id", "title", "assignee", "board", "stage", "due", "note"), _TEXT),
    "visits": {
        **dict.fromkeys(("date", "source"), _TEXT),
        **dict.fromkeys(("visits", "engaged", "seconds"), _WHOLE),
    },
}


def _table(columns: dict[str, Any]) -> dict[str, Any]:
    row = {"type": "object", "properties": columns, "required": list(columns), "additionalProperties": False}
    return {"type": "array", "items": row}


_TABLES: dict[str, Any] = {
    "type": "object",
    "properties": {name: _table(columns) for name, columns in _COLUMNS.items()},
    "required": ["people"],
    "additionalProperties": False,
    "description": "Rows of each table; the first of `people` is whom the assistant works for.",
}
_TABLES["properties"]["people"]["minItems"] = 1
_CALLS: dict[str, Any] = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {"name": _TEXT, "arguments": {"type": "object"}},
        "required": ["name", "arguments"],
    },
    "description": "Calls of the tools that do what is asked; none where nothing is to change.",
}
_OWN = schema_of_row(
    "A request in an office",
    {
        "prompt": {"type": "string", "description": "The request."},
        "now": {
            "type": "string",
            "pattern": r"^\d{4}-\d{2}-\d{2} \d{2}:\d{2}$",
            "description": "Date and time, such as 2026-03-02 09:30.",
        },
        "tables": _TABLES,
        "answer": _CALLS,
    },
    required=["prompt", "now", "tables", "answer"],
)
_THEIRS: dict[str, Any] = {
    **row_schema(),
    "title": "A row of NeMo Gym's workplace_assistant",
    "required": ["responses_create_params", "ground_truth"],
}
_THEIRS["properties"] = {
    **_THEIRS["properties"],
    "ground_truth": {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {"name": {"enum": sorted(nemo_gym.NAMES)}, "arguments": _TEXT},
            "required": ["name", "arguments"],
        },
        "description": "The calls that do it; arguments are an object in JSON text.",
    },
}
SCHEMA: dict[str, Any] = {"title": "A row of Workplace", "type": "object", "anyOf": [_OWN, _THEIRS]}


def read(row: dict[str, Any]) -> Task:
    """Make the task of a row.

    Raises:
        ValueError: It does not fit the schema, or its calls fail.
    """
    if "ground_truth" in row:
        return nemo_gym.read(row)
    if faults := find_faults(row, _OWN):
        raise ValueError("; ".join(text for _, text in faults[:3]))
    task = Task(
        id=row.get("id", ""), prompt=row["prompt"], answer=row["answer"],
        metadata={"tables": row["tables"], "now": row["now"]},
    )  # fmt: skip
    try:
        Desk(tables_of(task)).carry_out(row["answer"])
    except (ToolError, TypeError, AttributeError, KeyError) as error:
        raise ValueError(f"the calls of the answer fail: {error}") from None
    return task


def tables_of(task: Task) -> Tables:
    """The tables of a row's task."""
    given = task.metadata["tables"]
    rows: dict[str, dict[str, Row]] = {name: {row["id"]: row for row in given.get(name, [])} for name in PREFIXES}
    rows["mails"] = {key: {**row, "refers_to": None} for key, row in rows["mails"].items()}
    rows["events"] = {key: {"notes": "", **row} for key, row in rows["events"].items()}
    visits = [
        (row["date"], row["source"], row["visits"], row["engaged"], row["seconds"]) for row in given.get("visits", [])
    ]
    return Tables(rows, visits, given["people"], task.metadata["now"])
