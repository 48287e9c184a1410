"""Problems of a user's own."""

from __future__ import annotations

import re
from typing import Any, get_args

from llmgym.tasks import Task, one_column, row_schema, task_from_row
from llmgym.verifiers import math

_DELIMITERS = re.compile(r"\\\(|\\\)|\\\[|\\\]|^\$+|\$+$")
_OTHERS = ("prompt", "messages", "responses_create_params")


def read_row(row: dict[str, Any]) -> Task:
    """Make the task of a row with a problem and its answer, which must be one that can be compared.

    Raises:
        KeyError, ValueError, TypeError: The row is malformed.
    """
    columns = dict(row)
    if all(columns.get(name) is None for name in _OTHERS) and columns.get("question") is not None:
        columns["prompt"] = columns.pop("question")
    task = task_from_row(columns)
    if not isinstance(task.answer, int | float | str) or isinstance(task.answer, bool):
        raise TypeError(f"the answer is a number or text, this is {task.answer!r:.100}")
    form = task.metadata.get("form")
    if form not in (None, *get_args(math.Kind)):
        raise ValueError(f"unknown form {form!r:.100}; there is {', '.join(get_args(math.Kind))}")
    answer = _DELIMITERS.sub("", str(task.answer).strip()).strip()
    verdict = math.check("", answer, kind=form)
    if verdict.score is None:
        raise ValueError(f"the answer {answer!r:.100} cannot be compared: {verdict.detail}")
    return Task(id=task.id, prompt=task.prompt, answer=answer, metadata=task.metadata)


def schema() -> dict[str, Any]:
    """The JSON Schema of a row with a problem and its answer."""
    answer = {
        "type": ["number", "string"],
        "description": "What is right, in LaTeX or plain, of a kind that `llmgym.verifiers.math` compares.",
    }
    question = {"type": "string", "description": "The problem, where there is no prompt."}
    base = row_schema()
    forms = {"enum": [None, *get_args(math.Kind)], "description": "The kind of the answer; else what it looks like."}
    return {
        **base,
        "title": "A problem of Math",
        "properties": {**base["properties"], "form": forms},
        "anyOf": [*base["anyOf"], one_column("question", question, without=_OTHERS)],
        "allOf": [{"anyOf": [one_column("answer", answer), one_column("expected_answer", answer, without=["answer"])]}],
    }
