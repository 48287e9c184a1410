"""Questions of a user's own: the shapes of rows that multiple-choice datasets come in."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from typing import Any, cast

from llmgym.messages import Message, read_messages, system
from llmgym.tasks import Task
from llmgym.verifiers.choices import BOXED_OR_TEXT, GRADINGS

MOST = len(ascii_uppercase)
QUESTION = ("question", "prompt")
OPTIONS = ("options", "choices")
ANSWER = ("answer", "answerKey", "expected_answer")
MODES = {  # NeMo Gym's gradings
    "strict_single_letter_boxed": "boxed",
    "lenient_boxed": BOXED_OR_TEXT,
    "lenient_answer_colon": "answer",
    "lenient_answer_colon_md": "answer",
}


def question_text(question: str, options: Mapping[str, str]) -> str:
    """A question and its lettered options, one a line."""
    return "\n".join([question, "", *(f"{letter}. {text}" for letter, text in options.items())])


def read_row(row: dict[str, Any]) -> Task:
    """Make the task of a row with a question, options and an answer; see `MultipleChoice` for the shapes.

    A row of NeMo Gym brings its whole prompt and how its reply is read: the task's metadata then has `read_by`, with a
    `grading`, and `patterns` where the row has expressions of its own, which go first. Null fields, which Arrow writes,
    are as if they were not there, and its maps are objects.

    Raises:
        KeyError, ValueError, TypeError: The row is malformed.
    """
    columns: dict[str, Any] = _without_nulls(row)
    request = columns.pop("responses_create_params", None)
    question = None if request is not None else _take(columns, QUESTION)
    labels, texts = _read_options(_take(columns, OPTIONS))
    answer = _read_answer(columns, labels, texts)
    letters = labels if request is not None else list(ascii_uppercase[: len(texts)])
    options = dict(zip(letters, texts, strict=True))
    name = next((columns.pop(key) for key in ("id", "uuid") if key in columns), "")
    if isinstance(name, bool) or not isinstance(name, str | int):
        raise TypeError(f"an id is text or a whole number, this is {name!r}")
    metadata = _as_object(columns.pop("metadata", {}))
    if not isinstance(metadata, dict):
        raise TypeError(f"metadata is an object, this is {metadata!r}")
    if request is not None:
        prompt = _read_request(request, letters)
        columns["read_by"] = {"grading": "boxed", **_read_grading(columns)}
    elif isinstance(question, str) and question.strip():
        prompt = question_text(question, options)
        if read_by := _read_grading(columns):
            columns["read_by"] = read_by
    else:
        raise ValueError(f"the question must be text, this is {question!r}")
    return Task(
        id=str(name),
        prompt=prompt,
        answer=letters[answer],
        metadata={**metadata, **columns, "options": options},
    )


def _without_nulls(value: Any) -> Any:
    """The same in dicts and lists, without null fields of objects; arrays know how to become lists."""
    if isinstance(value, Mapping):
        fields = cast("Mapping[str, Any]", value)
        return {key: _without_nulls(field) for key, field in fields.items() if field is not None}
    if isinstance(value, list | tuple):
        return [_without_nulls(part) for part in cast("Sequence[Any]", value)]
    return _without_nulls(value.tolist()) if hasattr(value, "tolist") else value


def _as_object(value: Any) -> Any:
    """Arrow's maps come as lists of pairs, or of objects with a key and a value."""
    match value:
        case [[str(), _], *_] if all(isinstance(pair, list) and len(pair) == 2 for pair in value):
            return {key: field for key, field in value if field is not None}
        case [{"key": str()}, *_] if all(isinstance(pair, dict) and pair.keys() <= {"key", "value"} for pair in value):
            return {pair["key"]: pair["value"] for pair in value if "value" in pair}
        case _:
            return value


def _read_request(request: Any, letters: Sequence[str]) -> list[Message]:
    """The opening of a request to the Responses API, which asks with the letters of its own options."""
    request = _as_object(request)
    if not isinstance(request, dict) or "input" not in request:
        raise ValueError(f"responses_create_params has no input, it is {request!r:.100}")
    if strange := [letter for letter in letters if not re.fullmatch("[A-Z]", letter)]:
        raise ValueError(f"options have capital letters, this is {strange[0]!r}")
    fields = cast("dict[str, Any]", request)
    if fields.get("tools"):
        raise ValueError("responses_create_params has tools, and a question of MultipleChoice offers none")
    messages = read_messages(fields["input"])
    if instructions := fields.get("instructions"):
        messages.insert(0, system(str(instructions)))
    if not messages:
        raise ValueError("responses_create_params has an empty input")
    return messages


