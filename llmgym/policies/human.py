"""A person in the model's place: how tools are shown to one, and how a typed line is read."""

from __future__ import annotations

import asyncio
import difflib
import json
import math
import re
from collections.abc import Sequence
from typing import Any

from llmgym.chat import ChatGeneration, Sampling
from llmgym.errors import PolicyError
from llmgym.messages import Message, ToolSchema, as_assistant

_WORD = re.compile(r"([^\s{]*)\s*(.*)", re.DOTALL)
_DEPTH = 3  # below it, an example's values are left out


class HumanPolicy:
    """A person at the terminal: writes text, or a tool call as `name {"argument": value}`; one episode at a time."""

    name = "human"
    model = "human"

    def __init__(self) -> None:
        """Nobody is typing."""
        self._terminal = asyncio.Lock()

    async def start(self) -> None:
        """Nothing to load."""

    async def close(self) -> None:
        """Nothing to free."""

    async def chat(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSchema],
        sampling: Sampling,
        *,
        request_id: str,
        session_id: str,
    ) -> ChatGeneration:
        """Show what is new and read a line, again where it says nothing.

        Raises:
            PolicyError: The input has ended.
        """
        said = [index for index, message in enumerate(messages) if message["role"] == "assistant"]
        shown = [f"[{message['role']}] {message['content']}\n" for message in messages[said[-1] + 1 if said else 0 :]]
        if not said and tools:
            shown.append(f"(call a tool as {' or '.join(map(usage, tools))})\n")
        prompt = "".join(shown) + "> "
        try:
            async with self._terminal:
                line = await asyncio.to_thread(input, prompt)
                while problem := misread(line, tools):
                    line = await asyncio.to_thread(input, f"({problem})\n> ")
        except EOFError:
            raise PolicyError("the input has ended") from None
        return ChatGeneration(read_line(line, tools), "stop")


def read_line(line: str, tools: Sequence[ToolSchema]) -> Message:
    """Read what a person typed: `name {...}` with the name of a tool is a call of it, all else is text."""
    name, arguments = _WORD.fullmatch(line.strip()).groups()  # type: ignore[union-attr]
    if name not in _names(tools):
        return as_assistant(line)
    call = {"type": "function", "function": {"name": name, "arguments": arguments or "{}"}}
    return as_assistant({"role": "assistant", "content": "", "tool_calls": [call]})


def misread(line: str, tools: Sequence[ToolSchema]) -> str | None:
    """Why a line should be asked for again: it is empty, or calls a tool that is not there. None where it is good."""
    if not line.strip():
        return "write an answer" + (f", or call a tool, such as {usage(tools[0])}" if tools else "")
    name, arguments = _WORD.fullmatch(line.strip()).groups()  # type: ignore[union-attr]
    if not tools or not name or not arguments.startswith("{") or name in _names(tools):
        return None
    if near := difflib.get_close_matches(name, _names(tools), n=1):
        return f"there is no tool {name!r}; did you mean {near[0]}?"
    try:
        meant = isinstance(json.loads(arguments), dict)
    except (ValueError, RecursionError):
        meant = False
    return f"there is no tool {name!r}; there is {', '.join(_names(tools))}" if meant else None


def _names(tools: Sequence[ToolSchema]) -> list[str]:
    return [tool["function"]["name"] for tool in tools]


# --- showing tools ------------------------------------------------------------------------------


def usage(tool: ToolSchema) -> str:
    """How to call a tool, with made-up values for what it needs, or else for its first argument: `add {"a": 1}`."""
    function = tool["function"]
    schema = function["parameters"]
    properties = schema.get("properties", {})
    wanted = [name for name in properties if name in schema.get("required", ())] or list(properties)[:1]
    values = {name: _sample(properties[name], schema, number) for number, name in enumerate(wanted, 1)}
    return f"{function['name']} {json.dumps(values, ensure_ascii=False)}"


def type_name(schema: dict[str, Any]) -> str:
    """The type of a parameter in a word or two, such as "integer", "C or F", "array of number"."""
    if reference := schema.get("$ref"):
        return str(reference).rpartition("/")[2]
    if "enum" in schema:
        return " or ".join(str(choice) for choice in schema["enum"])
    if "const" in schema:
        return str(schema["const"])
    if variants := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(type_name(variant) for variant in variants)
    kind = schema.get("type", "any")
    if isinstance(kind, list):
        return " or ".join(map(str, kind))
    if kind == "array" and isinstance(schema.get("items"), dict):
        return f"array of {type_name(schema['items'])}"
    return str(kind)


def _sample(schema: dict[str, Any], root: dict[str, Any], number: int, depth: int = 0) -> Any:
    """A value that shows the type; numbers count up, so that arguments differ."""
    if reference := schema.get("$ref"):
        schema = root.get("$defs", {}).get(str(reference).rpartition("/")[2], {})
    for key in ("default", "const"):
        if schema.get(key) is not None:
            return schema[key]
    if choices := schema.get("enum"):
        return choices[0]
    if variants := schema.get("anyOf") or schema.get("oneOf"):
        plain = [variant for variant in variants if variant.get("type") != "null"]
        return _sample((plain or variants)[0], root, number, depth + 1)
    kind = schema.get("type")
    match kind[0] if isinstance(kind, list) and kind else kind:
        case "integer" | "number":
            return _between(number, schema)
        case "boolean":
            return True
        case "null":
            return None
        case "array" if "prefixItems" in schema:
            return [_sample(item, root, place, depth + 1) for place, item in enumerate(schema["prefixItems"], 1)]
        case "array":
            return [] if depth > _DEPTH else [_sample(schema.get("items") or {}, root, number, depth + 1)]
        case "object":
            inner = schema.get("properties", {}) if depth <= _DEPTH else {}
            return {
                name: _sample(value, root, place, depth + 1)
                for place, (name, value) in enumerate(inner.items(), 1)
                if name in schema.get("required", ())
            }
        case _:
            return "..."


def _between(number: int, schema: dict[str, Any]) -> float:
    """A number, or the nearest one that a schema allows."""
    least = schema.get("minimum", schema.get("exclusiveMinimum", number - 1) + 1)
    return min(max(number, least), schema.get("maximum", schema.get("exclusiveMaximum", math.inf) - 1))
