"""Messages of verifiers, which are objects, as chat messages of text, and back."""

from __future__ import annotations

import json
import math
from typing import Any

from inside.faults import Fault


def field(thing: Any, name: str) -> Any:
    """A field of a mapping or of an object."""
    return thing.get(name) if isinstance(thing, dict) else getattr(thing, name, None)


def as_text(content: Any) -> str:
    """The text of a message's content.

    Raises:
        Fault: It has a picture, or a sound.
    """
    if content is None or isinstance(content, str):
        return content or ""
    parts = [field(part, "text") for part in content]
    if None in parts:
        kinds = ", ".join(sorted({str(field(part, "type")) for part in content}))
        raise Fault("unfit", f"a message has parts that are no text ({kinds}), which llmgym does not have")
    return "\n".join(parts)


def as_message(message: Any) -> dict[str, Any]:
    """A message in OpenAI's form."""
    role = field(message, "role")
    said: dict[str, Any] = {"role": "user" if role == "text" else role, "content": as_text(field(message, "content"))}
    if call_id := field(message, "tool_call_id"):
        said["tool_call_id"] = call_id
    if calls := field(message, "tool_calls"):
        said["tool_calls"] = [_as_call(call) for call in calls]
    return said


def _as_call(call: Any) -> dict[str, Any]:
    named = field(call, "function") or call
    arguments = field(named, "arguments")
    text = arguments if isinstance(arguments, str) else json.dumps(arguments or {})
    return {"id": field(call, "id"), "type": "function", "function": {"name": field(named, "name"), "arguments": text}}


def as_schema(tool: Any) -> dict[str, Any]:
    """A tool's schema in OpenAI's form."""
    parameters = field(tool, "parameters") or {"type": "object", "properties": {}}
    named = {"name": field(tool, "name"), "description": field(tool, "description") or "", "parameters": parameters}
    return {"type": "function", "function": named}


def flat_calls(message: dict[str, Any]) -> list[dict[str, Any]]:
    """The calls of a message in verifiers' form."""
    return [{"id": call["id"], **call["function"]} for call in message.get("tool_calls", ())]


def number(value: Any) -> float | None:
    """A number that JSON has; None for another."""
    found = float(value)
    return found if math.isfinite(found) else None
