"""Questions of one's own, each with its documents."""

from __future__ import annotations

from typing import Any

from llmgym.envs.documents import with_answers
from llmgym.tasks import Task, schema_of_row, task_from_row

MAX_DOCUMENTS = 2000  # they are indexed anew for each episode
_TEXT = {"type": "string", "minLength": 1}


def read_row(row: dict[str, Any]) -> Task:
    """Make the task of a row with documents, a question and its answer.

    Raises:
        ValueError: It has no documents, or an answer that cannot be matched.
    """
    row = dict(row)
    if "responses_create_params" in row and not row.get("documents"):
        raise ValueError("the row has no `documents`: its question is one of the web, which cannot be searched here")
    documents = row.pop("documents")
    if not isinstance(documents, list) or not 1 <= len(documents) <= MAX_DOCUMENTS:
        raise ValueError(f"documents must be a list of 1 to {MAX_DOCUMENTS} objects with `title` and `text`")
    for at, document in enumerate(documents):
        if not (isinstance(document, dict) and all(isinstance(document.get(key), str) for key in ("title", "text"))):
            raise ValueError(f"documents[{at}] is no object with the texts `title` and `text`")
    kind = row.pop("kind", "name")
    if "responses_create_params" not in row and "question" in row:
        row["prompt"] = row.pop("question")
    kept = [{"title": document["title"], "text": document["text"]} for document in documents]
    return with_answers(task_from_row(row), kind, library=kept)


def row_schema() -> dict[str, Any]:
    """The JSON Schema of a row with documents."""
    document = {"type": "object", "properties": {"title": _TEXT, "text": _TEXT}, "required": ["title", "text"]}
    return schema_of_row(
        "A question of RetrievalQA",
        {
            "question": {**_TEXT, "description": "The question."},
            "answer": {
                "anyOf": [_TEXT, {"type": "array", "items": _TEXT, "minItems": 1}],
                "description": "The right answer, or several of which each is right.",
            },
            "kind": {"enum": ["name", "number", "date"], "description": "What the answer is; a date as 1987-03-14."},
            "documents": {"type": "array", "items": document, "minItems": 1, "maxItems": MAX_DOCUMENTS},
        },
        required=["question", "answer", "documents"],
    )
