"""Rows of IFEval and of NeMo Gym's `instruction_following`."""

from __future__ import annotations

from typing import Any

from llmgym.tasks import Task, one_column, schema_of_row, task_from_row
from llmgym.verifiers import instructions

_MODES = {"binary": "all", "fraction": "share"}


def read_row(row: dict[str, Any]) -> Task:
    """Make the task of a row with instructions; see `Instructions` for the columns.

    Raises:
        ValueError, TypeError: The row is malformed, or asks for what is none of IFEval's instructions.
    """
    columns = {name: value for name, value in row.items() if value is not None}
    names, given = columns.pop("instruction_id_list", None), columns.pop("kwargs", None)
    mode = columns.pop("grading_mode", None)
    if mode is not None and mode not in _MODES:
        raise ValueError(f"grading_mode is {mode!r}; it is {' or '.join(_MODES)}")
    if "responses_create_params" in columns:
        columns.pop("prompt", None)  # which is the request's input again
    columns.setdefault("id", columns.pop("key", ""))
    task = task_from_row(columns)
    reference = {
        "instruction_id_list": list(names) if names is not None else None,
        "kwargs": [_without_nulls(one) for one in given or [None] * len(names or ())],
    }
    instructions.prove(reference)
    metadata = task.metadata if mode is None else {**task.metadata, "score": _MODES[mode]}
    return Task(id=task.id, prompt=task.prompt, answer=reference, metadata=metadata)


def _without_nulls(arguments: Any) -> Any:
    if not isinstance(arguments, dict):
        return {} if arguments is None else arguments
    return {name: value for name, value in arguments.items() if value is not None}


def row_schema() -> dict[str, Any]:
    """The JSON Schema of a row with instructions."""
    opening = {"type": ["string", "array"], "minLength": 1}
    request = {"type": "object", "properties": {"input": opening}, "required": ["input"]}
    return schema_of_row(
        "A task of Instructions",
        {
            "key": {"type": ["string", "integer", "null"], "description": "IFEval's id, where there is no `id`."},
            "prompt": {"description": "What the user says; left out beside `responses_create_params`."},
            "instruction_id_list": {
                "type": "array",
                "minItems": 1,
                "items": {"enum": sorted(instructions.FAMILIES)},
                "description": "Ids of IFEval's instructions; a row with another one is refused.",
            },
            "kwargs": {
                "type": ["array", "null"],
                "items": {"type": ["object", "null"]},
                "description": "The arguments of each; null ones count as absent.",
            },
            "grading_mode": {"enum": [*_MODES, None], "description": "All of them or a share; goes before `score`."},
        },
        required=["instruction_id_list"],
        description="Of IFEval, or of NeMo Gym's instruction_following. Other columns go to the metadata.",
        anyOf=[one_column("responses_create_params", request), one_column("prompt", opening)],
    )
