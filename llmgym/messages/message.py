"""Types of chat messages, and how to make them.

Plain dicts travel through JSON, chat templates and every trainer unchanged, so llmgym has no
message class. A tool call's `arguments` is always the *text* that the model wrote: parsing it is
the environment's business, and a broken one must survive to be answered and stored.
"""

from __future__ import annotations

import json
import re
from typing import Any, Literal, NotRequired, TypedDict

_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]|\r(?!\n)")  # but tabs and ends of lines

Role = Literal["system", "user", "assistant", "tool"]


class FunctionCall(TypedDict):
    """Name and arguments (JSON text, as sampled) of one tool call."""

    name: str
    arguments: str


class ToolCall(TypedDict):
    """One tool call of an assistant message."""

    id: NotRequired[str]
    type: NotRequired[Literal["function"]]
    function: FunctionCall


class Message(TypedDict):
    """One chat message.

    `tool_calls` and `reasoning_content` occur on assistant messages, `tool_call_id` and `name` on
    tool messages.
    """

    role: Role
    content: str
    tool_calls: NotRequired[list[ToolCall]]
    reasoning_content: NotRequired[str]
    tool_call_id: NotRequired[str]
    name: NotRequired[str]


class FunctionSchema(TypedDict):
    """Name, description and JSON schema of the parameters of a tool."""

    name: str
    description: str
    parameters: dict[str, Any]


class ToolSchema(TypedDict):
    """A tool in the OpenAI chat format: `{"type": "function", "function": {...}}`."""

    type: Literal["function"]
    function: FunctionSchema


def user(content: str) -> Message:
    """Make a user message."""
    return {"role": "user", "content": content}


def system(content: str) -> Message:
    """Make a system message."""
    return {"role": "system", "content": content}


def assistant(content: str = "", *calls: ToolCall, reasoning: str = "") -> Message:
    """Make an assistant message with any tool calls and any reasoning."""
    message: Message = {"role": "assistant", "content": content}
    if reasoning:
        message["reasoning_content"] = reasoning
    if calls:
        message["tool_calls"] = list(calls)
    return message


def tool_call(name: str, text: str | None = None, call_id: str | None = None, /, **arguments: Any) -> ToolCall:
    """Make a tool call from Python values: `tool_call("add", a=1, b=2)`; or from text that a model wrote.

    Args:
        name: Name of the tool.
        text: Arguments as JSON text, instead of values.
        call_id: Id of the call; none by default.
        **arguments: Arguments by name.
    """
    if text is None:
        text = json.dumps(arguments, ensure_ascii=False, separators=(",", ":"))
    elif arguments:
        raise TypeError(f"tool_call({name!r}) takes the arguments as text or by name, not both")
    call: ToolCall = {"type": "function", "function": {"name": name, "arguments": text}}
    return call if call_id is None else {"id": call_id, **call}


def scrub(text: str) -> str:
    """Replace lone surrogates, which no UTF-8 file can hold, by U+FFFD."""
    if text.isascii():
        return text
    try:
        text.encode("utf-16-le")  # for most text the fastest way to find none
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def visible(text: str) -> str:
    """Text for a terminal, which would obey the control characters in it: they are shown as Python writes them."""
    return _CONTROLS.sub(lambda found: repr(found[0])[1:-1], text)


def format_message(message: Message) -> str:
    """Show a message as a person would read it, tool calls as `name(arguments)`, and no control characters."""
    calls = (call["function"] for call in message.get("tool_calls", ()))
    text = f"[{message['role']}] {message['content']}".rstrip()
    return visible("\n".join([text, *(f"  -> {call['name']}({call['arguments']})" for call in calls)]))
