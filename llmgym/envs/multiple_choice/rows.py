"""Questions of a user's own: the shapes of rows that multiple-choice datasets come in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from typing import Any

from llmgym.tasks import Task

MAX_OPTIONS = 10
_QUESTION = ("question", "prompt")
_OPTIONS = ("options", "choices")
_ANSWER = ("answer", "answerKey", "expected_answer")


def question_text(question: str, options: Mapping[str, str]) -> str:
    """A question and its lettered options, one a line."""
    return "\n".join([question, "", *(f"{letter}. {text}" for letter, text in options.items())])


def read_row(row: dict[str, Any]) -> Task:
    """Make the task of a row with a question, options and an answer; see `MultipleChoice` for the shapes.

    Raises:
        KeyError, ValueError, TypeError: The row is malformed.
    """
    columns = dict(row)
    question = _take(columns, _QUESTION)
    labels, texts = _read_options(_take(columns, _OPTIONS))
    answer = ascii_uppercase[_index(_take(columns, _ANSWER), labels, texts)]
    if not isinstance(question, str) or not question.strip():
        raise ValueError(f"the question must be text, this is {question!r}")
    options = dict(zip(ascii_uppercase, texts, strict=False))
    name = columns.pop("id", "")
    metadata = columns.pop("metadata", None) or {}
    if not isinstance(metadata, dict):
        raise TypeError(f"metadata is an object, this is {metadata!r}")
    return Task(
        id=str(name),
        prompt=question_text(question, options),
        answer=answer,
        metadata={**metadata, **columns, "options": options},
    )


def _take(columns: dict[str, Any], names: Sequence[str]) -> Any:
    """The value of the one column that has any of some names."""
    present = [name for name in names if name in columns]
    if not present:
        raise KeyError(names[0])
    if len(present) > 1:
        raise ValueError(f"columns {present[0]!r} and {present[1]!r} mean the same; keep one")
    return columns.pop(present[0])


def _read_options(options: Any) -> tuple[list[str], list[str]]:
    """Labels and texts; a plain list is labelled by letters."""
    match options:
        case {"text": list(texts), "label": list(labels)}:  # ARC
            pass
        case dict():
            labels, texts = list(options), list(options.values())
        case [dict(), *_]:  # [{"A": "..."}, {"B": "..."}]
            if not all(isinstance(option, dict) and len(option) == 1 for option in options):
                raise ValueError("a list of objects holds one letter and text in each")
            labels, texts = [next(iter(o)) for o in options], [next(iter(o.values())) for o in options]
        case list():
            labels, texts = list(ascii_uppercase[: len(options)]), options
        case _:
            raise TypeError(f"options are a list or an object, these are {options!r}")
    if not 2 <= len(texts) <= MAX_OPTIONS or len(labels) != len(texts):
        raise ValueError(f"there are {len(texts)} options; 2 to {MAX_OPTIONS} are supported")
    if bad := [text for text in texts if isinstance(text, bool) or not isinstance(text, str | int | float)]:
        raise ValueError(f"option {bad[0]!r} is neither text nor a number")
    texts, labels = [str(text).strip() for text in texts], [str(label).strip() for label in labels]
    if len(set(texts)) < len(texts) or len(set(labels)) < len(labels) or not all(texts):
        raise ValueError(f"options must differ and hold text, these are {texts}")
    return labels, texts


def _index(answer: Any, labels: list[str], texts: list[str]) -> int:
    """Place of the answer: a number is an index, text is a label or, failing that, the text of an option."""
    if isinstance(answer, bool) or not isinstance(answer, str | int):
        raise TypeError(f"the answer is a letter, the text of an option or an index, this is {answer!r}")
    if isinstance(answer, int):
        if not 0 <= answer < len(texts):
            raise ValueError(f"answer {answer} is no index of {len(texts)} options")
        return answer
    answer = answer.strip()
    folded = [label.casefold() for label in labels]
    for names, wanted in ((labels, answer), (texts, answer), (folded, answer.casefold())):
        if wanted in names:
            return names.index(wanted)
    raise ValueError(f"answer {answer!r} is neither a label ({', '.join(labels)}) nor an option")
