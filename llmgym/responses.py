"""Chat messages as items of OpenAI's Responses format, and back without a loss.

Rows of rollouts hold a transcript in this form alone, as NeMo Gym's do. The form knows items, not messages, so these
rules tell which items are one assistant message: its reasoning, its text, its calls, in this order, each of which may
be missing. A text opens a message unless only reasoning came before it; reasoning opens one; calls belong to the
message that is open. Where that would join two messages, the second begins with an empty text.

What the form cannot say stands in further keys, which occur only where they are needed:

- on a message, fields that messages of its role do not have in the form, such as `name`, under their own names;
- on a call whose `id` or `type` is not as usual, `tool_call`: what it holds beside the function;
- on a result, `name` where it is not that of the call, `unnamed` where it has none though the call has,
  `tool_call_id` where that is an empty text.

A call or result without an id has an empty `call_id`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any, cast

from llmgym.errors import MessageError

if TYPE_CHECKING:
    from llmgym.messages import Message, Role, ToolCall, ToolSchema

#: Types of items that are no messages of a chat.
ITEM_TYPES = ("message", "reasoning", "function_call", "function_call_output")  # a type may be anything: no set
ROLES: dict[str, Role] = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
_OWN = ("name", "tool_call_id", "tool_calls", "reasoning_content")  # of a message, beside role and content
_NO_CALLS: list[ToolCall] = []


def to_items(messages: Iterable[Message]) -> list[dict[str, Any]]:
    """Write messages as items, as the `output` of a row has them; `from_items` gives them back."""
    return _items(messages, short=False)


def to_input(messages: Iterable[Message]) -> list[dict[str, Any]]:
    """The same in the short form of requests, `{"role": ..., "content": "..."}`, as a row's `input` has it."""
    return _items(messages, short=True)


def _items(messages: Iterable[Message], short: bool) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    names: dict[str, str] = {}
    last = ""
    for message in messages:
        role = message["role"]
        if role == "assistant":
            _add_assistant(items, message, last == "assistant", short, names)
        elif role == "tool":
            items.append(_result(message, names))
        else:
            item = _text_item(role, message["content"], short)
            if len(message) > 2:
                item |= _fields(message, _OWN)
            items.append(item)
        last = role
    return items


def _text_item(role: str, content: str, short: bool) -> dict[str, Any]:
    if short:
        return {"role": role, "content": content}
    kind = "output_text" if role == "assistant" else "input_text"
    return {"type": "message", "role": role, "content": [{"type": kind, "text": content}]}


def _add_assistant(
    items: list[dict[str, Any]], message: Message, follows: bool, short: bool, names: dict[str, str]
) -> None:
    """Append the items of an assistant message; `follows` another one directly."""
    content, calls = message["content"], message.get("tool_calls", _NO_CALLS)
    if "reasoning_content" in message:
        text = {"type": "reasoning_text", "text": message["reasoning_content"]}
        items.append({"type": "reasoning", "summary": [], "content": [text]})
        follows = False
    own: dict[str, Any] = {}
    if len(message) > 2 + ("reasoning_content" in message) + bool(calls):
        own = _fields(message, ("name", "tool_call_id") if calls else ("name", "tool_call_id", "tool_calls"))
    if content or not calls or follows or own:
        items.append({**_text_item("assistant", content, short), **own})
    for call in calls:
        function, call_id = call["function"], call.get("id", "")
        name = function["name"]
        item: dict[str, Any] = {
            "type": "function_call", "call_id": call_id, "name": name, "arguments": function["arguments"],
        }  # fmt: skip
        if "type" not in call or (not call_id and "id" in call):
            item["tool_call"] = {key: value for key, value in call.items() if key != "function"}
        if call_id:
            names[call_id] = name
        items.append(item)


def _result(message: Message, names: Mapping[str, str]) -> dict[str, Any]:
    call_id = message.get("tool_call_id", "")
    item: dict[str, Any] = {"type": "function_call_output", "call_id": call_id, "output": message["content"]}
    expected, name = names.get(call_id), message.get("name")
    if name != expected:
        item |= {"unnamed": True} if name is None else {"name": name}
    if not call_id and "tool_call_id" in message:
        item["tool_call_id"] = ""
    if len(message) > 2 + ("tool_call_id" in message) + ("name" in message):
        item |= _fields(message, ("tool_calls", "reasoning_content"))
    return item


def _fields(message: Message, keys: Iterable[str]) -> dict[str, Any]:
    fields = cast("Mapping[str, Any]", message)
    return {key: fields[key] for key in keys if key in fields}


def from_items(items: Iterable[Mapping[str, Any]]) -> list[Message]:
    """Read items of the Responses format as messages.

    Others' items are read too: messages with text instead of parts or without a type, summaries of reasoning, the role
    `developer` (which becomes `system`), fields that are null, as Arrow has them.

    Args:
        items: As `to_items` and `to_input` write them, or as requests and responses of that API have them.

    Returns:
        The messages, as fresh dicts.

    Raises:
        MessageError: An item is of another kind, or malformed; says which.
    """
    reader = _Reader()
    for index, item in enumerate(items):
        try:
            reader.add(item)
        except MessageError as error:
            raise MessageError(f"item {index} {error}") from None
    return reader.messages


