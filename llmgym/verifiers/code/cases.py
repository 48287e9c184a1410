"""Tests of a program: what goes in, and what has to come out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast


@dataclass(frozen=True, slots=True)
class Cases:
    """Tests of a function by its arguments, or of a program by its standard input.

    Attributes:
        inputs: Of a function lists of arguments, of a program texts.
        outputs: The value or the text that is right for each.
        function: Name of the function; None for a program.
    """

    inputs: tuple[Any, ...]
    outputs: tuple[Any, ...]
    function: str | None

    @classmethod
    def of(cls, reference: Mapping[str, Any]) -> Cases:
        """Read them from JSON.

        Raises:
            ValueError: They are malformed; says how.
        """
        if unknown := sorted(set(reference) - {"inputs", "outputs", "fn_name"}):
            raise ValueError(f"tests have inputs, outputs and maybe fn_name; these have {unknown[0]!r}")
        inputs, outputs = (_list(reference, name) for name in ("inputs", "outputs"))
        function = reference.get("fn_name")
        if function is not None and not (isinstance(function, str) and function.isidentifier()):
            raise ValueError(f"fn_name is {function!r:.100}, which is no name of a function")
        if len(inputs) != len(outputs) or not inputs:
            raise ValueError(f"there are {len(inputs)} inputs and {len(outputs)} outputs; a test has one of each")
        kind, what = (str, "the text on standard input") if function is None else (list, "the list of arguments")
        if wrong := [given for given in inputs if not isinstance(given, kind)]:
            raise ValueError(f"an input is {what}, not {wrong[0]!r:.100}")
        if function is None and (wrong := [right for right in outputs if not isinstance(right, str)]):
            raise ValueError(f"an output of a program is text, not {wrong[0]!r:.100}")
        return cls(inputs, outputs, function)


def _list(reference: Mapping[str, Any], name: str) -> tuple[Any, ...]:
    found = reference.get(name)
    if isinstance(found, list | tuple):
        return tuple(cast("list[Any]", found))
    raise ValueError(f"tests have a list of {name}, not {found!r:.100}")
