"""Streams that nobody asked for: some gateways answer every request with events, and a whole reply is still one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, cast

_TEXTS = ("content", "reasoning_content", "reasoning", "refusal")
_LINE_END = re.compile("\r\n|\n|\r")  # and none of the others that text may have
_LAST = ("response.completed", "response.incomplete", "response.failed")


def joined(text: str) -> dict[str, Any] | None:
    """The answer that a stream of events comes to, of either API; None where the text is no stream.

    Raises:
        ValueError: The stream ends before its reply does, or is none of an endpoint's.
    """
    if not text.lstrip().startswith(("data:", "event:", "id:", "retry:", ":")):
        return None
    try:
        return _join(text)
    except (TypeError, AttributeError, LookupError) as error:
        raise ValueError(f"a stream that nobody asked for, which is no endpoint's: {error}") from None


def _join(text: str) -> dict[str, Any]:
    whole: dict[str, Any] = {}
    message: dict[str, Any] = {}
    calls: list[tuple[Any, dict[str, Any]]] = []
    reason = None
    for event in _events(text):
        if event.get("error"):
            return event
        if event.get("type") in _LAST:
            return event["response"]
        whole |= {key: event[key] for key in ("model", "usage") if event.get(key)}
        for choice in event.get("choices") or ():
            if choice.get("index", 0) == 0:
                reason = choice.get("finish_reason") or reason
                message |= choice.get("message") or {}  # the whole reply in one event
                _add(choice.get("delta") or {}, message, calls)
    if reason is None:
        raise ValueError("a stream that nobody asked for, which ends before its reply does")
    if calls:
        message["tool_calls"] = [call for _, call in calls]
    return {**whole, "choices": [{"message": message, "finish_reason": reason}]}


def _events(text: str) -> Iterator[dict[str, Any]]:
    for line in _LINE_END.split(text):
        if line.startswith("data:") and (data := line[5:].strip()) not in ("", "[DONE]"):
            event = json.loads(data)
            if isinstance(event, dict):
                yield cast("dict[str, Any]", event)


def _add(delta: dict[str, Any], message: dict[str, Any], calls: list[tuple[Any, dict[str, Any]]]) -> None:
    """Add a piece of a reply."""
    for key in _TEXTS:
        if isinstance(delta.get(key), str):
            message[key] = message.get(key, "") + delta[key]
    for place, given in enumerate(delta.get("tool_calls") or ()):
        index = place if given.get("index") is None else given["index"]
        function, name = given.get("function") or {}, given.get("id")
        call = next((call for at, call in reversed(calls) if at == index), None)
        # Gemini gives all calls of a reply the index 0.
        if call is None or (name and function.get("name") and call.get("id", name) != name):
            call = {"function": {"name": "", "arguments": ""}}
            calls.append((index, call))
        call |= {key: given[key] for key in ("id", "extra_content") if given.get(key)}
        for key in ("name", "arguments"):
            call["function"][key] += function.get(key) or ""
