"""What is wrong with plain data that is to be read as a type: all of it at once, each with its place and a way out."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Iterator
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec


def problems(value: Any, kind: Any, path: str = "") -> Iterator[str]:
    """Find them.

    Args:
        value: Plain data, as YAML and JSON give it.
        kind: A struct, or another type that msgspec can convert to.
        path: Where the value stands.

    Yields:
        A line for each; none where the value can be converted.
    """
    found = list(_inside(value, kind, path))
    if not found:
        try:
            msgspec.convert(value, kind)
        except msgspec.ValidationError as error:
            what = str(error).partition(" - at ")[0]
            shown = "" if isinstance(value, dict | list) else f"; it is {value!r:.100}"
            found = [f"{path}: {what}{shown}{_hint(what, kind)}" if path else what]
    yield from found


def unwritable(value: Any, path: str = "") -> Iterator[str]:
    """Numbers that JSON does not have: nobody could tell from `run.json` what they were."""
    if isinstance(value, float) and not math.isfinite(value):
        yield f"{path} is {value}: give a number, or leave it out"
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from unwritable(item, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from unwritable(item, f"{path}[{number}]")


def unknown(name: object, known: Iterable[str], path: str = "") -> str:
    """Say that there is no such key, and which one may be meant."""
    known = list(known)
    near = difflib.get_close_matches(str(name), known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there is {', '.join(known)}"
    return (f"{path}: " if path else "") + f"unknown setting {str(name)!r}; {hint}"


def _hint(what: str, kind: Any) -> str:
    """What there is to choose from, where it is something else that was given."""
    known: list[str] = []
    if what.startswith("Invalid enum value"):
        known = [
            str(choice) for one in (kind, *get_args(kind)) if get_origin(one) is Literal for choice in get_args(one)
        ]
    elif what.startswith("Expected `object") and (struct := _struct(kind)) is not None:
        known = list(get_type_hints(struct))
    return f"; there is {', '.join(known)}" if known else ""


def _inside(value: Any, kind: Any, path: str) -> Iterator[str]:
    if isinstance(value, list) and get_origin(kind) is list:
        for number, item in enumerate(value):
            yield from problems(item, get_args(kind)[0], f"{path}[{number}]")
    elif isinstance(value, dict) and (struct := _struct(kind)) is not None:
        hints = get_type_hints(struct, include_extras=True)
        for name, item in value.items():
            if name in hints:
                yield from problems(item, hints[name], f"{path}.{name}" if path else name)
            else:
                yield unknown(name, hints, path)


def _struct(kind: Any) -> type[msgspec.Struct] | None:
    """The struct that a mapping is read as: the type itself, or one of a union."""
    kinds = (kind, *get_args(kind))
    return next((one for one in kinds if isinstance(one, type) and issubclass(one, msgspec.Struct)), None)
