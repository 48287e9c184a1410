"""A reply that was read, and what is read alike in each form of it: text in parts, thoughts, calls, usage.

A reply that was filtered, refused, cut off or lost must not look like a model that said nothing: that would be scored.
What is no whole reply raises `ValueError` here, and is a `Trouble` to those who asked.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec

from llmgym.chat import FinishReason
from llmgym.messages import Message, as_assistant, scrub
from llmgym.messages.reasoning import split_reasoning
from llmgym.policies.openai.stream import joined
from llmgym.policies.openai.trouble import Trouble

_LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class Completion:
    """A reply that was read.

    Attributes:
        message: What the model said.
        finish_reason: "stop" or "length".
        tokens: Of prompt and reply; None where the server does not count.
        cost: Dollars, where the server says.
        model: Who answered, as the server calls it; "" where it does not say.
        kept: What the server wants back with the message, as `history.Kept` has it; empty for nothing.
    """

    message: Message
    finish_reason: FinishReason
    tokens: tuple[int, int] | None = None
    cost: float | None = None
    model: str = ""
    kept: dict[str, Any] = field(default_factory=dict)


def read_body(data: bytes) -> dict[str, Any] | Trouble:
    """Read the body of a good answer (HTTP 200), also where it is a stream that nobody asked for."""
    try:
        body = _decode(data)
    except (ValueError, RecursionError) as error:
        return Trouble(f"not the answer of a chat endpoint: {error}; got {data[:200].decode('utf-8', 'replace')!r}")
    if not isinstance(body, dict):
        return Trouble(f"not the answer of a chat endpoint; got {str(body)[:200]!r}")
    return Trouble.said(json.dumps(body), 200) if body.get("error") else cast("dict[str, Any]", body)


def _decode(data: bytes) -> Any:
    try:
        return msgspec.json.decode(data)
    except (ValueError, RecursionError):
        text = data.decode("utf-8-sig", "replace")
        stream = joined(text)
        return json.loads(text) if stream is None else stream  # takes lone surrogates, which stricter decoders refuse


def completion(
    parts: Parts,
    calls: list[dict[str, Any]],
    thoughts: str,
    finish: FinishReason,
    body: dict[str, Any],
    kept: dict[str, Any],
) -> Completion:
    """Put a reply together."""
    content = parts.content
    if not thoughts and "think>" in content:  # a server without a parser for its model's thoughts
        thoughts, content, _ = split_reasoning(content)
    message: dict[str, Any] = {"role": "assistant", "content": content, "reasoning_content": thoughts}
    if calls:
        message["tool_calls"] = calls
    tokens, cost = _usage(body.get("usage"))
    named = body.get("model")
    model = scrub(named)[:_LONGEST_NAME] if isinstance(named, str) else ""
    return Completion(as_assistant(message), finish, tokens, cost, model, kept)


class Parts:
    """Content in any form, taken apart.

    Attributes:
        content: Text.
        thoughts: Thoughts among it.
        refusal: What is said instead of a reply.
        calls: Calls among it.
    """

    def __init__(self) -> None:
        """Nothing yet."""
        self.content = self.thoughts = self.refusal = ""
        self.calls: list[dict[str, Any]] = []

    def add(self, value: Any) -> None:
        """Take text, a part, or a list of them.

        Raises:
            ValueError: It is something else.
        """
        if value is None:
            return
        if isinstance(value, str):
            self.content += value
        elif isinstance(value, list):
            for part in cast("list[Any]", value):
                self.add(part)
        elif isinstance(value, dict) and {"type", "text"} & value.keys():
            self._add_part(cast("dict[str, Any]", value))
        else:
            raise ValueError(f"not an assistant message: its content is {str(value)[:200]!r}")

    def _add_part(self, part: dict[str, Any]) -> None:
        kind = part.get("type")
        if kind in ("thinking", "reasoning", "reasoning_content", "redacted_thinking"):
            self.thoughts += text_of(part)
        elif kind == "refusal":
            self.refusal += text_of(part.get("refusal"))
        elif kind == "tool_use":
            function = {"name": part.get("name"), "arguments": part.get("input")}
            self.calls.append(read_call({"id": part.get("id"), "function": function}))
        elif isinstance(part.get("text"), str):
            self.content += part["text"]
        elif kind not in (
            "text",
            "output_text",
            "reference",
            "citation",
        ):  # the latter point at a text, and say nothing
            raise ValueError(f"not an assistant message: a part of its content is {str(part)[:200]!r}")


_TEXTS = ("text", "thinking", "reasoning", "reasoning_content", "summary", "content")


def text_of(value: Any) -> str:
    """The text of thoughts in any form; "" where there is none."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(text_of(item) for item in cast("list[Any]", value))
    if isinstance(value, dict):
        given = cast("dict[str, Any]", value)
        return next((found for key in _TEXTS if (found := text_of(given.get(key)))), "")
    return ""


def read_call(given: Any) -> dict[str, Any]:
    """A call in the form of chat; without an id where it has none: the environment gives one then.

    Raises:
        ValueError: It is none.
    """
    function = given.get("function", given) if isinstance(given, dict) else None
    if not isinstance(function, dict) or not {"name", "arguments"} & function.keys():
        raise ValueError(f"not an assistant message: one of its tool calls is {str(given)[:200]!r}")
    function = cast("dict[str, Any]", function)
    name, arguments = function.get("name"), function.get("arguments")
    if not isinstance(name, str | None):
        raise ValueError(f"not an assistant message: a tool is called {name!r}")  # noqa: TRY004
    if not isinstance(arguments, str):  # read already
        arguments = json.dumps(arguments or {}, ensure_ascii=False)
    elif arguments.startswith('"'):
        arguments = _encoded_once(arguments)
    call = {"type": "function", "function": {"name": name or "", "arguments": arguments if arguments.strip() else "{}"}}
    name = cast("dict[str, Any]", given).get("id")
    return {"id": str(name), **call} if isinstance(name, str | int) and str(name).strip() else call


def _encoded_once(arguments: str) -> str:
    """The object in a text that is JSON of JSON, which no model writes; any other text as it is."""
    try:
        inner = json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments
    return inner if isinstance(inner, str) and inner.lstrip().startswith("{") else arguments


def tell_apart(calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The calls, of which no two have one id."""
    seen: set[str] = set()
    for call in calls:
        if call.get("id") in seen:
            del call["id"]
        elif "id" in call:
            seen.add(call["id"])
    return calls


def _usage(given: Any) -> tuple[tuple[int, int] | None, float | None]:
    """Tokens of prompt and reply, and dollars; None for what is not said."""
    if not isinstance(given, dict):
        return None, None
    usage = cast("dict[str, Any]", given)
    prompt = _number(usage.get("prompt_tokens", usage.get("input_tokens")))
    reply = _number(usage.get("completion_tokens", usage.get("output_tokens")))
    cost = usage.get("cost")  # OpenRouter, Perplexity (which splits it up); DeepInfra estimates
    cost = cast("dict[str, Any]", cost).get("total_cost") if isinstance(cost, dict) else cost
    tokens = None if prompt is None and reply is None else (int(prompt or 0), int(reply or 0))
    return tokens, _number(usage.get("estimated_cost") if cost is None else cost)


def _number(value: Any) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf:
        return value
    return None
