"""Arguments of instructions: what each must be, so that none is missing, of another kind, or made up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from llmgym.verifiers.instructions.language import LANGUAGES

#: "google" is the original with its faults, "llmgym" has them mended.
Rules = Literal["google", "llmgym"]
RELATIONS = ("less than", "at least")

Reader = Callable[[Any], Any]


def count(value: Any) -> int:
    """A whole number from 0, which JSON may write as 3.0."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0 or value % 1 != 0:
        raise ValueError("a whole number from 0")
    return int(value)


def relation(value: Any) -> str:
    """How a number compares."""
    if value not in RELATIONS:
        raise ValueError(" or ".join(map(repr, RELATIONS)))
    return value


def text(value: Any) -> str:
    """Text that says something, without blanks around it."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError("text that is not empty")
    return value.strip()


def texts(value: Any) -> tuple[str, ...]:
    """Several of them, with their blanks."""
    if not isinstance(value, list | tuple) or not value or not all(map(text, value)):
        raise ValueError("a list of texts that is not empty")
    return tuple(value)


def letter(value: Any) -> str:
    """One character."""
    if not isinstance(value, str) or len(value) != 1 or value.isspace():
        raise ValueError("one character")
    return value.lower()


def language(value: Any) -> str:
    """A code of a language that is told apart."""
    if value not in LANGUAGES:
        raise ValueError(f"one of {', '.join(sorted(LANGUAGES))}")
    return value


def read(given: Any, wanted: Mapping[str, Reader]) -> dict[str, Any]:
    """Read the arguments of an instruction; None is none, as data sets with one column for each have it.

    Raises:
        ValueError: One is missing, unknown or of another kind; says which, and what it must be.
    """
    if not isinstance(given, Mapping):
        raise ValueError(f"has {given!r:.100} for its arguments, which must be a mapping")  # noqa: TRY004
    given = {name: value for name, value in given.items() if value is not None}
    if unknown := given.keys() - wanted.keys():
        raise ValueError(f"has the unknown argument {min(unknown)!r}; it takes {', '.join(wanted) or 'none'}")
    if missing := [name for name in wanted if name not in given]:
        raise ValueError(f"needs the argument {missing[0]!r}")
    found: dict[str, Any] = {}
    for name, reader in wanted.items():
        try:
            found[name] = reader(given[name])
        except ValueError as error:
            raise ValueError(f"has {given[name]!r:.100} for {name!r}, which must be {error}") from None
    return found
