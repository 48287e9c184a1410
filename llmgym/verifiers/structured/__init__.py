"""Structured output: JSON, YAML, XML, TOML or CSV, against a schema and against values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

from llmgym.errors import TaskError
from llmgym.verifiers.base import MAX_ANSWER, Verdict, correct, too_long, unscored, wrong
from llmgym.verifiers.structured.blocks import find_block
from llmgym.verifiers.structured.schemas import (
    FAULTS,
    Fault,
    Hint,
    close_schema,
    compile_schema,
    count_faults,
    describe,
    find_faults,
)
from llmgym.verifiers.structured.syntaxes import NAMES, Syntax, read
from llmgym.verifiers.text import normalized, without_thoughts
from llmgym.verifiers.trees import agree, check_tree

__all__ = ["FAULTS", "Fault", "Strings", "Syntax", "check", "close_schema", "prove"]

#: When texts are equal: as they are, or whatever their case and blanks.
Strings = Literal["exact", "normalized"]

_NONE: Any = object()
_SHOWN = 5  # faults that a verdict's detail tells


def check(
    answer: str,
    reference: Mapping[str, Any],
    *,
    syntax: Syntax = "json",
    strict: bool = False,
    lenient: bool = False,
    tolerance: float = 0.0,
    ordered: bool = True,
    strings: Strings = "exact",
) -> Verdict:
    """Whether a reply is data that fits a schema and has the right values.

    Metrics count each kind of `Fault`, and `leaves` is the share of the values that are right.

    Args:
        answer: The reply: the data and nothing else, or in one fenced block.
        reference: `schema` (JSON schema, draft 2020-12), `value` (what is right, as JSON), or both.
        syntax: In which the data is written. XML is the content of the root element: children and `@attributes` by
            name, lists as an element repeated or as items in one; CSV is a list of objects by its header.
        strict: Require each property and allow no other, wherever the schema does not say otherwise.
        lenient: Take the last fenced block, whatever stands around it.
        tolerance: How far numbers may be off, as a share of the right one.
        ordered: Whether the order of lists counts.
        strings: When texts are equal.

    Raises:
        ValueError: The syntax is none that there is, or `strings`.
        MissingExtraError: A package of the extra `verifiers` is needed.
    """
    for option, known in ((syntax, Syntax), (strings, Strings)):
        if option not in get_args(known):
            raise ValueError(f"{option!r} is none of {', '.join(get_args(known))}")
    try:
        schema, value = _read(reference, strict)
    except ValueError as error:
        return unscored("invalid_reference", str(error))
    if len(answer) > MAX_ANSWER:
        return too_long(len(answer))
    said = without_thoughts(answer)
    if not said.strip():
        return wrong("nothing is written", "no_answer")
    form = describe(value) if schema is None else schema
    try:
        found = read(find_block(said, NAMES[syntax], lenient=lenient), syntax, Hint(form, form))
    except ValueError as error:
        return wrong(f"{error}"[:200], "unparsable", **count_faults([("parse", "$")]))
    faults = [] if schema is None else find_faults(found, schema)
    metrics = count_faults(faults)
    right = True
    if value is not _NONE:
        exact = str.lstrip if syntax == "csv" else str  # blanks before a cell are read as none
        fold = normalized if strings == "normalized" else exact
        alike, leaves = agreement = agree(found, value, tolerance=tolerance, ordered=ordered, fold=fold)
        metrics["leaves"] = alike / leaves
        right = agreement.full
    if right and not faults:
        return correct("", **metrics)
    told = [f"{path}: {fault}" for fault, path in faults[:_SHOWN]]
    return wrong("; ".join(told if right else [*told, "values differ"]), "wrong", **metrics)


def prove(reference: Mapping[str, Any], *, strict: bool = False) -> None:
    """Prove that a reference can be matched: the schema is one, and the value fits it.

    Raises:
        TaskError: It cannot.
    """
    try:
        _read(reference, strict)
    except ValueError as error:
        raise TaskError(f"the reference cannot be matched: {error}") from None


def _read(reference: Mapping[str, Any], strict: bool) -> tuple[Any, Any]:
    """The schema or None, and the value or `_NONE`."""
    if not isinstance(reference, Mapping) or not reference or not reference.keys() <= {"schema", "value"}:
        raise ValueError(f"a reference has `schema`, `value` or both, and nothing else; this is {reference!r:.100}")
    schema = reference.get("schema")
    if isinstance(schema, dict | bool):
        schema = close_schema(schema) if strict else schema
        compile_schema(schema)
    elif schema is not None:
        raise ValueError(f"a schema is an object, not {schema!r:.100}")
    value = check_tree(reference["value"]) if "value" in reference else _NONE
    if schema is None and value is _NONE:
        raise ValueError("neither `schema` nor `value` is there")
    if schema is not None and value is not _NONE and (faults := find_faults(value, schema)):
        raise ValueError(f"the value does not fit the schema: {faults[0][1]}: {faults[0][0]}")
    return schema, value
