"""Actions: what a policy hands to an environment, read as an assistant message."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

import msgspec

from llmgym.errors import MessageError
from llmgym.messages.message import Message, ToolCall, assistant, scrub
from llmgym.messages.replies import read_reply


class _AssistantMessage(TypedDict):
    role: Literal["assistant"]
    content: NotRequired[str | None]
    tool_calls: NotRequired[list[ToolCall] | None]
    reasoning_content: NotRequired[str | None]


class _Given(msgspec.Struct):
    """An action; read as a part of a struct, since what msgspec makes of a type it keeps with structs alone."""

    message: _AssistantMessage


def check_assistant(action: str | Message | dict[str, Any]) -> _AssistantMessage | str:
    """Read an action as what it is.

    Raises:
        MessageError: The action is neither text nor an assistant message; says what is wrong.
    """
    if isinstance(action, str):
        return action
    try:
        return msgspec.convert({"message": action}, _Given).message
    except msgspec.ValidationError as error:
        wrong = str(error).replace("`$.message", "`$").removesuffix(" - at `$`")
        raise MessageError(f"not an assistant message: {wrong}; got {str(action)[:200]!r}") from None


def as_assistant(action: str | Message | dict[str, Any]) -> Message:
    """Read an action as an assistant message, in a fresh dict.

    Text is read as models write it; see `read_reply`.

    Args:
        action: Plain text, or an assistant message.

    Returns:
        The message, with text free of lone surrogates.

    Raises:
        MessageError: The action is neither text nor an assistant message; says what is wrong.
    """
    given = check_assistant(action)
    if isinstance(given, str):
        return read_reply(given)
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
