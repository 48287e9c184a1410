"""Reading what a chat endpoint answers: every harmless shape is a message, everything else is no reply at all.

A reply that was filtered, refused, cut off or lost must not look like a model that said nothing: that would be scored.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any, cast

from llmgym.chat import FinishReason
from llmgym.messages import Message, as_assistant
from llmgym.policies.openai.trouble import Trouble

# Why a model ends a reply by itself, and that it was cut off, as servers call it. Nothing else counts as an end: not
# "content_filter", "error", "abort" or words that nobody knows. Nor does null, although a few servers never say more:
# a reply that was lost half-way looks the same, and such a server is noticed at the first request, where half a reply
# with a score would never be.
_ENDS: dict[str, FinishReason] = {
    **dict.fromkeys(("stop", "tool_calls", "function_call"), "stop"),
    **dict.fromkeys(("eos", "eos_token", "end_turn", "stop_sequence", "tool_call", "tool_use", "complete"), "stop"),
    **dict.fromkeys(("length", "max_tokens", "max_output_tokens", "model_length"), "length"),
    "model_context_window_exceeded": "length",
}
_CALLING = ("tool_calls", "function_call", "tool_call", "tool_use")


@dataclass(frozen=True, slots=True)
class Completion:
    """A reply that was read.

    Attributes:
        message: What the model said.
        finish_reason: "stop" or "length".
        tokens: Of prompt and reply; None where the server does not count.
        cost: Dollars, where the server says.
    """

    message: Message
    finish_reason: FinishReason
    tokens: tuple[int, int] | None = None
    cost: float | None = None


def read_reply(text: str) -> Completion | Trouble:
    """Read the body of a good answer (HTTP 200)."""
    try:
        body = json.loads(text)  # takes lone surrogates, which stricter decoders refuse
    except (ValueError, RecursionError) as error:
        return Trouble(f"not the answer of a chat endpoint: {error}; got {text[:200]!r}")
    if isinstance(body, dict) and (body := cast("dict[str, Any]", body)).get("error"):
        return Trouble.said(text, 200)
    choices = body.get("choices") if isinstance(body, dict) else None
    if isinstance(body, dict) and not choices:
        if body.get("message") or body.get("detail") or body.get("errors"):
            return Trouble.said(text, 200)
        return Trouble(f"the reply has no choices; got {text[:200]!r}")
    choice = cast("list[Any]", choices)[0] if isinstance(choices, list) else None
    if not isinstance(choice, dict):
        return Trouble(f"not the answer of a chat endpoint: no choices; got {text[:200]!r}")
    try:
        return _read_choice(cast("dict[str, Any]", choice), cast("dict[str, Any]", body).get("usage"))
    except ValueError as error:
        return Trouble(str(error))


def read_broken_call(text: str) -> Completion | None:
    """What the model wrote, where a server refuses its own model's call (Groq) instead of handing it over.

    The model is to blame for it, so it is a reply: a call without a name, which the environment answers.
    """
    try:
        error = json.loads(text)["error"]
        if error["code"] != "tool_use_failed" or not isinstance(error["failed_generation"], str):
            return None
    except (ValueError, TypeError, LookupError, RecursionError):
        return None
    call = {"type": "function", "function": {"name": "", "arguments": error["failed_generation"]}}
    return Completion(as_assistant({"role": "assistant", "content": "", "tool_calls": [call]}), "stop")


def _read_choice(choice: dict[str, Any], usage: Any) -> Completion | Trouble:
    if choice.get("error"):
        return Trouble.said(json.dumps(choice), 200)
    given = choice.get("message")
    if not isinstance(given, dict):
        raise ValueError(f"not the answer of a chat endpoint: no message; got {str(choice)[:200]!r}")  # noqa: TRY004
    given = cast("dict[str, Any]", given)
    parts = _Parts()
    parts.add(given.get("content"))
    calls = _calls(given) + parts.calls
    refusal = parts.refusal or _text(given.get("refusal"))
    reason, content = choice.get("finish_reason"), parts.content
    finish = _ENDS.get(reason.lower()) if isinstance(reason, str) else None
    if finish is None:
        said = refusal or content or json.dumps(choice.get("content_filter_results") or choice.get("finish_details"))
        raise ValueError(
            f"the reply ended with finish_reason {json.dumps(reason)}, which no whole reply has"
            + (f"; it said {said[:200]!r}" if said != "null" else "")
        )
    if not content and not calls:
        if refusal:
            raise ValueError(f"the request was refused: {refusal[:500]}")
        if str(reason).lower() in _CALLING:
            raise ValueError(f"the reply ended with finish_reason {reason!r}, but holds no call")
    message: dict[str, Any] = {"role": "assistant", "content": content, "reasoning_content": _reasoning(given, parts)}
    if calls:
        message["tool_calls"] = calls
    tokens, cost = _usage(usage)
    return Completion(as_assistant(message), finish, tokens, cost)


class _Parts:
    """Content in any form, taken apart."""

    def __init__(self) -> None:
        self.content = self.thoughts = self.refusal = ""
        self.calls: list[dict[str, Any]] = []

    def add(self, value: Any) -> None:
        """Take text, a part, or a list of them."""
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
            self.thoughts += _text(part)
        elif kind == "refusal":
            self.refusal += _text(part.get("refusal"))
        elif kind == "tool_use":
            function = {"name": part.get("name"), "arguments": part.get("input")}
            self.calls.append(_call({"id": part.get("id"), "function": function}))
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


def _text(value: Any) -> str:
    """The text of thoughts in any form; "" where there is none."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(_text(item) for item in cast("list[Any]", value))
    if isinstance(value, dict):
        given = cast("dict[str, Any]", value)
        return next((found for key in _TEXTS if (found := _text(given.get(key)))), "")
    return ""


def _reasoning(message: dict[str, Any], parts: _Parts) -> str:
    fields = (_text(message.get(key)) for key in ("reasoning_content", "reasoning", "thinking"))
    return next(filter(None, fields), "") or parts.thoughts or _text(message.get("reasoning_details"))


def _calls(message: dict[str, Any]) -> list[dict[str, Any]]:
    """The calls, each with an id of its own or none: the environment gives one where there is none."""
    given = message.get("tool_calls")
    if not given and isinstance(message.get("function_call"), dict):
        given = [{"function": message["function_call"]}]
    if isinstance(given, dict):
        given = [given]
    if given is not None and not isinstance(given, list):
        raise ValueError(f"not an assistant message: its tool_calls are {str(given)[:200]!r}")
    calls = [_call(call) for call in cast("list[Any]", given or [])]
    seen: set[str] = set()
    for call in calls:
        if call.get("id") in seen:
            del call["id"]
        elif "id" in call:
            seen.add(call["id"])
    return calls


def _call(given: Any) -> dict[str, Any]:
    function = given.get("function", given) if isinstance(given, dict) else None
    if not isinstance(function, dict) or not {"name", "arguments"} & function.keys():
        raise ValueError(f"not an assistant message: one of its tool calls is {str(given)[:200]!r}")
    function = cast("dict[str, Any]", function)
    name, arguments = function.get("name"), function.get("arguments")
    if not isinstance(name, str | None):
        raise ValueError(f"not an assistant message: a tool is called {name!r}")  # noqa: TRY004
    if not isinstance(arguments, str):  # read already
        arguments = json.dumps(arguments or {}, ensure_ascii=False)
    call = {"type": "function", "function": {"name": name or "", "arguments": arguments if arguments.strip() else "{}"}}
    name = cast("dict[str, Any]", given).get("id")
    return {"id": str(name), **call} if isinstance(name, str | int) and str(name).strip() else call


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
