"""The conversation as a strict server takes it.

A transcript holds what the model wrote, broken JSON and invented names too. Servers read the arguments of earlier calls
as JSON while they render the history, and check names and ids; sent as it is, a model's mistake would be refused at the
next turn and count as a failure of the endpoint. So copies are sent, mended by rules that depend on nothing but the
message itself and what the server refuses, and so the same at every turn.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

import msgspec
import orjson

from llmgym.messages import Message, ToolCall, scrub

#: What a server may not take in a history, beside what is always mended.
NULL_CONTENT = "content that is null"
EMPTY_CONTENT = "content that is empty"
NO_REASONING = "calls without their reasoning_content"
SEVERAL_CALLS = "several calls in one message"

_NAME = re.compile("[a-zA-Z0-9_-]{1,64}")
_FILLER = "(empty)"
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Kept(NamedTuple):
    """What a server wants back with a reply of its own, such as encrypted thoughts.

    Attributes:
        reply: The reply.
        fields: For its message; those under `tool_calls` are for the calls, in their order.
    """

    reply: Message
    fields: dict[str, Any]


class Mender:
    """Mends a conversation as it grows.

    Attributes:
        kept: What is sent back with which message, by its place.
    """

    def __init__(self, names: Collection[str], refused: Collection[str], kept: dict[int, Kept]) -> None:
        """Begin a conversation.

        Args:
            names: Tools that are offered; their names are taken to be fine.
            refused: What else the server has refused.
            kept: What is sent back with which message, by its place.
        """
        self._names, self._refused, self.kept = names, refused, kept
        self._index = 0
        # Calls without a result: their id, the one sent, their name.
        self._waiting: list[tuple[str | None, str, str]] = []

    def mend(self, messages: Sequence[Message]) -> list[dict[str, Any]]:
        """Copies of the messages that follow, mended; results come with the calls that they are of."""
        sent = [self._message(message) for message in messages]
        return _one_by_one(sent, self._refused) if SEVERAL_CALLS in self._refused else sent

    def _message(self, message: Message) -> dict[str, Any]:
        index, self._index = self._index, self._index + 1
        if message["role"] == "assistant":
            calls = _calls(message.get("tool_calls") or [], index, self._names)
            self._waiting = [(call.get("id") or None, made["id"], made["function"]["name"]) for call, made in calls]
            made = _assistant(message, [made for _, made in calls], self._refused)
            kept = self.kept.get(index)
            return made if kept is None or not _same(kept.reply, message) else _with(made, kept.fields)
        if message["role"] == "tool":
            return _result(message, self._waiting, self._refused)
        return {**message, "content": _content(message["content"], self._refused)}


def placed(kept: Mapping[int, Kept], messages: Sequence[Message]) -> dict[int, Kept]:
    """Find replies again in a conversation from which messages were left out: in order, from the newest back.

    Args:
        kept: What is sent back with which message, by the place that it had.
        messages: The conversation as it is now.
    """
    found: dict[int, Kept] = {}
    rest = [kept[place] for place in sorted(kept)]
    for index in reversed(range(len(messages))):
        message = messages[index]
        if message["role"] == "assistant":
            at = next((at for at in reversed(range(len(rest))) if _same(rest[at].reply, message)), None)
            if at is not None:
                found[index] = rest[at]
                del rest[at:]
    return found


def _same(reply: Message, message: Message) -> bool:
    """Whether a message is a reply as it was; calls without an id have got one since."""
    return reply["content"] == message["content"] and [call["function"] for call in reply.get("tool_calls", ())] == [
        call["function"] for call in message.get("tool_calls", ())
    ]


def _with(made: dict[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
    calls = [
        call | more
        for call, more in zip_longest(made.get("tool_calls", ()), fields.get("tool_calls", ()), fillvalue={})
    ]
    return {**made, **fields, "tool_calls": calls} if calls else {**made, **fields}


def _assistant(message: Message, calls: list[dict[str, Any]], refused: Collection[str]) -> dict[str, Any]:
    content = message.get("content") or ""
    said = _beside_calls(content, refused) if calls else _content(content, refused)
    made: dict[str, Any] = {"role": "assistant", "content": said}
    if NO_REASONING in refused:
        made["reasoning_content"] = scrub(message.get("reasoning_content", ""))
    if calls:
        made["tool_calls"] = calls
    return made


def _calls(calls: list[ToolCall], index: int, names: Collection[str]) -> list[tuple[ToolCall, dict[str, Any]]]:
    """Each call with its copy: valid name, arguments that are a JSON object, an id of its own."""
    made: list[tuple[ToolCall, dict[str, Any]]] = []
    taken: set[str] = set()
    for place, call in enumerate(calls):
        name, arguments = call["function"]["name"], call["function"]["arguments"]
        if name not in names and not _NAME.fullmatch(name):
            name = re.sub("[^a-zA-Z0-9_-]", "_", name)[:64] or "unnamed"
        made_id = scrub(call.get("id") or "")
        if not made_id or made_id in taken:
            made_id = f"c{index:05d}{place:03d}"  # nine letters and digits: Mistral takes no other
        taken.add(made_id)
        function = {"name": name, "arguments": _arguments(arguments)}
        made.append((call, {"id": made_id, "type": "function", "function": function}))
    return made


def _arguments(text: str) -> str:
    """The text, or where it is no JSON object that everybody reads, an object that quotes it."""
    try:
        _decode(text or "{}")
        orjson.loads(text or "{}")  # its bound on levels is the same on every Python
        return text or "{}"
    except (msgspec.DecodeError, ValueError, RecursionError):
        return json.dumps({"invalid_arguments": scrub(text)}, ensure_ascii=False)


def _result(message: Message, waiting: list[tuple[str | None, str, str]], refused: Collection[str]) -> dict[str, Any]:
    """A tool's result, under the id and the name that its call is sent with; Gemini wants the name too."""
    given = message.get("tool_call_id") or None
    found = next((call for call in waiting if given is not None and call[0] == given), None)
    if found is None:
        found = next((call for call in waiting if given is None or call[0] is None), None)
    made = {"role": "tool", "tool_call_id": scrub(given or ""), "content": _content(message["content"], refused)}
    if found is not None:
        waiting.remove(found)
        made |= {"tool_call_id": found[1], "name": found[2]}
    return made


def _content(content: Any, refused: Collection[str]) -> Any:
    if not isinstance(content, str):
        return content
    return scrub(content) or (_FILLER if EMPTY_CONTENT in refused else "")


def _beside_calls(content: str, refused: Collection[str]) -> str | None:
    """OpenAI's own form of nothing beside calls is null."""
    return None if not content and NULL_CONTENT not in refused else _content(content, refused)


def _one_by_one(sent: list[dict[str, Any]], refused: Collection[str]) -> list[dict[str, Any]]:
    """Calls of one message as messages of their own, each before its result."""
    made: list[dict[str, Any]] = []
    rest = iter(sent)
    message = next(rest, None)
    while message is not None:
        following, results = next(rest, None), {}
        calls = message.get("tool_calls") or []
        if len(calls) < 2:
            made.append(message)
            message = following
            continue
        while following is not None and following["role"] == "tool":
            results[following["tool_call_id"]] = following
            following = next(rest, None)
        for call in calls:
            made.append({**message, "tool_calls": [call]})
            message = {**message, "content": _beside_calls("", refused)}
            if call["id"] in results:
                made.append(results.pop(call["id"]))
        made += results.values()
        message = following
    return made
