"""Streams that nobody asked for: some gateways answer every request with events, and a whole reply is still one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, cast

_TEXTS = ("content", "reasoning_content", "reasoning", "refusal")
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
    calls: dict[int, dict[str, Any]] = {}
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
        message["tool_calls"] = list(calls.values())
    return {**whole, "choices": [{"message": message, "finish_reason": reason}]}


def _events(text: str) -> Iterator[dict[str, Any]]:
    for line in text.splitlines():
        if line.startswith("data:") and (data := line[5:].strip()) not in ("", "[DONE]"):
            event = json.loads(data)
            if isinstance(event, dict):
                yield cast("dict[str, Any]", event)


def _add(delta: dict[str, Any], message: dict[str, Any], calls: dict[int, dict[str, Any]]) -> None:
    """Add a piece of a reply."""
    for key in _TEXTS:
        if isinstance(delta.get(key), str):
            message[key] = message.get(key, "") + delta[key]
    for place, given in enumerate(delta.get("tool_calls") or ()):
        call = calls.setdefault(given.get("index", place), {"function": {"name": "", "arguments": ""}})
        call |= {key: given[key] for key in ("id", "extra_content") if given.get(key)}
        function = given.get("function") or {}
        for key in ("name", "arguments"):
            call["function"][key] += function.get(key) or ""
