"""Arguments that models write between tags, without quotes: what is a string is told by the schema of the tool.

`renderers` finds such calls and takes them apart, but it strips blanks, reads "90210" as a number wherever a schema
says more than `"type": "string"`, and ends a value at the first closing tag in it. So the arguments are read again,
from the text of the call: to the character, and in one place for all families that write tags.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import msgspec

from llmgym.messages import ToolSchema


@dataclass(frozen=True, slots=True)
class _Form:
    """How something with a name is written between tags, one after another, and what may follow the last.

    A closing tag within is told from the one that closes by what follows, since nothing escapes it.
    """

    head: re.Pattern[str]
    opening: re.Pattern[str]
    closing: re.Pattern[str]
    tail: re.Pattern[str]

    def read(self, text: str) -> tuple[list[tuple[str, str]], bool] | None:
        """The names with what stands between tags, and whether that is all; None where the text begins with none."""
        head = self.head.match(text)
        begin = head and self.opening.match(text, head.end())
        if begin is None:
            return None
        found: list[tuple[str, str]] = []
        at = begin.start()
        while begin and (end := self.closing.search(text, begin.end())):
            found.append((begin[1].strip(), text[begin.end() : end.start()]))
            at = end.end()
            begin = self.opening.match(text, at)
        return found, self.tail.fullmatch(text, at) is not None


def _form(head: str, opening: str, closing: str, tail: str = r"\s*+") -> _Form:
    return _Form(re.compile(head), re.compile(rf"\s*+{opening}"), re.compile(closing), re.compile(tail))


_ARGUMENTS = (
    # Qwen3-Coder, Qwen3.5, Nemotron: each value in lines of its own
    _form(
        r"\s*+<function=[^<>]++>\s*+",
        r"<parameter=([^<>\n]++)>\n?",
        r"\n</parameter>(?=[\s<]|\Z)|</parameter>(?=\s*+(?:<parameter=|</function>|\Z))",
        r"\s*+(?:</function>\s*+)?+",
    ),
    # GLM, Laguna; Hy3, which marks its tags as those of the open model
    _form(
        r"[^<>{}]*+(?:<tool_sep[^<>]*+>\s*+)?+",
        r"<arg_key(?::\w++)?+>([^<>]*+)</arg_key(?::\w++)?+>\s*+<arg_value(?::\w++)?+>",
        r"</arg_value(?::\w++)?+>(?=\s*+(?:<arg_key|\Z))",
    ),
    # MiniMax, within an <invoke>
    _form(r"\s*+", r'<parameter name="([^"<>]++)">', r"</parameter>(?=\s*+(?:<parameter name=|\Z))"),
)
_INVOKES = _form(r"\s*+", r'<invoke name="([^"<>]++)">', r"</invoke>(?=\s*+(?:<invoke name=|\Z))")


def tagged_arguments(raw: str, name: str, number: int, tools: Sequence[ToolSchema]) -> str | None:
    """Read the arguments of a call between tags.

    Args:
        raw: The text of the call, or of the block that holds it.
        name: Name of the tool.
        number: How many calls stand before it in its block; MiniMax's hold several.
        tools: What the model was offered.

    Returns:
        The arguments as JSON text, numbers with the digits that the model wrote; the text itself where a tag is not
        closed or something else stands between them; None if there are no such tags.
    """
    blocks, _ = _INVOKES.read(raw) or ([], True)
    if blocks:
        if number >= len(blocks) or blocks[number][0] != name:
            return None
        raw = blocks[number][1]
    read = next(filter(None, (form.read(raw) for form in _ARGUMENTS)), None)
    if read is None:
        return None
    found, whole = dict(read[0]), read[1]
    if not whole:  # nobody knows what was meant, and who runs the rest runs another call
        return raw
    parameters = next((t["function"].get("parameters") for t in tools if t["function"]["name"] == name), None)
    values = {key: _value(text, _types_of(key, parameters)) for key, text in found.items()}
    return "{" + ", ".join(f"{json.dumps(key, ensure_ascii=False)}: {value}" for key, value in values.items()) + "}"


_WORDS = {"true": "true", "1": "true", "false": "false", "0": "false"}


def _value(text: str, types: set[str]) -> str:
    """A value as JSON, of the types that its schema allows.

    What may be null is null where the template's word for it stands: JSON's, or Python's in Qwen3.5 and Nemotron. What
    may be a string beside other types is one where it is not JSON of those. Booleans are read as vLLM reads them.
    """
    if "null" in types and text in ("null", "None"):
        return "null"
    string = json.dumps(text, ensure_ascii=False)
    if types and types <= {"string", "null"}:
        return string
    kinds = _kinds(text) - {"string"}  # templates put no quotes around strings: those that are there belong to them
    if kinds and not (types and types.isdisjoint(kinds)):
        return text.strip()
    if "boolean" in types and (word := _WORDS.get(text.strip().lower())):
        return word
    return text.strip() if kinds and "string" not in types else string


_KINDS: dict[type, set[str]] = {
    bool: {"boolean"},
    int: {"integer", "number"},
    float: {"number"},
    str: {"string"},
    list: {"array"},
    dict: {"object"},
    type(None): {"null"},
}


def _kinds(text: str) -> set[str]:
    """The types of a text as JSON; none where it is not JSON."""
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return set()
    return _KINDS[int] if isinstance(value, float) and value.is_integer() else _KINDS[type(value)]


def _types_of(key: str, parameters: Any) -> set[str]:
    """The types of a parameter; a schema that is none, as servers of tools give too, does not say."""
    try:
        return _types(parameters["properties"][key], parameters)
    except (AttributeError, LookupError, TypeError):
        return set()


def _types(schema: Any, root: Mapping[str, Any], depth: int = 8) -> set[str]:
    """The types that a JSON schema allows; empty where it does not say."""
    if not isinstance(schema, dict) or depth == 0:
        return set()
    schema = cast("dict[str, Any]", schema)
    if declared := schema.get("type"):
        return {declared} if isinstance(declared, str) else set(declared)
    if constants := schema.get("enum", [schema["const"]] if "const" in schema else None):
        return set[str]().union(*(_KINDS[type(constant)] for constant in constants))
    if isinstance(reference := schema.get("$ref"), str):
        return _types(_resolve(reference, root), root, depth - 1)
    branches = [_types(branch, root, depth - 1) for branch in schema.get("anyOf") or schema.get("oneOf") or ()]
    return set[str]().union(*branches) if all(branches) else set()


def _resolve(reference: str, root: Mapping[str, Any]) -> Any:
    """What a reference within a schema points to."""
    found: Any = root
    for key in reference.removeprefix("#/").split("/"):
        found = found.get(key) if isinstance(found, dict) else None
    return found
