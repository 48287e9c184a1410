"""The schema of rows that `read_row` takes."""

from __future__ import annotations

from typing import Any

from llmgym.envs.multiple_choice.rows import ANSWER, MODES, MOST, OPTIONS, QUESTION
from llmgym.tasks import REST_TO_METADATA, one_column, schema_of_row
from llmgym.verifiers.choices import GRADINGS

_TEXT = {"type": ["string", "number"]}
_OPTIONS = {
    "description": f"2 to {MOST} options: a list of texts, an object of letters and texts, a list of such objects of "
    "one letter each, or an object with the lists `text` and `label`.",
    "anyOf": [
        {"type": "array", "items": _TEXT, "minItems": 2, "maxItems": MOST},
        {"type": "array", "items": {"type": ["object", "array"]}, "minItems": 2},
        {"type": "object", "minProperties": 2},
    ],
}
_ANSWER = {
    "type": ["string", "integer", "null"],
    "description": "A letter of the options, the text of one, or its place, from 0. Where several columns tell the "
    "answer, they tell the same.",
}
_REQUEST = {
    "type": ["object", "array"],  # Arrow's maps are lists of pairs
    "minItems": 1,
    "description": "A request of the Responses API, as rows of NeMo Gym have it: the whole opening, options included.",
    "properties": {
        "input": {"type": ["string", "array"], "minItems": 1},
        "instructions": {"type": ["string", "null"], "description": "The system message."},
        "tools": {"type": ["array", "null"], "maxItems": 0},
    },
    "required": ["input"],
}
_GRADING = {"enum": [*GRADINGS, *MODES, None], "description": "How the reply is read; goes before the environment's."}


def row_schema() -> dict[str, Any]:
    """The JSON Schema of a row with a question, options and an answer."""
    question = {"type": "string", "pattern": "\\S"}
    answers = [one_column(name, {"not": {"type": "null"}}) for name in ANSWER]
    openings = [one_column(name, question, without=[other for other in QUESTION if other != name]) for name in QUESTION]
    return schema_of_row(
        "A question of MultipleChoice",
        {
            "question": {"description": "The question, without its options; `prompt` means the same."},
            "options": {"description": "`choices` means the same."},
            **dict.fromkeys(ANSWER, _ANSWER),
            "metadata": {"type": ["object", "array", "null"], "minItems": 1},
            "grading": _GRADING,
            "grading_mode": _GRADING,
            "responses_create_params": {"anyOf": [_REQUEST, {"type": "null"}]},
            "template_metadata": {"description": "Its `output_regex` reads the choice."},
        },
        description=REST_TO_METADATA,
        allOf=[
            {"anyOf": [one_column("responses_create_params", _REQUEST), *openings]},
            {"anyOf": [one_column(a, _OPTIONS, without=[b]) for a, b in (OPTIONS, OPTIONS[::-1])]},
            {"anyOf": answers},
        ],
    )
