"""What others write about their tools: names that every endpoint takes, and arguments against a foreign schema."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import orjson

from llmgym.errors import EnvironmentFailure

_UNNAMEABLE = re.compile(r"[^A-Za-z0-9_-]")
_MAX_NAME = 64  # characters, of OpenAI's endpoints


def tool_name(name: str) -> str:
    """A name that every endpoint takes: what is no letter, digit, "_" or "-" is a "_" in it, and it ends in time."""
    return _UNNAMEABLE.sub("_", name)[:_MAX_NAME] or "_"


def checker(where: str, schema: dict[str, Any]) -> Callable[[Any], str]:
    """What says what is wrong with arguments, or nothing; never fetches what the schema refers to.

    Patterns are those of ECMAScript; where Python has no such pattern, whoever takes the arguments looks at them alone.

    Args:
        where: Whose schema it is; starts the message.
        schema: A JSON schema of any draft.

    Raises:
        EnvironmentFailure: It is none.
    """
    try:
        return _checker(where, orjson.dumps(schema))
    except TypeError as error:
        raise EnvironmentFailure(f"{where} has a schema that is none: {error}", kind="invalid") from None


@lru_cache(4096)
def _checker(where: str, text: bytes) -> Callable[[Any], str]:
    """One for each schema: to look at a schema takes a hundred times as long as to look at arguments."""
    from jsonschema import Draft202012Validator, SchemaError
    from jsonschema.exceptions import best_match
    from jsonschema.validators import validator_for
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    schema = _in_python(orjson.loads(text))
    if type(schema) is not dict or not isinstance(schema.get("$schema", ""), str):
        raise EnvironmentFailure(f"{where} has a schema that is none: {text.decode():.200}", kind="invalid")
    kind = validator_for(schema, default=Draft202012Validator)
    try:
        kind.check_schema(schema)
    except SchemaError as error:
        raise EnvironmentFailure(f"{where} has a schema that is none: {error.message}", kind="invalid") from None
    validator = kind(schema, registry=Registry())
    fits = _quick(schema)

    def check(arguments: Any) -> str:
        if fits(arguments):
            return ""
        try:
            found = best_match(validator.iter_errors(arguments))
        except Unresolvable as error:
            raise EnvironmentFailure(f"{where} has a schema that refers elsewhere: {error}", kind="invalid") from None
        return "" if found is None else f"{found.message:.500} - at `{found.json_path}`"

    return check


def _in_python(schema: Any) -> Any:
    """A schema without the patterns that Python cannot read."""
    if isinstance(schema, list):
        return [_in_python(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {name: _in_python(part) for name, part in schema.items() if name != "pattern" or _is_readable(part)}
    by_pattern = kept.get("patternProperties")
    if isinstance(by_pattern, dict) and not all(map(_is_readable, by_pattern)):
        kept["patternProperties"] = {name: part for name, part in by_pattern.items() if _is_readable(name)}
        kept.pop("additionalProperties", None)  # which are these, nobody knows
        kept.pop("unevaluatedProperties", None)
    return kept


def _is_readable(pattern: Any) -> bool:
    try:
        return not isinstance(pattern, str) or bool(re.compile(pattern))
    except re.error:
        return False


_TYPES = {"string": str, "integer": int, "boolean": bool, "array": list, "object": dict}
_SAID = frozenset({"type", "title", "description", "default", "examples"})  # of a value, with nothing else to check


def _quick(schema: dict[str, Any]) -> Callable[[Any], bool]:
    """What knows at once that arguments fit, where all that is said of them is their types; in doubt they do not."""
    properties = schema.get("properties", {})
    types = {
        name: _TYPES.get(field["type"])
        for name, field in properties.items()
        if isinstance(field, dict) and field.keys() <= _SAID and isinstance(field.get("type"), str)
    }
    known = frozenset({"type", "title", "description", "properties", "required", "additionalProperties", "$defs"})
    required = frozenset(schema.get("required", ()))
    plain = schema.get("type") == "object" and schema.keys() <= known

    def fits(arguments: Any) -> bool:
        return (
            plain
            and type(arguments) is dict
            and arguments.keys() >= required
            and all(type(value) is types.get(name, fits) for name, value in arguments.items())
        )

    return fits
