"""Rows of NeMo Gym: as tasks that are played with its server, and those that environments of llmgym play without it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from llmgym.errors import LLMGymError
from llmgym.loading import load
from llmgym.registry import entry
from llmgym.tasks import Task, row_schema, task_from_row

#: The environments of llmgym that read rows of a server, by the server's name.
ROUTES: Final[Mapping[str, str]] = {
    "calendar": "llmgym/Calendar-v0",
    "code_gen": "llmgym/Code-v0",
    "gpqa_diamond": "llmgym/MultipleChoice-v0",
    "graphwalks": "llmgym/LongContext-v0",
    "instruction_following": "llmgym/Instructions-v0",
    "lc_niah": "llmgym/LongContext-v0",
    "math_with_code": "llmgym/MathPython-v0",
    "math_with_judge": "llmgym/Math-v0",
    "mcqa": "llmgym/MultipleChoice-v0",
    "polymath": "llmgym/Math-v0",
    "single_step_tool_use_with_argument_comparison": "llmgym/FunctionCalling-v0",
    "structured_outputs": "llmgym/StructuredOutput-v0",
    "text_to_sql": "llmgym/TextToSQL-v0",
    "workplace_assistant": "llmgym/Workplace-v0",
    "xlam_fc": "llmgym/FunctionCalling-v0",
}
SERVED: Final = "llmgym/NeMoGym-v0"


def read_row(row: dict[str, Any]) -> Task:
    """Make the task of a row, which keeps all of it for the server.

    A row is flat, or as 0.7 writes it: `task_id` and `task_input`, with `task_data` in that.

    Raises:
        ValueError, TypeError: The row has no opening in `responses_create_params`.
    """
    flat = _flat(row)
    if not isinstance(flat.get("responses_create_params"), Mapping):
        raise TypeError(f"a row of NeMo Gym has `responses_create_params`; this one has {', '.join(row)}")
    task = task_from_row(flat)
    return Task(id=task.id, prompt=task.prompt, metadata={"row": flat})


def schema() -> dict[str, Any]:
    """The JSON Schema of a row."""
    return row_schema() | {
        "title": "A row of NeMo Gym",
        "anyOf": [
            {"required": ["responses_create_params"]},
            {"required": ["task_id", "task_input"]},
        ],
    }


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    given = row.get("task_input")
    if not isinstance(given, Mapping) or not isinstance(row.get("task_id"), Mapping):
        return dict(row)
    data = given.get("task_data")
    request = {name: value for name, value in given.items() if name != "task_data"}
    return {**(data if isinstance(data, Mapping) else {}), **request}


def route(row: Mapping[str, Any], server: str = "") -> str:
    """The id that plays a row: one of llmgym's own where there is one that reads it, else `llmgym/NeMoGym-v0`.

    Args:
        row: The row.
        server: Name of its resource server; the row's `agent_ref` tells it where that is there.
    """
    agent = row.get("agent_ref")
    name = server or (str(agent.get("name", "")) if isinstance(agent, Mapping) else "")
    found = max((known for known in ROUTES if name == known or name.startswith(f"{known}_")), key=len, default="")
    if not found:
        return SERVED
    try:
        load(entry(ROUTES[found]).entry_point, "environment").read_row(dict(row))
    except (LLMGymError, KeyError, TypeError, ValueError):  # of a dialect or a check that it does not have
        return SERVED
    return ROUTES[found]


def routed(rows: Iterable[Mapping[str, Any]], server: str = "") -> dict[str, list[Mapping[str, Any]]]:
    """The rows by the id that plays them; see `route`."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(route(row, server), []).append(row)
    return found
