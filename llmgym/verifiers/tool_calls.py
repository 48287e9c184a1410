"""Tool calls: those of a message against those that are right, by value and whatever their order says.

A right call is `{"name": ..., "arguments": {...}}`. Its arguments are JSON, in which an object with one of these keys
alone stands for more than itself:

- `{"$any": [...]}`: any of these;
- `{"$optional": ...}`: this, or nothing at all, as a parameter whose default it is;
- `{"$unordered": [...]}`: a list of these in any order;
- `{"$text": "..."}`: this text, whatever its case and blanks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_args

from llmgym.errors import MessageError, TaskError
from llmgym.messages import Message, ToolCall, as_assistant, assistant, read_message, tool_call
from llmgym.verifiers.base import MAX_ANSWER, Verdict, graded, too_long, unscored, wrong
from llmgym.verifiers.matching import match
from llmgym.verifiers.text import normalized
from llmgym.verifiers.trees import check_tree, read_json, same_leaf

__all__ = ["Mode", "Strings", "check", "fits", "from_bfcl", "prove", "write_calls"]

#: Which calls are right: all in order, all in any order, all among others, or their F1 score.
Mode = Literal["exact", "order_free", "subset", "f1"]
#: When texts are equal: as they are; whatever their case and blanks; or as BFCL has it, by which "1.5" is "15".
Strings = Literal["exact", "normalized", "bfcl"]

_ABSENT: Any = object()
_FORMS = ("$any", "$optional", "$unordered", "$text")


def check(
    answer: str | Message,
    reference: Sequence[Mapping[str, Any]],
    *,
    mode: Mode = "exact",
    strings: Strings = "exact",
    tolerance: float = 0.0,
) -> Verdict:
    """Whether the tool calls of a message are the right ones.

    Arguments are compared by value: a bool is no number, 1.0 is 1, and a parameter that the right call does not have is
    wrong. Calls whose arguments are no JSON fit nothing. Each right call wants a call of its own.

    Metrics: `calls` made, `matched` (the share of the right calls that were made), and `unparsable` calls.

    Args:
        answer: The message, or text as a model writes it. Arguments may be objects, as chat templates have them.
        reference: The right calls. Where there is none, the message must have text and no call.
        mode: Which calls are right; only "f1" gives partial credit.
        strings: When texts are equal.
        tolerance: How far numbers may be off, as a share of the right one.

    Raises:
        ValueError: An option is none that there is.
    """
    for option, known in ((mode, Mode), (strings, Strings)):
        if option not in get_args(known):
            raise ValueError(f"{option!r} is none of {', '.join(get_args(known))}")
    try:
        wanted = _read(reference)
    except ValueError as error:
        return unscored("invalid_reference", str(error))
    try:
        message = _read_answer(answer)
    except MessageError:
        return wrong("no assistant message", "unparsable")
    calls = message.get("tool_calls", [])
    size = sum(len(call["function"]["name"]) + len(call["function"]["arguments"]) for call in calls)
    if (size := size + len(message["content"])) > MAX_ANSWER:
        return too_long(size)
    if not calls and (wanted or not message["content"].strip()):
        return wrong("no call is made" if wanted else "nothing is written", "no_answer", calls=0.0)
    return _compare([_values(call) for call in calls], wanted, mode, strings, tolerance)


def _compare(
    calls: list[tuple[str, Any]], wanted: list[tuple[str, Any]], mode: Mode, strings: Strings, tolerance: float
) -> Verdict:
    fitting = [
        [
            at
            for at, (name, given) in enumerate(calls)
            if name == right and fits(given, arguments, strings=strings, tolerance=tolerance)
        ]
        for right, arguments in wanted
    ]
    matched = sum(at is not None for at in match(fitting))
    found = {
        "exact": len(calls) == len(wanted) and all(at in fitting[at] for at in range(len(wanted))),
        "order_free": matched == len(calls) == len(wanted),
        "subset": matched == len(wanted) and (not calls or bool(wanted)),
        "f1": 2 * matched / (len(calls) + len(wanted)) if wanted or calls else 1.0,
    }[mode]
    unparsable = sum(given is _ABSENT for _, given in calls)
    metrics = {"calls": float(len(calls)), "unparsable": float(unparsable)}
    if wanted:
        metrics["matched"] = matched / len(wanted)
    if not found and unparsable:
        return wrong(f"arguments of {unparsable} of {len(calls)} calls are no JSON object", "unparsable", **metrics)
    return graded(float(found), "" if found == 1 else f"{matched} of {len(calls)} calls are right", **metrics)


def _read_answer(answer: str | Message) -> Message:
    """The message that an answer is, of an environment or of a data set or trainer, which have arguments as objects."""
    try:
        return as_assistant(answer)
    except MessageError:
        message = read_message(answer)
        if message["role"] != "assistant":
            raise
        return message


def _values(call: ToolCall) -> tuple[str, Any]:
    function = call["function"]
    try:
        given = read_json(function["arguments"] or "{}")
    except ValueError:
        given = _ABSENT
    return function["name"], given if isinstance(given, dict) else _ABSENT


def fits(value: Any, wanted: Any, *, strings: Strings = "exact", tolerance: float = 0.0) -> bool:
    """Whether a value is what a reference wants.

    Args:
        value: A value of JSON.
        wanted: JSON, in which `{"$any": [...]}` and the like stand for more than themselves.
        strings: When texts are equal.
        tolerance: How far numbers may be off, as a share of the right one.
    """

    def fit(value: Any, wanted: Any) -> bool:
        form, inner = _form(wanted)
        if form == "$any":
            return any(fit(value, one) for one in inner)
        if form == "$optional":
            return value is _ABSENT or fit(value, inner)
        if form == "$unordered":
            if not isinstance(value, list) or len(value) != len(inner):
                return False
            return None not in match([[at for at, one in enumerate(value) if fit(one, other)] for other in inner])
        if form == "$text":
            return isinstance(value, str) and normalized(value) == normalized(inner)
        if isinstance(wanted, dict):
            if not isinstance(value, dict) or value.keys() - wanted.keys():
                return False
            return all(fit(value.get(key, _ABSENT), one) for key, one in wanted.items())
        if isinstance(wanted, list):
            return isinstance(value, list) and len(value) == len(wanted) and all(map(fit, value, wanted))
        if isinstance(wanted, str) and isinstance(value, str):
            return _STRINGS[strings](value) == _STRINGS[strings](wanted)
        return same_leaf(value, wanted, tolerance)

    return fit(value, wanted)


def _form(wanted: Any) -> tuple[str, Any]:
    """The form of a reference's value and what it is about; "" if it stands for itself."""
    if isinstance(wanted, dict) and len(wanted) == 1:
        (key, inner), *_ = wanted.items()
        if key in _FORMS:
            return key, inner
    return "", None


