"""Rows of NeMo Gym that say which calls are right, of which the first message alone is scored."""

from __future__ import annotations

import json
from typing import Any

from llmgym.tasks import Task, one_column, schema_of_row, task_from_row
from llmgym.verifiers import tool_calls

_ACTIONS = ("message", "function_call", "function_call_batch")


def read_row(row: dict[str, Any]) -> Task:
    """Make the task of a row with right calls; see `FunctionCalling` for the columns.

    Raises:
        ValueError, TypeError: The row is malformed, or its calls cannot be made with its tools.
    """
    columns = {name: value for name, value in row.items() if value is not None}
    action, answers = columns.pop("expected_action", None), columns.pop("expected_answers", None)
    if (action is None) == (answers is None):
        raise ValueError("a row needs either `expected_action` or `expected_answers`")
    given = _of_action(action) if answers is None else answers
    if not isinstance(given, list) or (answers is not None and not given):
        raise TypeError(f"right calls are a list, not {given!r:.100}")
    calls = [_call(one) for one in given]
    task = task_from_row(columns)
    tools = task.metadata.get("tools", [])
    names = [tool["function"]["name"] for tool in tools]
    if missing := [call["name"] for call in calls if call["name"] not in names]:
        raise ValueError(f"{missing[0]!r} is called and is none of the tools {', '.join(names) or '(none)'}")
    tool_calls.prove(calls)
    return Task(id=task.id, prompt=task.prompt, answer={"calls": calls}, metadata={**task.metadata, "tools": tools})


def _of_action(action: Any) -> Any:
    if not isinstance(action, dict) or action.get("type") not in _ACTIONS:
        raise ValueError(f"expected_action is {action!r:.100}; its type is {', '.join(_ACTIONS)}")
    if action["type"] == "message":
        return []
    calls = [action] if action["type"] == "function_call" else action.get("calls")
    if not calls:
        raise ValueError(f"expected_action has no calls; it has {', '.join(action)}")
    return calls


def _call(given: Any) -> dict[str, Any]:
    if not isinstance(given, dict) or not isinstance(given.get("name"), str):
        raise TypeError(f"a right call has a name and arguments, not {given!r:.100}")
    arguments = given.get("arguments") or {}
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except ValueError as error:
            raise ValueError(f"the arguments of {given['name']} are no JSON: {error}") from None
    return {"name": given["name"], "arguments": arguments}


def row_schema() -> dict[str, Any]:
    """The JSON Schema of a row with right calls."""
    opening = {"type": ["string", "array"], "minLength": 1}
    request = {
        "type": "object",
        "properties": {"input": opening, "tools": {"type": ["array", "null"]}},
        "required": ["input"],
    }
    action = {
        "type": "object",
        "properties": {"type": {"enum": list(_ACTIONS)}, "name": {"type": ["string", "null"]}},
        "required": ["type"],
    }
    answers = {"type": "array", "minItems": 1, "items": {"type": "object", "required": ["name"]}}
    return schema_of_row(
        "A task of FunctionCalling",
        {
            "responses_create_params": {"description": "A request of the Responses API, with its tools."},
            "expected_action": {"description": "A message, a call, or a batch of calls, as NeMo Gym has it."},
            "expected_answers": {"description": "A list of calls, as NeMo Gym's xlam_fc has it."},
        },
        description="The first message of the policy is scored. Other columns go to the metadata.",
        allOf=[
            one_column("responses_create_params", request),
            {
                "anyOf": [
                    one_column("expected_action", action, without=["expected_answers"]),
                    one_column("expected_answers", answers, without=["expected_action"]),
                ]
            },
        ],
    )
