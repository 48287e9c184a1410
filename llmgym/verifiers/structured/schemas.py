"""JSON schemas: compiled so that no text makes them slow and nothing is fetched; errors by kind; hints for text."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, get_args

from llmgym.errors import MissingExtraError

if TYPE_CHECKING:
    from jsonschema_rs import Draft202012Validator, ValidationError

#: What can be wrong with data, by a schema; "limit" is all that is neither of the others, "parse" is in no syntax.
Fault = Literal["parse", "missing", "extra", "type", "enum", "format", "limit"]
FAULTS: tuple[Fault, ...] = get_args(Fault)

_FAULTS: dict[str, Fault] = {
    "required": "missing",
    "dependentRequired": "missing",
    "additionalProperties": "extra",
    "unevaluatedProperties": "extra",
    "falseSchema": "extra",
    "type": "type",
    "enum": "enum",
    "const": "enum",
    "format": "format",
    "pattern": "format",
}
_MOST = 100  # faults that are counted
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?P<part>(?:\.\d+)?(?:[eE][+-]?\d+)?)", re.ASCII)


def find_faults(value: Any, schema: Any) -> list[tuple[Fault, str]]:
    """What is wrong with data by a schema, each with where it is; at most a hundred.

    Raises:
        ValueError: The schema is none.
        MissingExtraError: `jsonschema-rs` is not installed.
    """
    errors = islice(compile_schema(schema).iter_errors(value), _MOST)
    return [(_FAULTS.get(error.kind.name, "limit"), _path(error)) for error in errors]


def _path(error: ValidationError) -> str:
    return "$" + "".join(f"[{at}]" if isinstance(at, int) else f".{at:.40}" for at in error.instance_path)


def compile_schema(schema: Any) -> Draft202012Validator:
    """Compile a schema of draft 2020-12.

    Raises:
        ValueError: It is none, refers to what is not in it, or has a pattern that no linear engine takes.
        MissingExtraError: `jsonschema-rs` is not installed.
    """
    try:
        return _compile(json.dumps(schema))
    except (TypeError, RecursionError) as error:
        raise ValueError(f"the schema is no JSON: {error}") from None


@lru_cache(maxsize=256)
def _compile(text: str) -> Draft202012Validator:
    try:
        import jsonschema_rs as rs
    except ImportError:
        raise MissingExtraError("JSON schemas", "verifiers") from None
    try:
        return rs.Draft202012Validator(
            json.loads(text), validate_formats=True, pattern_options=rs.RegexOptions(), retriever=_retrieve
        )
    except (ValueError, rs.ReferencingError) as error:
        raise ValueError(f"no schema: {str(error).partition(chr(10))[0]}") from None


def _retrieve(uri: str) -> Any:
    raise ValueError(f"{uri} is not fetched")


_COMPOSED = ("allOf", "anyOf", "oneOf", "if", "then", "else", "not", "$ref", "dependentSchemas")
_NAMED = ("properties", "patternProperties", "$defs", "definitions")
_NESTED = ("items", "prefixItems", "contains", "additionalProperties", "unevaluatedProperties", "propertyNames")


def close_schema(schema: Any) -> Any:
    """A schema by which each property is required and no other is allowed, wherever it does not say otherwise."""
    if isinstance(schema, list):
        return [close_schema(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closed = dict(schema)
    for key in _NAMED:
        if isinstance(parts := schema.get(key), dict):
            closed[key] = {name: close_schema(part) for name, part in parts.items()}
    for key in _NESTED:
        if key in schema:
            closed[key] = close_schema(schema[key])
    if "properties" in schema:
        # What stands beside `properties` may allow more of them, and is no whole of its own.
        composed = any(key in schema for key in _COMPOSED)
        closed.setdefault("required", list(schema["properties"]))
        if "additionalProperties" not in schema and "unevaluatedProperties" not in schema:
            closed["unevaluatedProperties" if composed else "additionalProperties"] = False
    else:
        for key in ("anyOf", "oneOf"):
            if key in schema:
                closed[key] = close_schema(schema[key])
    return closed


@dataclass(frozen=True, slots=True)
class Hint:
    """What a part of data should be, for syntaxes that know nothing but text.

    Attributes:
        schema: The schema of the part; anything else says nothing.
        root: The schema of all, for references.
    """

    schema: Any
    root: Any

    def _schemas(self) -> Iterator[Mapping[str, Any]]:
        """The schema, and those that it takes in."""
        queue, seen = [self.schema], 0
        while queue and seen < _MOST:
            schema = queue.pop(0)
            seen += 1
            if isinstance(schema, Mapping):
                yield schema
                queue += [part for key in ("allOf", "anyOf", "oneOf") for part in schema.get(key, ())]
                if "$ref" in schema:
                    queue.append(self._resolve(schema["$ref"]))

    def _resolve(self, reference: Any) -> Any:
        found = self.root
        for step in str(reference).removeprefix("#").split("/")[1:]:
            step = step.replace("~1", "/").replace("~0", "~")
            found = found.get(step) if isinstance(found, Mapping) else None
        return found

    @property
    def types(self) -> set[str]:
        """Names of the types that it may have; empty if nothing says."""
        found: set[str] = set()
        for schema in self._schemas():
            kinds = schema.get("type", ())
            found |= {kinds} if isinstance(kinds, str) else set(kinds)
            for value in (*schema.get("enum", ()), *((schema["const"],) if "const" in schema else ())):
                found.add(type_name(value))
        return found

    @property
    def is_list(self) -> bool:
        """Whether it should be a list."""
        return "array" in self.types

    @property
    def is_object(self) -> bool:
        """Whether it should be an object."""
        return "object" in self.types

    def part(self, name: str) -> Hint:
        """The hint for a property."""
        return self._below("properties", name)

    def item(self) -> Hint:
        """The hint for the items of a list."""
        return self._below("items")

    def _below(self, *keys: str) -> Hint:
        found: list[Any] = list(self._schemas())
        for key in keys:
            found = [part[key] for part in found if isinstance(part, Mapping) and key in part]
        return Hint({"anyOf": found}, self.root)

    def lacks(self, name: str) -> bool:
        """Whether it is known to have no property of a name."""
        known = [schema["properties"] for schema in self._schemas() if "properties" in schema]
        is_plain = bool(self.types) and not self.is_object
        return (bool(known) or is_plain) and not any(name in each for each in known)

    def value(self, text: str) -> Any:
        """Text as what it should be, where it is that; else as it is."""
        types = self.types
        bare = text.strip()
        if not types or "string" in types:
            return None if not bare and "null" in types else text
        if bare.lower() in ("true", "false") and "boolean" in types:
            return bare.lower() == "true"
        if bare in ("", "null") and "null" in types:
            return None
        if types & {"integer", "number"} and (number := _NUMBER.fullmatch(bare)) and len(bare) < _MOST:
            return float(bare) if number["part"] else int(bare)
        return text


def describe(value: Any) -> dict[str, Any]:
    """A schema of what a value is, for hints."""
    if isinstance(value, dict):
        return {"type": "object", "properties": {name: describe(part) for name, part in value.items()}}
    if isinstance(value, list):
        items = {json.dumps(form): form for form in map(describe, value)}
        return {"type": "array", "items": {"anyOf": list(items.values())}}
    return {"type": type_name(value)}


def type_name(value: Any) -> str:
    """The name of a value's type in schemas."""
    if value is None:
        return "null"
    names: dict[type, str] = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array"}
    return names.get(type(value), "object")


def count_faults(faults: list[tuple[Fault, str]]) -> dict[str, float]:
    """How many there are of each kind."""
    found = Counter(fault for fault, _ in faults)
    return {fault: float(found[fault]) for fault in FAULTS}
