"""Histories of chats as data sets and endpoints have them, read as messages.

Known forms: OpenAI's chat messages of all ages (content null, absent or in parts; arguments as an object; the roles
`developer` and `function`, `function_call`), its Responses items, ShareGPT's `from` and `value`; each also as Arrow
gives it, with the fields of all rows as nulls, and arrays for lists.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

import msgspec

from llmgym.errors import MessageError
from llmgym.messages.calls import read_calls
from llmgym.messages.message import Message, Role, ToolCall, scrub, tool_call, user
from llmgym.responses import ITEM_TYPES, arguments_text, from_items, join_text

_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}
_SHAREGPT: dict[str, str] = {
    "human": "user",
    "gpt": "assistant",
    "model": "assistant",
    "function_call": "assistant",
    "observation": "tool",
    "function_response": "tool",
}
_THOUGHTS = ("thinking", "reasoning", "reasoning_text")  # types of parts, and where they have their text


def read_messages(value: Any) -> list[Message]:
    """Read the history of a chat.

    Calls without ids get some, and so do the results that follow them, in order; results get the name of their call.
    Null fields of arguments that are an object are left out: Arrow writes one where another row has an argument.

    Args:
        value: Text, which the user says, or a list, tuple or array of messages or of Responses items.

    Returns:
        The messages, as fresh dicts, with text free of lone surrogates.

    Raises:
        MessageError: It is none of that; says which message, and what is wrong.
    """
    if isinstance(value, str):
        return [user(scrub(value))]
    given = _plain(value)
    if not isinstance(given, list):
        raise MessageError(f"messages are a list of objects or a text, not {value!r:.100}")
    rows = cast("list[Any]", given)
    if any(isinstance(row, dict) and cast("dict[str, Any]", row).get("type") in ITEM_TYPES for row in rows):
        messages = _checked(from_items(rows))
    else:
        messages = [_read(row, f"message {index}") for index, row in enumerate(rows)]
    _join_results(messages)
    return messages


def read_message(value: Any) -> Message:
    """Read one message of a chat, such as an endpoint's; its calls keep the ids that they have, or have none.

    Raises:
        MessageError: It is none; says what is wrong.
    """
    return _read(_plain(value), "the message")


def _plain(value: Any) -> Any:
    """The same in dicts and lists, without null fields; arrays and numbers of NumPy know how to become plain."""
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, Mapping):
        fields = cast("Mapping[Any, Any]", value)
        return {key: _plain(field) for key, field in fields.items() if field is not None}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in cast("Iterable[Any]", value)]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    return value


def _checked(messages: list[Message]) -> list[Message]:
    try:
        return msgspec.convert(messages, list[Message])
    except msgspec.ValidationError as error:
        raise MessageError(f"the items make no messages: {error}") from None


def _read(row: Any, place: str) -> Message:
    try:
        if not isinstance(row, dict):
            raise MessageError(f"is {row!r:.100}; a message is an object with a role and content")
        return _message(_from_sharegpt(cast("dict[str, Any]", row)))
    except MessageError as error:
        raise MessageError(f"{place} {error}") from None


def _from_sharegpt(row: dict[str, Any]) -> dict[str, Any]:
    if "from" not in row or "role" in row:
        return row
    speaker, said = row["from"], row.get("value")
    message = {**row, "role": _SHAREGPT.get(speaker, speaker) if isinstance(speaker, str) else speaker, "content": said}
    if speaker == "function_call":
        calls = read_calls(_text(row, "value").strip())
        if not all(call["function"]["name"] for call in calls):
            raise MessageError(f"has the call {said!r:.100}, which is no JSON object with a name")
        message |= {"content": "", "tool_calls": calls}
    return message


def _message(row: dict[str, Any]) -> Message:
    given = row.get("role")
    role = _ROLES.get(given) if isinstance(given, str) else None
    if role is None:
        raise MessageError(f"has the role {given!r:.100}; roles are {', '.join(_ROLES)}")
    parts, thoughts = _split_parts(row.get("content"))
    message: Message = {"role": role, "content": join_text(parts)}
    if role == "assistant":
        message["content"] = message["content"] or _text(row, "refusal")
        if reasoning := _text(row, "reasoning_content") or _text(row, "reasoning") or thoughts:
            message["reasoning_content"] = reasoning
        if calls := _calls(row):
            message["tool_calls"] = calls
    elif parts is None and role != "tool":
        raise MessageError(f"has no content; only an {'assistant'!r} or {'tool'!r} may say nothing")
    if role == "tool" and (call_id := _text(row, "tool_call_id")):
        message["tool_call_id"] = call_id
    if name := _text(row, "name"):
        message["name"] = name
    return message


def _text(row: Mapping[str, Any], key: str) -> str:
    value = row.get(key, "")
    if not isinstance(value, str):
        raise MessageError(f"has {value!r:.100} as `{key}`, which is a text")
    return value


def _split_parts(content: Any) -> tuple[Any, str]:
    """Take the parts that are thoughts, as Mistral's reasoning models write them, out of the content."""
    if not isinstance(content, list):
        return content, ""
    said: list[Any] = []
    thoughts: list[str] = []
    for part in cast("list[Any]", content):
        kind = cast("dict[str, Any]", part).get("type") if isinstance(part, dict) else None
        if kind in _THOUGHTS:
            thoughts.append(join_text(part.get("thinking", part.get("text"))))
        else:
            said.append(part)
    return said, "\n".join(thoughts)


def _calls(row: Mapping[str, Any]) -> list[ToolCall]:
    given = row.get("tool_calls", [])
    if not isinstance(given, list):
        raise MessageError(f"has {given!r:.100} as `tool_calls`, which is a list")
    calls = [_call(call) for call in cast("list[Any]", given)]
    if "function_call" in row:
        calls.append(_call(row["function_call"]))
    return calls


def _call(given: Any) -> ToolCall:
    """Read a call; its name and arguments may stand beside its id."""
    if not isinstance(given, dict):
        raise MessageError(f"has the call {given!r:.100}; a call is an object")
    call = cast("dict[str, Any]", given)
    if (kind := call.get("type", "function")) != "function":
        raise MessageError(f"has a call of the type {kind!r:.100}; llmgym takes calls of functions alone")
    function = call.get("function", call)
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise MessageError(f"has the call {given!r:.100}, without a name")
    return tool_call(function["name"], arguments_text(function.get("arguments")), _text(call, "id") or None)


def _join_results(messages: list[Message]) -> None:
    """Give ids to calls that have none, and to results the id and name of the call that they answer."""
    waiting: list[tuple[str, str]] = []
    names: dict[str, str] = {}
    for index, message in enumerate(messages):
        calls = message.get("tool_calls", [])
        for number, call in enumerate(calls):
            call_id = call["id"] = call.get("id") or f"history_{index}_{number}"
            names[call_id] = call["function"]["name"]
        if message["role"] == "assistant":
            waiting = [(call.get("id", ""), call["function"]["name"]) for call in calls]
        if message["role"] != "tool":
            continue
        call_id, name = message.get("tool_call_id"), message.get("name")
        answered = next((w for w in waiting if (w[0] == call_id if call_id else name in (None, w[1]))), None)
        if answered is not None:
            waiting.remove(answered)
            message["tool_call_id"] = answered[0]
        if name is None and (known := names.get(message.get("tool_call_id", ""))) is not None:
            message["name"] = known
