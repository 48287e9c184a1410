"""Rows of data sets as tasks: the columns that every environment reads, and their schema.

Null columns count as absent: Arrow, and so every data set of the Hub, gives a row the columns of all others as nulls.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

from llmgym.errors import MessageError
from llmgym.messages import Message, read_messages, system
from llmgym.responses import from_tools
from llmgym.tasks.task import Task, read_id

#: Of rows whose reader takes whatever columns there are.
REST_TO_METADATA = "Null columns count as absent. Columns of other names go to the metadata."

_REQUEST = "responses_create_params"
_OPENINGS = ("prompt", "messages")


def task_from_row(row: Mapping[str, Any]) -> Task:
    """Read a row with the standard columns.

    - `prompt` or `messages`: the history of a chat in any form that `llmgym.messages.read_messages` reads; a `prompt`
      may be a text;
    - `answer`, or `expected_answer` where there is none;
    - `id`, `metadata`; columns of other names go to the metadata.

    A row of NeMo Gym has `responses_create_params` instead: its `input`, after its `instructions`, is the opening; its
    `tools` are in the metadata under `tools`, in the form of chat, for `Tool.of_schema`; what else it has is there
    under its own name; the fields of `verifier_metadata` are metadata, except for an `expected_answer`.

    Raises:
        ValueError, TypeError: A column is missing, double, or no such thing; says which.
        TaskError: The id is neither text nor an integer.
    """
    columns = {name: value for name, value in row.items() if value is not None}
    request = columns.pop(_REQUEST, None)
    metadata: dict[str, Any] = columns
    prompt = _opening(columns) if request is None else _take_request(request, columns)
    task_id = columns.pop("id", "")
    if type(task_id) is not str:
        task_id = read_id(task_id)
    answer = columns.pop("answer", None)
    if answer is None:
        answer = columns.pop("expected_answer", None)
    if "metadata" in columns:
        metadata = _joined(_object(columns.pop("metadata"), "metadata"), columns, "metadata")
    return Task(id=task_id, prompt=prompt, answer=answer, metadata=metadata)


def _opening(columns: dict[str, Any]) -> str | list[Message]:
    """Take the opening out of the columns."""
    present = [name for name in _OPENINGS if name in columns]
    if len(present) != 1:
        there = ", ".join(columns) or "no column"
        raise ValueError(f"a row needs either `prompt` or `messages`, or `{_REQUEST}`; it has {there}")
    name = present[0]
    value = columns.pop(name)
    if type(value) is not str:
        return _messages(value, name)
    if name == "messages":  # it may be JSON as text, which nobody means to say to a model
        raise TypeError(f"`messages` is a list of messages, this is the text {value!r:.100}; a text is a `prompt`")
    return value


def _messages(value: Any, name: str) -> list[Message]:
    try:
        messages = read_messages(value)
    except MessageError as error:
        raise ValueError(f"`{name}`: {error}") from None
    if not messages:
        raise ValueError(f"`{name}` has no message")
    return messages


def _take_request(given: Any, columns: dict[str, Any]) -> list[Message]:
    """The opening of a request of the Responses API; what else it and the verifier have goes to the columns."""
    request = {name: value for name, value in _object(given, _REQUEST).items() if value is not None}
    if "input" not in request:
        raise ValueError(f"`{_REQUEST}` has no `input`; it has {', '.join(request) or 'nothing'}")
    messages = _messages(request.pop("input"), f"{_REQUEST}.input")
    if instructions := request.pop("instructions", None):
        messages = [system(str(instructions)), *messages]
    more = _object(columns.pop("verifier_metadata", {}), "verifier_metadata")
    if tools := request.pop("tools", None):
        try:
            more = _joined(more, {"tools": from_tools(tools)}, "verifier_metadata")
        except MessageError as error:
            raise ValueError(f"`{_REQUEST}.tools`: {error}") from None
    if request:
        more = _joined(more, {_REQUEST: request}, "verifier_metadata")
    columns |= _joined(more, columns, f"verifier_metadata and {_REQUEST}")
    return messages


def _object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError(f"`{name}` is an object, this is {value!r:.100}")
    return dict(cast("Mapping[str, Any]", value))


def _joined(fields: dict[str, Any], columns: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Fields of an object and columns that mean the same kind of thing."""
    for key in fields.keys() & columns.keys():
        if fields[key] != columns[key]:
            raise ValueError(f"`{key}` is a column, and another value is under that name in {name}; keep one")
    return {**fields, **columns}


def row_schema() -> dict[str, Any]:
    """The JSON Schema of a row with the standard columns."""
    message = {
        "type": "object",
        "description": "A message of OpenAI's chat format, of any age, an item of its Responses format, or one of "
        "ShareGPT with `from` and `value`.",
    }
    messages = {"type": "array", "minItems": 1, "items": message}
    opening = {**messages, "type": ["string", "array"]}
    tools = {
        "type": ["array", "null"],
        "items": {"type": "object"},
        "description": "Goes to `metadata.tools`, in the form of chat.",
    }
    request = {
        "type": "object",
        "properties": {
            "input": opening,
            "instructions": {"type": ["string", "null"], "description": "The system message."},
            "tools": tools,
        },
        "required": ["input"],
    }
    more = "More metadata, in a row with `responses_create_params`."
    return schema_of_row(
        "A task of llmgym, one line of a JSONL file",
        {
            "prompt": {"description": "What the user says first, or the opening messages."},
            "messages": {"description": "The opening messages."},
            "responses_create_params": {
                "type": ["object", "null"],
                "description": "A request of the Responses API, as rows of NeMo Gym have it: the opening of the task.",
            },
            "answer": {"description": "What the verifier compares with."},
            "expected_answer": {"description": "The answer, where there is no `answer`."},
            "metadata": {"type": ["object", "null"], "description": "Whatever else the environment needs."},
            "verifier_metadata": {"type": ["object", "null"], "description": more},
        },
        description=REST_TO_METADATA,
        anyOf=[
            one_column("responses_create_params", request),
            one_column("prompt", opening, without=("messages", "responses_create_params")),
            one_column("messages", messages, without=("prompt", "responses_create_params")),
        ],
    )


def schema_of_row(title: str, columns: Mapping[str, Any], **rules: Any) -> dict[str, Any]:
    """The JSON Schema of a row with an `id` and a `split`, which all may have, and with other columns.

    Args:
        title: What a row is.
        columns: Schemas of its other columns.
        **rules: Further keywords of JSON Schema, such as `required`.
    """
    name = {"type": ["string", "integer", "null"], "description": "Unique in the file; else made of the row."}
    split = {"type": ["string", "null"], "default": "train"}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        "type": "object",
        "properties": {"id": name, **columns, "split": split},
        **rules,
    }


def one_column(name: str, schema: Mapping[str, Any], without: Iterable[str] = ()) -> dict[str, Any]:
    """The JSON Schema of a row with a column, and without others, which may be null."""
    return {"properties": {name: schema, **{other: {"type": "null"} for other in without}}, "required": [name]}