def _bfcl(text: str) -> str:
    return re.sub(r"[ ,./\-_*^]", "", text).lower().replace("'", '"')


_STRINGS: dict[Strings, Callable[[str], str]] = {"exact": str, "normalized": normalized, "bfcl": _bfcl}


def prove(reference: Sequence[Mapping[str, Any]]) -> None:
    """Prove that right calls are written as they must be, and that they fit themselves.

    Raises:
        TaskError: They are not, or do not.
    """
    try:
        _read(reference)
    except ValueError as error:
        raise TaskError(f"the right calls are wrong: {error}") from None
    answer = assistant("", *write_calls(reference)) if reference else assistant("None is needed.")
    if not check(answer, reference):
        raise TaskError(f"the right calls do not fit themselves: {list(reference)!r:.200}")


def write_calls(reference: Sequence[Mapping[str, Any]]) -> list[ToolCall]:
    """Calls that fit a reference: the first of the alternatives, and every optional parameter."""
    return [tool_call(call["name"], None, **_simplest(call.get("arguments", {}))) for call in reference]


def _simplest(wanted: Any) -> Any:
    form, inner = _form(wanted)
    if form:
        return _simplest(inner[0] if form == "$any" else inner)
    if isinstance(wanted, dict):
        return {key: _simplest(one) for key, one in wanted.items()}
    return [_simplest(one) for one in wanted] if isinstance(wanted, list) else wanted


def _read(reference: Sequence[Mapping[str, Any]]) -> list[tuple[str, Any]]:
    if isinstance(reference, str) or not isinstance(reference, Sequence):
        raise ValueError(f"right calls are a list, not {reference!r:.100}")  # noqa: TRY004
    return [_read_call(call) for call in reference]


def _read_call(call: Any) -> tuple[str, Any]:
    if not isinstance(call, Mapping) or call.keys() - {"name", "arguments"} or not isinstance(call.get("name"), str):
        raise ValueError(f"a right call has a `name` and `arguments`, not {call!r:.100}")
    arguments = call.get("arguments", {})
    if not isinstance(arguments, dict) or _form(arguments)[0]:
        raise ValueError(f"arguments are an object by parameter, not {arguments!r:.100}")
    _check_forms(check_tree(arguments))
    return call["name"], arguments


def _check_forms(wanted: Any) -> None:
    form, inner = _form(wanted)
    if form in ("$any", "$unordered") and not (isinstance(inner, list) and (inner or form == "$unordered")):
        raise ValueError(f"{form} takes a list, not {inner!r:.100}")
    if form == "$text" and not isinstance(inner, str):
        raise ValueError(f"$text takes a text, not {inner!r:.100}")
    if isinstance(wanted, dict):
        if not form and (unknown := [key for key in wanted if key.startswith("$")]):
            raise ValueError(f"{unknown[0]!r} is none of {', '.join(_FORMS)}, or stands with other keys")
        for one in wanted.values():
            _check_forms(one)
    elif isinstance(wanted, list):
        for one in wanted:
            _check_forms(one)


def from_bfcl(ground_truth: Sequence[Mapping[str, Mapping[str, Sequence[Any]]]]) -> list[dict[str, Any]]:
    """Right calls from BFCL's `possible_answer`: of each parameter a list of accepted values, with "" if optional.

    Raises:
        ValueError: It is in another form.
    """
    calls: list[dict[str, Any]] = []
    for call in ground_truth:
        if not isinstance(call, Mapping) or len(call) != 1:
            raise ValueError(f"a call of BFCL is one name with its parameters, not {call!r:.100}")
        ((name, parameters),) = call.items()
        calls.append({"name": name, "arguments": _from_bfcl(parameters)})
    return calls


def _from_bfcl(parameters: Any) -> dict[str, Any]:
    if not isinstance(parameters, Mapping) or not all(isinstance(one, list) and one for one in parameters.values()):
        raise ValueError(f"parameters of BFCL each have a list of accepted values, not {parameters!r:.100}")
    found: dict[str, Any] = {}
    for name, accepted in parameters.items():
        text = all(isinstance(one, str) for one in accepted)  # and so is the "" of an optional one
        any_of = {"$any": [_from_bfcl_value(one) for one in accepted if text or one != ""]}
        found[name] = {"$optional": any_of} if "" in accepted else any_of
    return found


def _from_bfcl_value(value: Any) -> Any:
    """A value that BFCL accepts: in objects, and in lists of them, each key has a list of accepted values again."""
    if isinstance(value, Mapping):
        return _from_bfcl(value)
    return [_from_bfcl_value(one) for one in value] if isinstance(value, list) else value
