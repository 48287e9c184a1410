"""Rows of tests, as NeMo Gym has them and as LiveCodeBench keeps them within it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from llmgym.tasks import Task, one_column, row_schema, task_from_row
from llmgym.verifiers.code import Cases

_NAMES = ("inputs", "outputs", "fn_name")


def read_row(row: dict[str, Any]) -> Task:
    """Make the task of a row with tests, in `answer`, `unit_tests` or `verifier_metadata.unit_tests`.

    Raises:
        ValueError, TypeError: The row is malformed.
    """
    task = task_from_row(row)
    metadata = dict(task.metadata)
    tests = task.answer if task.answer is not None else metadata.pop("unit_tests", None)
    if (examples := metadata.get("examples")) is not None:
        metadata["examples"] = read_tests(examples)
    return Task(id=task.id, prompt=task.prompt, answer=read_tests(tests), metadata=metadata)


def read_tests(given: Any) -> dict[str, Any]:
    """Tests as the verifier takes them; JSON as text is read, also where it is an input or an output of a function.

    Raises:
        ValueError: They are malformed.
    """
    tests = _object(json.loads(given) if isinstance(given, str) else given)
    found: dict[str, Any] = {name: tests[name] for name in _NAMES if tests.get(name) is not None}
    inputs = found.get("inputs")
    if "fn_name" in found and isinstance(inputs, list) and inputs and all(isinstance(text, str) for text in inputs):
        found["inputs"] = [[json.loads(line) for line in text.strip().split("\n") if line] for text in inputs]
        found["outputs"] = [json.loads(text) if isinstance(text, str) else text for text in found.get("outputs", [])]
    Cases.of(found)
    return found


def _object(given: Any) -> Mapping[str, Any]:
    if isinstance(given, Mapping):
        return cast("Mapping[str, Any]", given)
    raise ValueError(f"tests are an object with `inputs`, `outputs` and maybe `fn_name`, not {given!r:.100}")


def schema() -> dict[str, Any]:
    """The JSON Schema of such a row."""
    values = {"type": "array", "minItems": 1}
    tests = {
        "type": ["object", "string"],
        "properties": {
            "inputs": {
                **values,
                "description": "Texts of standard input; with `fn_name` lists of arguments, or texts with the JSON of "
                "an argument in each line.",
            },
            "outputs": {
                **values,
                "description": "As many: texts of standard output; with `fn_name` the returned values, as JSON in text "
                "where the inputs are text.",
            },
            "fn_name": {"type": ["string", "null"], "description": "The function; without, a program is asked for."},
        },
        "required": ["inputs", "outputs"],
        "description": "The tests, or their JSON as text.",
    }
    nested = {"type": "object", "properties": {"unit_tests": tests}, "required": ["unit_tests"]}
    absent = ("answer", "expected_answer")
    known = [
        one_column("answer", tests),
        one_column("expected_answer", tests, without=["answer"]),
        one_column("unit_tests", tests, without=absent),
        one_column("verifier_metadata", nested, without=absent),
    ]
    return {**row_schema(), "title": "A programming problem of Code", "allOf": [{"anyOf": known}]}
