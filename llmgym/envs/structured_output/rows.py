"""Rows with a schema: of NeMo Gym's `structured_outputs`, and with values."""

from __future__ import annotations

import json
from typing import Any, get_args

from llmgym.tasks import Task, one_column, schema_of_row, task_from_row
from llmgym.verifiers import structured

_MODES = ("text", "tool_call")


def read_row(row: dict[str, Any]) -> Task:
    """Make the task of a row with a schema; see `StructuredOutput` for the columns.

    Raises:
        ValueError, TypeError: The row is malformed, or its schema is none, or its value does not fit it.
    """
    columns = {name: value for name, value in row.items() if value is not None}
    text, syntax = columns.pop("schema_str", None), columns.pop("schema_type", "json")
    mode, tool, key = (columns.pop(name, None) for name in ("response_mode", "tool_name", "tool_payload_key"))
    value = columns.pop("value", None)
    if not isinstance(text, str):
        raise TypeError(f"`schema_str` is a JSON schema as text, this is {text!r:.100}")
    if syntax not in get_args(structured.Syntax):
        raise ValueError(f"schema_type is {syntax!r}; it is one of {', '.join(get_args(structured.Syntax))}")
    if mode not in (None, *_MODES):
        raise ValueError(f"response_mode is {mode!r}; it is {' or '.join(_MODES)}")
    try:
        schema = json.loads(text)
    except ValueError as error:
        raise ValueError(f"`schema_str` is no JSON: {error}") from None
    task = task_from_row(columns)
    answer = {"schema": schema} if value is None else {"schema": schema, "value": value}
    structured.prove(answer, strict=value is None)
    names = [schema["function"]["name"] for schema in task.metadata.get("tools", [])]
    if mode == "tool_call" and (not names or (tool is not None and tool not in names)):
        raise ValueError(f"the row wants a call of {tool or 'a tool'}; its tools are {', '.join(names) or 'none'}")
    reading = {"tool": tool, "key": key} if mode == "tool_call" else {"syntax": syntax}
    return Task(id=task.id, prompt=task.prompt, answer=answer, metadata={**task.metadata, **reading})


def row_schema() -> dict[str, Any]:
    """The JSON Schema of a row with a schema."""
    opening = {"type": ["string", "array"], "minLength": 1}
    request = {"type": "object", "properties": {"input": opening}, "required": ["input"]}
    text = {"type": ["string", "null"]}
    return schema_of_row(
        "A task of StructuredOutput",
        {
            "schema_str": {"type": "string", "description": "The JSON schema that the data must fit, as text."},
            "schema_type": {"enum": [*get_args(structured.Syntax), None], "default": "json"},
            "value": {"description": "The right data. Without it, any data that fits the schema is right."},
            "response_mode": {"enum": [*_MODES, None], "default": "text"},
            "tool_name": {**text, "description": "The tool that must be called, of `responses_create_params.tools`."},
            "tool_payload_key": {**text, "description": "The argument that holds the data; else all arguments do."},
        },
        required=["schema_str"],
        description="With NeMo Gym's names. Without a value, each property of the schema is required and no other is "
        "allowed, wherever it does not say otherwise. Other columns go to the metadata.",
        anyOf=[one_column("responses_create_params", request), one_column("prompt", opening)],
    )
