"""Conversations of a user's own, whole in a row."""

from __future__ import annotations

from typing import Any

from llmgym import tasks
from llmgym.envs.customer_service.problems import DOMAINS
from llmgym.tasks import Task, task_from_row

_NEEDED = ("domain", "today", "policy", "tables", "user")


def read_row(row: dict[str, Any]) -> Task:
    """Make the task of a row that holds a whole conversation.

    Raises:
        ValueError: It does not.
    """
    task = task_from_row(row)
    if missing := [name for name in _NEEDED if name not in task.metadata]:
        raise ValueError(
            f"metadata has no {missing[0]!r}; a row holds the data, the policy and the customer, as those of generated "
            "tasks do: tools and customers that a model plays are not taken"
        )
    if task.metadata["domain"] not in DOMAINS:
        raise ValueError(f"domain is {task.metadata['domain']!r}; there is {', '.join(DOMAINS)}")
    if not isinstance(task.answer, dict) or {"tables", "told"} - task.answer.keys():
        raise ValueError("the answer is an object with `tables`, the rows that change, and `told`, amounts to tell")
    return task


def row_schema() -> dict[str, Any]:
    """The JSON Schema of a row that holds a whole conversation."""
    known = {
        "metadata": {"type": "object", "required": [*_NEEDED], "properties": {"domain": {"enum": [*DOMAINS]}}},
        "answer": {"type": "object", "required": ["tables", "told"]},
    }
    standard = tasks.row_schema()
    return {**standard, "title": "A conversation of CustomerService", "allOf": [{"properties": known}]}
