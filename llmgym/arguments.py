"""Arguments of tools, read as the JSON schema that the model was shown counts them.

msgspec reads them, and counts otherwise in three places: to JSON Schema 1.0 is an integer, 19.99 a multiple of 0.01
(which no binary fraction is), and [1, 1] no set.
"""

from __future__ import annotations

import functools
import json
import math
import operator
import types
import typing
from collections.abc import Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, Literal, Union

import msgspec

_CONSTRAINTS = (
    "gt", "ge", "lt", "le", "pattern", "min_length", "max_length", "tz", "title", "description", "examples", "extra",
)  # fmt: skip


class ArgumentDecoder:
    """Reads the arguments of one tool.

    Attributes:
        schema: JSON schema of the arguments; the outermost object inline, types that it refers to in `$defs`.
    """

    def __init__(self, name: str, fields: list[Any]) -> None:
        """Describe the arguments.

        Args:
            name: Name of the tool.
            fields: Names, types and any defaults, as msgspec defines fields.

        Raises:
            TypeError: A type has no JSON schema.
        """
        fields = [(field, _uncounted(kind), *default) for field, kind, *default in fields]
        arguments = msgspec.defstruct(name, fields, kw_only=True, forbid_unknown_fields=True)
        self.schema = _schema(arguments)
        self._decode = msgspec.json.Decoder(arguments).decode
        self._counts = any(f'"{word}":' in json.dumps(self.schema) for word in ("multipleOf", "uniqueItems"))

    def decode(self, text: str) -> dict[str, Any]:
        """Read JSON text.

        Raises:
            msgspec.ValidationError: It does not fit the schema.
            msgspec.DecodeError: It is no JSON.
        """
        try:
            found = self._decode(text)
        except msgspec.ValidationError:
            if (plain := _plain(text)) is None:
                raise
            found = self._decode(json.dumps(plain))  # what is wrong now is no integer that is written 1.0
        if self._counts:
            for problem in _misfits(_plain(text), self.schema, self.schema, "$"):
                raise msgspec.ValidationError(problem)
        return msgspec.structs.asdict(found)


def _schema(arguments: type[msgspec.Struct]) -> dict[str, Any]:
    (reference,), components = msgspec.json.schema_components([arguments], ref_template="#/$defs/{name}")
    outer = components.pop(reference["$ref"].rpartition("/")[2])
    schema = {"type": "object", "properties": outer["properties"], "required": outer["required"]}
    return schema | {"additionalProperties": False} | ({"$defs": components} if components else {})


def _uncounted(kind: Any) -> Any:
    """A type that says of multiples of fractions in its schema alone."""
    arguments = typing.get_args(kind)
    origin = typing.get_origin(kind)
    if origin is Literal or not arguments:
        return kind
    if origin is Annotated:
        return Annotated[(_uncounted(kind.__origin__), *map(_note, kind.__metadata__))]
    parts = tuple(map(_uncounted, arguments))
    if parts == arguments:
        return kind
    return functools.reduce(operator.or_, parts) if origin in (Union, types.UnionType) else origin[parts]


def _note(note: Any) -> Any:
    if not isinstance(note, msgspec.Meta) or not isinstance(note.multiple_of, float):
        return note
    kept = {name: getattr(note, name) for name in _CONSTRAINTS}
    return msgspec.Meta(**kept, extra_json_schema={**(note.extra_json_schema or {}), "multipleOf": note.multiple_of})


def _plain(text: str) -> Any:
    """JSON in which what is an integer is one; None where Python does not read it."""
    try:
        return json.loads(text, parse_float=_number)
    except (ValueError, RecursionError):  # broken behind what msgspec minds, or a number of 4,300 digits
        return None


def _number(text: str) -> int | float:
    value = float(text)
    return int(Decimal(text)) if math.isfinite(value) and value.is_integer() else value


_TYPES: dict[str, type | tuple[type, ...]] = {
    "integer": int, "number": (int, float), "boolean": bool, "string": str, "array": list, "object": dict,
    "null": type(None),
}  # fmt: skip


def _misfits(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any], path: str) -> Iterator[str]:
    """Where a value that is of the right types is no multiple, or has an item twice."""
    schema = _resolved(schema, root)
    if "anyOf" in schema:
        branches = [_resolved(branch, root) for branch in schema["anyOf"]]
        tried = [list(_misfits(value, branch, root, path)) for branch in branches if _applies(value, branch)]
        yield from min(tried, key=len, default=())
    multiple = schema.get("multipleOf")
    if multiple and isinstance(value, int | float) and (Fraction(str(value)) / Fraction(str(multiple))).denominator > 1:
        yield f"Expected a multiple of {multiple} - at `{path}`"
    if isinstance(value, list):
        items: list[Any] = value
        if schema.get("uniqueItems") and len({json.dumps(item, sort_keys=True) for item in items}) < len(items):
            yield f"Expected no item twice - at `{path}`"
        first = schema.get("prefixItems", ())
        for place, item in enumerate(items):
            kind = first[place] if place < len(first) else schema.get("items")
            if isinstance(kind, dict):
                yield from _misfits(item, kind, root, f"{path}[{place}]")
    if isinstance(value, dict):
        for name, item in value.items():
            kind = schema.get("properties", {}).get(name, schema.get("additionalProperties"))
            if isinstance(kind, dict):
                yield from _misfits(item, kind, root, f"{path}.{name}")


def _resolved(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    return root["$defs"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema


def _applies(value: Any, branch: Mapping[str, Any]) -> bool:
    """Whether a value is of the type of a branch."""
    if "enum" in branch:
        return value in branch["enum"]
    return "type" not in branch or isinstance(value, _TYPES[branch["type"]])