class _Reader:
    """Puts items together to messages."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._names: dict[str, str] = {}
        self._open: Message | None = None  # the assistant message that calls belong to
        self._bare = False  # it has nothing but reasoning

    def add(self, item: Mapping[str, Any]) -> None:
        if not isinstance(item, Mapping):
            raise MessageError(f"is {item!r:.100}; an item is an object with a `type`")
        match item.get("type"):
            case "function_call":
                self._add_call(item)
            case "function_call_output":
                self._add_result(item)
            case "reasoning":
                self._add_reasoning(item)
            case "message" | None:
                self._add_message(item)
            case kind:
                raise MessageError(f"has the type {kind!r:.100}; types are {', '.join(sorted(ITEM_TYPES))}")

    def _assistant(self) -> Message:
        self._open = {"role": "assistant", "content": ""}
        self.messages.append(self._open)
        return self._open

    def _add_message(self, item: Mapping[str, Any]) -> None:
        given = item.get("role")
        if given is None and item.get("type") == "message":
            given = "assistant"  # as the outputs in NeMo Gym's guides have it
        role = ROLES.get(given) if isinstance(given, str) else None
        if role is None:
            raise MessageError(f"has the role {given!r:.100}; roles are {', '.join(ROLES)}")
        content = join_text(item.get("content"))
        if role == "assistant":
            message = self._open if self._open is not None and self._bare else self._assistant()
            message["content"], self._bare = content, False
        else:
            message: Message = {"role": role, "content": content}
            self.messages.append(message)
            self._open = None
        _take(message, item, _OWN)

    def _add_reasoning(self, item: Mapping[str, Any]) -> None:
        message = self._open if self._open is not None and self._bare else self._assistant()
        self._bare = True
        if parts := item.get("content") or item.get("summary"):  # there are none where the reasoning is encrypted
            thought = join_text(parts)
            before = message.get("reasoning_content")
            message["reasoning_content"] = thought if before is None else f"{before}\n{thought}"

    def _add_call(self, item: Mapping[str, Any]) -> None:
        call_id = _text(item, "call_id", "")
        name, arguments = _text(item, "name"), arguments_text(item.get("arguments"))
        call: ToolCall
        if (own := item.get("tool_call")) is not None:
            kept = {key: value for key, value in own.items() if value is not None}
            call = cast("ToolCall", {**kept, "function": {"name": name, "arguments": arguments}})
        else:
            call = {"type": "function", "function": {"name": name, "arguments": arguments}}
            call = {"id": call_id, **call} if call_id else call
        if call_id:
            self._names[call_id] = name
        message = self._open if self._open is not None else self._assistant()
        self._bare = False
        message.setdefault("tool_calls", []).append(call)

    def _add_result(self, item: Mapping[str, Any]) -> None:
        self._open = None
        call_id = _text(item, "call_id", "")
        message: Message = {"role": "tool", "content": join_text(item.get("output"))}
        if call_id:
            message["tool_call_id"] = call_id
        if call_id in self._names and not item.get("unnamed"):
            message["name"] = self._names[call_id]
        _take(message, item, _OWN)
        self.messages.append(message)


def _take(message: Message, item: Mapping[str, Any], keys: Iterable[str]) -> None:
    for key in keys:
        if (value := item.get(key)) is not None:
            message[key] = deepcopy(value)


def _text(item: Mapping[str, Any], key: str, default: str | None = None) -> str:
    value = item.get(key)
    if value is None:
        value = default
    if not isinstance(value, str):
        raise MessageError(f"has {value!r:.100} as `{key}`, which is a text")
    return value


def join_text(content: Any) -> str:
    """Read content: text, null, or parts, whose texts are joined.

    Raises:
        MessageError: It is something else, or a part is no text.
    """
    if isinstance(content, str):
        return content
    if content is None:
        return ""
    if isinstance(content, Mapping) or not isinstance(content, Iterable):
        raise MessageError(f"has the content {content!r:.100}; content is a text, parts of text, or null")
    return "".join(_part_text(part) for part in cast("Iterable[Any]", content))


def _part_text(part: Any) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, Mapping):
        fields = cast("Mapping[str, Any]", part)
        text = fields.get("refusal") if fields.get("text") is None else fields["text"]
        if isinstance(text, str):
            return text
        raise MessageError(f"has a part of the type {fields.get('type')!r:.100}; llmgym takes parts of text alone")
    raise MessageError(f"has the part {part!r:.100}; a part is an object with a `text`")


def arguments_text(arguments: Any) -> str:
    """Read the arguments of a call: JSON text as it is, an object as JSON, null as none given.

    Raises:
        MessageError: They are something else.
    """
    if isinstance(arguments, str):
        return arguments
    if arguments is None:
        return "{}"
    if not isinstance(arguments, Mapping):
        raise MessageError(f"has a call with the arguments {arguments!r:.100}; arguments are JSON text or an object")
    try:
        return json.dumps(arguments, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise MessageError(f"has a call with arguments that are not JSON: {error}") from None


def to_tools(schemas: Iterable[ToolSchema]) -> list[dict[str, Any]]:
    """Write schemas of tools in the flat form of the Responses format; `from_tools` gives them back."""
    return [{"type": "function", **schema["function"]} for schema in schemas]


def from_tools(tools: Sequence[Mapping[str, Any]]) -> list[ToolSchema]:
    """Read schemas of tools in the flat form, or in that of chat; fields that are null are left out.

    Raises:
        MessageError: One is no function, or has no name; says which.
    """
    return [_schema(index, tool) for index, tool in enumerate(tools)]


def _schema(index: int, tool: Mapping[str, Any]) -> ToolSchema:
    nested = tool.get("function")
    flat = tool if nested is None else nested
    kind, name = tool.get("type") or "function", flat.get("name")
    if kind != "function":
        raise MessageError(f"tool {index} has the type {kind!r:.100}; llmgym takes functions alone")
    if not isinstance(name, str):
        raise MessageError(f"tool {index} has the name {name!r:.100}; a name is a text")
    function = {key: value for key, value in flat.items() if value is not None}
    if nested is None:
        function.pop("type", None)
    return cast("ToolSchema", {"type": "function", "function": function})
