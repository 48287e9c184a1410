"""Acting by calls alone, as clients do that know tools and no messages: one tool more says what is no call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from llmgym.adapters.remote.protocol import Stepped
from llmgym.env import ToolEnv
from llmgym.messages import ToolSchema
from llmgym.serve.session import Session

#: The tool that says a message.
SAY: Final = "assistant_message"
SAY_SCHEMA: Final[ToolSchema] = {
    "type": "function",
    "function": {
        "name": SAY,
        "description": "Say this without calling a tool, such as the final answer.",
        "parameters": {
            "type": "object",
            "properties": {"message": {"type": "string", "description": "What is said."}},
            "required": ["message"],
            "additionalProperties": False,
        },
    },
}


def says(session: Session, name: str, arguments: Mapping[str, Any]) -> str | None:
    """What is said by a call; None where it is one of a tool of the episode."""
    if name != SAY or any(tool["function"]["name"] == SAY for tool in session.tools):
        return None
    return str(arguments.get("message", ""))


def replies(core: Any) -> bool:
    """Whether an environment may go on after a message without calls."""
    return type(core).respond is not ToolEnv.respond


def tool_of(schema: ToolSchema) -> dict[str, Any]:
    """A tool as both protocols list it."""
    function = schema["function"]
    return {
        "name": function["name"],
        "description": function.get("description", ""),
        "input_schema": function.get("parameters") or {"type": "object", "properties": {}},
    }


def text_of(found: Stepped) -> str:
    """What is new, as text."""
    return "\n".join(message["content"] for message in found.messages)
