"""The data of BFCL as it lies in its package: tasks, right answers, and functions as tools."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from llmgym.adapters.schemas import tool_name
from llmgym.messages import ToolSchema

#: What the package calls types, and JSON Schema otherwise.
_TYPES = {"dict": "object", "float": "number", "tuple": "array", "any": None}


def lines(name: str) -> list[dict[str, Any]]:
    """The objects in a file of the package's data."""
    text = files("bfcl_eval").joinpath("data", name).read_text("utf-8")
    return [json.loads(line) for line in text.splitlines() if line.strip()]


@cache
def answers(category: str) -> dict[str, Any]:
    """The right answers of a category, by the id of the task."""
    return {line["id"]: line["ground_truth"] for line in lines(f"possible_answer/BFCL_v4_{category}.json")}


def tool_schema(function: dict[str, Any]) -> ToolSchema:
    """A function of the package as the schema of a tool."""
    named = {
        "name": tool_name(function["name"]),
        "description": function.get("description", ""),
        "parameters": _schema(function["parameters"]),
    }
    return {"type": "function", "function": named}  # type: ignore[typeddict-item]


def _schema(given: Any) -> Any:
    if isinstance(given, list):
        return [_schema(item) for item in given]
    if not isinstance(given, dict):
        return given
    found = {key: _schema(value) for key, value in given.items()}
    kind = found.get("type")
    if isinstance(kind, str) and kind in _TYPES:
        found["type"] = _TYPES[kind]
        if found["type"] is None:
            del found["type"]
    if "properties" in found:  # whose names are the author's, and may be "type" too
        found["properties"] = {name: _schema(value) for name, value in given["properties"].items()}
    return found
