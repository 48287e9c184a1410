"""Chat messages in the OpenAI chat format, as plain dicts.

Plain dicts travel through JSON, chat templates and every trainer unchanged, so llmgym has no
message class. A tool call's `arguments` is always the *text* that the model wrote: parsing it is
the environment's business, and a broken one must survive to be answered and stored.
"""

from __future__ import annotations

import json
import re
from typing import Any, Literal, NotRequired, TypedDict

import msgspec

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


class _AssistantMessage(TypedDict):
    role: Literal["assistant"]
    content: NotRequired[str | None]
    tool_calls: NotRequired[list[ToolCall] | None]
    reasoning_content: NotRequired[str | None]


class FunctionSchema(TypedDict):
    """Name, description and JSON schema of the parameters of a tool."""

    name: str
    description: str
    parameters: dict[str, Any]


class ToolSchema(TypedDict):
    """A tool in the OpenAI chat format: `{"type": "function", "function": {...}}`."""

    type: Literal["function"]
    function: FunctionSchema


class _HermesCall(msgspec.Struct):
    name: str
    arguments: msgspec.Raw = msgspec.Raw(b"{}")


_decode_call = msgspec.json.Decoder(_HermesCall).decode
_TOOL_CALL = re.compile(r"<tool_call>(.*?)(?:</tool_call>|\Z)", re.DOTALL)


def user(content: str) -> Message:
    """Make a user message."""
    return {"role": "user", "content": content}


def system(content: str) -> Message:
    """Make a system message."""
    return {"role": "system", "content": content}


def assistant(content: str = "", *calls: ToolCall) -> Message:
    """Make an assistant message with any tool calls."""
    message: Message = {"role": "assistant", "content": content}
    if calls:
        message["tool_calls"] = list(calls)
    return message


def tool_call(name: str, /, **arguments: Any) -> ToolCall:
    """Make a tool call from Python values: `tool_call("add", a=1, b=2)`."""
    text = json.dumps(arguments, ensure_ascii=False, separators=(",", ":"))
    return {"type": "function", "function": {"name": name, "arguments": text}}


def parse_tool_calls(text: str) -> tuple[str, list[ToolCall]]:
    r"""Split Hermes-style text into content and tool calls.

    Each `<tool_call>{"name": ..., "arguments": {...}}</tool_call>` block becomes a tool call; an
    unclosed last block counts too. A block that is not such JSON keeps its text as `arguments` with
    an empty name, so that the environment can answer what is wrong with it.

    Args:
        text: What the model wrote.

    Returns:
        The text outside the blocks, stripped, and the calls in order.
    """
    if "<tool_call>" not in text:
        return text, []
    calls = [_tool_call(block.strip()) for block in _TOOL_CALL.findall(text)]
    return _TOOL_CALL.sub("", text).strip(), calls


def _tool_call(block: str) -> ToolCall:
    try:
        call = _decode_call(block)
        arguments = bytes(call.arguments).decode()  # raw: a number of thirty digits keeps them
        if arguments.startswith('"'):  # some models write the arguments as a string of JSON
            arguments = msgspec.json.decode(arguments, type=str)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return {"type": "function", "function": {"name": "", "arguments": block}}
    return {"type": "function", "function": {"name": call.name, "arguments": arguments}}


def scrub(text: str) -> str:
    """Replace lone surrogates, which no UTF-8 file can hold, by U+FFFD."""
    if text.isascii():
        return text
    try:
        text.encode("utf-16-le")  # for most text the fastest way to find none
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def check_assistant(action: str | Message | dict[str, Any]) -> _AssistantMessage | str:
    """Read an action as what it is.

    Raises:
        ValueError: The action is neither text nor an assistant message; says what is wrong.
    """
    if isinstance(action, str):
        return action
    try:
        return msgspec.convert(action, _AssistantMessage)
    except msgspec.ValidationError as error:
        raise ValueError(f"not an assistant message: {error}; got {str(action)[:200]!r}") from None


def as_assistant(action: str | Message | dict[str, Any]) -> Message:
    """Read an action as an assistant message, in a fresh dict.

    Args:
        action: Plain text, whose `<tool_call>` blocks are parsed, or an assistant message.

    Returns:
        The message, with text free of lone surrogates.

    Raises:
        ValueError: The action is neither text nor an assistant message; says what is wrong.
    """
    given = check_assistant(action)
    if isinstance(given, str):
        content, calls = parse_tool_calls(scrub(given))
        return assistant(content, *calls)
    message = assistant(scrub(given.get("content") or ""))
    if reasoning := given.get("reasoning_content"):
        message["reasoning_content"] = scrub(reasoning)
    if calls := given.get("tool_calls"):
        message["tool_calls"] = [_scrub_call(call) for call in calls]
    return message


def _scrub_call(call: ToolCall) -> ToolCall:
    function = call["function"]
    clean: ToolCall = {
        "type": "function",
        "function": {"name": scrub(function["name"]), "arguments": scrub(function["arguments"])},
    }
    return {"id": scrub(call["id"]), **clean} if "id" in call else clean


def format_message(message: Message) -> str:
    """Show a message as a person would read it, tool calls as `name(arguments)`."""
    calls = (call["function"] for call in message.get("tool_calls", ()))
    text = f"[{message['role']}] {message['content']}".rstrip()
    return "\n".join([text, *(f"  -> {call['name']}({call['arguments']})" for call in calls)])
