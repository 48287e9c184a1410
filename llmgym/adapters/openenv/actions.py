"""What an OpenEnv server takes and gives: its action as a tool or as text, its observations as text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from llmgym.adapters.schemas import tool_name
from llmgym.tools import render_result

Form = Literal["text", "tool", "tools"]
_OURS = frozenset({"metadata"})  # of an action, which is no policy's to fill
_CHOICES = frozenset({"enum", "const"})
_CALL = frozenset({"tool_name", "arguments"})


@dataclass(frozen=True, slots=True)
class ActionForm:
    """How a policy acts.

    Attributes:
        form: By text, by one tool whose arguments are the action, or by the tools that the server lists.
        name: Of the tool, or of the field that the text is.
        description: Of the action.
        parameters: Schema of the action.
    """

    form: Form
    name: str = ""
    description: str = ""
    parameters: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, schema: Mapping[str, Any], wanted: Literal["text", "tool"] | None) -> ActionForm:
        """Choose the form for a schema: text where a single text is all that an action needs, and any text is one.

        Args:
            schema: Of the action.
            wanted: "text" or "tool" where it is not to be chosen.

        Raises:
            ValueError: The action is no single text, as is wanted.
        """
        fields = {name: field for name, field in schema.get("properties", {}).items() if name not in _OURS}
        if not fields or fields.keys() >= _CALL:
            return cls("tools")
        required = [name for name in schema.get("required", ()) if name in fields] or list(fields)
        single = len(required) == 1 and fields[required[0]].get("type") == "string"
        if wanted == "text" and not single:
            raise ValueError(f"an action has {', '.join(fields)}, which is no single text")
        description = str(schema.get("description", ""))
        free = (
            single and len(fields) == 1 and not fields[required[0]].keys() & _CHOICES
        )  # which only a tool's schema shows
        if wanted == "text" or (wanted is None and free):
            return cls("text", required[0], description)
        rest = {name: value for name, value in schema.items() if name not in ("title", "description")}
        parameters = {"type": "object", **rest, "properties": fields}
        return cls("tool", tool_name(str(schema.get("title") or "act")), description, parameters)


def shown(observation: Mapping[str, Any]) -> str:
    """An observation as text: its text where that is all that it is, else JSON.

    Its metadata is shown only where there is nothing else.
    """
    fields = {name: value for name, value in observation.items() if name != "metadata" and value is not None}
    if not fields:
        metadata = observation.get("metadata")
        return render_result(metadata) if metadata else ""
    (value, *others) = fields.values()
    return value if isinstance(value, str) and not others else render_result(fields)


def result_text(result: Any) -> str:
    """What a tool gave: the texts of its contents, else its data, else all of it."""
    if not isinstance(result, Mapping) or "content" not in result:
        return render_result(result)
    parts = result["content"] or ()
    if texts := [str(part.get("text")) for part in parts if isinstance(part, Mapping) and part.get("type") == "text"]:
        others = len(parts) - len(texts)
        return "\n".join(texts) + (f"\n[{others} contents that are no text]" if others else "")
    return render_result(result.get("structured_content", result.get("data")))
