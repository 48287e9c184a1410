"""The Chat Completions API: `POST /chat/completions`, which nearly every server offers."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any, cast

import msgspec

from llmgym.chat import FinishReason, Sampling
from llmgym.messages import ToolSchema, as_assistant
from llmgym.policies.openai.refusals import LIMITS
from llmgym.policies.openai.reply import Completion, Parts, completion, read_body, read_call, tell_apart, text_of
from llmgym.policies.openai.trouble import Trouble

PATH = "/chat/completions"

# Why a model ends a reply by itself, and that it was cut off, as servers call it. Nothing else counts as an end: not
# "content_filter", "error", "abort" or words that nobody knows. Nor does null, although a few servers never say more:
# a reply that was lost half-way looks the same, and such a server is noticed at the first request, where half a reply
# with a score would never be.
_ENDS: dict[str, FinishReason] = {
    **dict.fromkeys(("stop", "tool_calls", "function_call"), "stop"),
    **dict.fromkeys(("eos", "eos_token", "end_turn", "stop_sequence", "tool_call", "tool_use", "complete"), "stop"),
    **dict.fromkeys(("length", "max_tokens", "max_output_tokens", "model_length"), "length"),
    **dict.fromkeys(("model_context_window_exceeded", "repetition"), "length"),
}
_CALLING = ("tool_calls", "function_call", "tool_call", "tool_use")


def write(message: dict[str, Any]) -> list[dict[str, Any]]:
    """A mended message as it is sent."""
    return [message]


def request(
    model: str, parts: list[msgspec.Raw], tools: Sequence[ToolSchema], sampling: Sampling, refused: Collection[str]
) -> dict[str, Any]:
    """The body of a request.

    Args:
        model: Model, as the server calls it.
        parts: The conversation, as `write` gives it.
        tools: What may be called.
        sampling: How to sample.
        refused: What the server has refused.
    """
    limit = LIMITS[1] if LIMITS[0] in refused else LIMITS[0]
    asked: dict[str, Any] = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        limit: sampling.max_tokens,
        "seed": sampling.seed,
        # What is off is not sent: not every server knows the names.
        "stop": sampling.stop or None,
        "presence_penalty": sampling.presence_penalty or None,
        "frequency_penalty": sampling.frequency_penalty or None,
        "top_k": sampling.top_k or None,
        "min_p": sampling.min_p or None,
        "repetition_penalty": None if sampling.repetition_penalty == 1 else sampling.repetition_penalty,
    }
    made = {name: value for name, value in asked.items() if value is not None and name not in refused}
    return {"model": model, "messages": parts, **({"tools": tools} if tools else {}), **made}


def read(data: bytes) -> Completion | Trouble:
    """Read the body of a good answer (HTTP 200)."""
    body = read_body(data)
    if isinstance(body, Trouble):
        return body
    choices = body.get("choices")
    if not choices and (body.get("message") or body.get("detail") or body.get("errors")):
        return Trouble.said(json.dumps(body), 200)
    choice = cast("list[Any]", choices)[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict):
        return Trouble(f"not the answer of a chat endpoint: it has no choices; got {str(body)[:200]!r}")
    choice = cast("dict[str, Any]", choice)
    if choice.get("error"):
        return Trouble.said(json.dumps(choice), 200)
    try:
        return _read_choice(choice, body)
    except ValueError as error:
        return Trouble(str(error))


def read_broken_call(data: bytes) -> Completion | None:
    """What the model wrote, where a server refuses its own model's call (Groq) instead of handing it over.

    The model is to blame for it, so it is a reply: a call without a name, which the environment answers.
    """
    try:
        error = json.loads(data)["error"]
        if error["code"] != "tool_use_failed" or not isinstance(error["failed_generation"], str):
            return None
    except (ValueError, TypeError, LookupError, RecursionError):
        return None
    call = {"type": "function", "function": {"name": "", "arguments": error["failed_generation"]}}
    return Completion(as_assistant({"role": "assistant", "content": "", "tool_calls": [call]}), "stop")


def _read_choice(choice: dict[str, Any], body: dict[str, Any]) -> Completion:
    given = choice.get("message")
    if not isinstance(given, dict):
        raise ValueError(f"not the answer of a chat endpoint: no message; got {str(choice)[:200]!r}")  # noqa: TRY004
    given = cast("dict[str, Any]", given)
    parts = Parts()
    parts.add(given.get("content"))
    called = _called(given)
    calls = tell_apart([read_call(call) for call in called]) + parts.calls
    finish = _finish(choice, parts, parts.refusal or text_of(given.get("refusal")), calls)
    return completion(parts, calls, _reasoning(given, parts), finish, body, _kept(given, called))


def _finish(choice: dict[str, Any], parts: Parts, refusal: str, calls: list[dict[str, Any]]) -> FinishReason:
    """Why the reply ended, if it is a whole one."""
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
    return finish


def _reasoning(message: dict[str, Any], parts: Parts) -> str:
    fields = (text_of(message.get(key)) for key in ("reasoning_content", "reasoning", "thinking"))
    return next(filter(None, fields), "") or parts.thoughts or text_of(message.get("reasoning_details"))


def _called(message: dict[str, Any]) -> list[Any]:
    """The calls as they were given, in any of the usual forms."""
    given = message.get("tool_calls")
    if not given and isinstance(message.get("function_call"), dict):
        given = [{"function": message["function_call"]}]
    if isinstance(given, dict):
        given = [given]
    if given is not None and not isinstance(given, list):
        raise ValueError(f"not an assistant message: its tool_calls are {str(given)[:200]!r}")
    return cast("list[Any]", given or [])


def _kept(message: dict[str, Any], called: list[Any]) -> dict[str, Any]:
    """What servers want back as they gave it: OpenRouter and MiniMax their details, Gemini the signatures of calls."""
    kept: dict[str, Any] = {}
    if isinstance(details := message.get("reasoning_details"), list) and details:
        kept["reasoning_details"] = details
    if any(call.get("extra_content") for call in called):
        kept["tool_calls"] = [{"extra_content": more} if (more := call.get("extra_content")) else {} for call in called]
    return kept