def _read_grading(columns: dict[str, Any]) -> dict[str, Any]:
    """How the reply is read, where a row says so; its columns for that are taken."""
    found: dict[str, Any] = {}
    names = [name for name in ("grading", "grading_mode") if name in columns]
    if mode := _take(columns, names) if names else None:
        found["grading"] = MODES.get(mode, mode) if isinstance(mode, str) else mode
        if found["grading"] not in (*GRADINGS, BOXED_OR_TEXT):
            raise ValueError(f"unknown {names[0]} {mode!r}; there is {', '.join([*GRADINGS, *MODES])}")
    template = _as_object(columns.get("template_metadata"))
    if isinstance(template, dict) and (patterns := _read_patterns(cast("dict[str, Any]", template))):
        found["patterns"] = patterns
    return found


def _read_patterns(template: dict[str, Any]) -> list[str]:
    """Expressions that read the choice, the first that reads one; `answer_prefix` is what stands before it."""
    given: Any = template.get("output_regex") or []
    patterns = cast("list[Any]", given if isinstance(given, list) else [given])
    for pattern in patterns:
        try:
            re.compile(pattern)
        except (re.error, TypeError) as error:
            raise ValueError(f"output_regex {pattern!r} is no regular expression: {error}") from None
    prefix = template.get("answer_prefix")
    return [*patterns, rf"{re.escape(prefix)}\s*(.+)"] if isinstance(prefix, str) and prefix else patterns


def _take(columns: dict[str, Any], names: Sequence[str]) -> Any:
    """The value of the one column that has any of some names."""
    present = [name for name in names if name in columns]
    if not present:
        raise KeyError(names[0])
    if len(present) > 1:
        raise ValueError(f"columns {present[0]!r} and {present[1]!r} mean the same; keep one")
    return columns.pop(present[0])


def _read_options(options: Any) -> tuple[list[str], list[str]]:
    """Labels and texts; a plain list is labelled by letters, and an object of letters is in their order."""
    match _as_object(options):
        case {"text": list(texts), "label": list(labels)}:  # ARC
            pass
        case dict(named):
            labels, texts = _in_order(cast("dict[Any, Any]", named))
        case [dict() | [[_, _], *_], *_] as given:  # [{"A": "..."}, {"B": "..."}]
            single = [_as_object(option) for option in given]
            if not all(isinstance(option, dict) and len(option) == 1 for option in single):
                raise ValueError("a list of objects holds one letter and text in each")
            labels, texts = [next(iter(o)) for o in single], [next(iter(o.values())) for o in single]
        case list(texts):
            labels = list(ascii_uppercase[: len(texts)])
        case _:
            raise TypeError(f"options are a list or an object, these are {options!r}")
    if not 2 <= len(texts) <= MOST or len(labels) != len(texts):
        raise ValueError(f"there are {len(texts)} options; 2 to {MOST} are supported")
    if bad := [text for text in texts if isinstance(text, bool) or not isinstance(text, str | int | float)]:
        raise ValueError(f"option {bad[0]!r} is neither text nor a number")
    texts, labels = [str(text).strip() for text in texts], [str(label).strip() for label in labels]
    if len(set(labels)) < len(labels) or not all(texts):
        raise ValueError(f"options must hold text and have labels that differ; these are {labels} and {texts}")
    return labels, texts


def _in_order(options: dict[Any, Any]) -> tuple[list[Any], list[Any]]:
    """Labels and texts of an object, by label where these are the first letters: Arrow has an order of its own."""
    if set(options) == set(ascii_uppercase[: len(options)]):
        options = dict(sorted(options.items()))
    return list(options), list(options.values())


def _read_answer(columns: dict[str, Any], labels: list[str], texts: list[str]) -> int:
    """Place of the answer; several columns may tell it where they tell the same. Wrong options may be alike."""
    present = [name for name in ANSWER if name in columns]
    if not present:
        raise KeyError(ANSWER[0])
    places = {_index(columns.pop(name), labels, texts) for name in present}
    if len(places) > 1:
        raise ValueError(f"columns {present[0]!r} and {present[1]!r} name different answers")
    place = places.pop()
    if texts.count(texts[place]) > 1:
        raise ValueError(f"options must differ from the answer, these are {texts}")
    return place


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
