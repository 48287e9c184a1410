"""The Responses API: `POST /responses`, a conversation as items.

Nothing is stored at the server; thoughts go back to it as they came, encrypted or not. It has no `seed` and no `stop`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any, cast

import msgspec

from llmgym.chat import FinishReason, Sampling
from llmgym.errors import PolicyError
from llmgym.messages import Message, ToolSchema
from llmgym.policies.openai.reply import Completion, Parts, completion, read_body, read_call, tell_apart, text_of
from llmgym.policies.openai.trouble import Trouble
from llmgym.responses import to_input, to_tools

PATH = "/responses"

_CUT = ("max_output_tokens", "max_tokens", "length")
_SENT = ("role", "content", "tool_calls", "tool_call_id")  # of a message; an item of a result has no name

# Ways to sample that the API has no names for.
_MISSING = ("stop", "top_k", "min_p", "repetition_penalty", "presence_penalty", "frequency_penalty")
_USUAL = Sampling()


def write(message: dict[str, Any]) -> list[dict[str, Any]]:
    """A mended message as items; with thoughts of the server's where they stood."""
    items = to_input([cast("Message", {key: message[key] for key in _SENT if key in message})])
    made: list[dict[str, Any]] = []
    for place in message.get("items", ()):
        if place["type"] == "reasoning":
            made.append(place)
        else:
            made += items[:1]
            del items[:1]
    return made + items


def request(
    model: str, parts: list[msgspec.Raw], tools: Sequence[ToolSchema], sampling: Sampling, refused: Collection[str]
) -> dict[str, Any]:
    """The body of a request; see `chat_completions.request`.

    Raises:
        PolicyError: The API has no such way to sample.
    """
    if missing := [name for name in _MISSING if getattr(sampling, name) != getattr(_USUAL, name)]:
        raise PolicyError(f"the Responses API knows no {', '.join(missing)}; leave it out, or take api: chat")
    asked: dict[str, Any] = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_output_tokens": sampling.max_tokens,
        "include": ["reasoning.encrypted_content"],
        "store": False,
    }
    made: dict[str, Any] = {name: value for name, value in asked.items() if name not in refused}
    if tools:
        made["tools"] = [{**tool, "strict": False} for tool in to_tools(tools)]  # else OpenAI takes some schemas alone
    return {"model": model, "input": parts, **made}


def read(data: bytes) -> Completion | Trouble:
    """Read the body of a good answer (HTTP 200)."""
    body = read_body(data)
    if isinstance(body, Trouble):
        return body
    if not isinstance(body.get("output"), list):
        if body.get("message") or body.get("detail") or body.get("errors"):
            return Trouble.said(json.dumps(body), 200)
        return Trouble(f"not the answer of a Responses endpoint: it has no output; got {str(body)[:200]!r}")
    try:
        return _read_output(cast("list[Any]", body["output"]), body)
    except ValueError as error:
        return Trouble(str(error))


def _read_output(output: list[Any], body: dict[str, Any]) -> Completion:
    parts = Parts()
    thoughts: list[str] = []
    calls: list[dict[str, Any]] = []
    places: list[dict[str, Any]] = []
    for item in output:
        kind = item.get("type") if isinstance(item, dict) else None
        match kind:
            case "message":
                parts.add("\n" if parts.content else None)
                parts.add(item.get("content"))
            case "reasoning":
                thoughts.append(text_of(item.get("content")) or text_of(item.get("summary")))
                if item.get("encrypted_content") or item.get("content"):
                    places.append(item)
                continue
            case "function_call":
                calls.append(read_call({"id": item.get("call_id") or item.get("id"), "function": item}))
            case _:
                raise ValueError(f"not a reply: one of its items is {str(item)[:200]!r}")
        places.append({"type": kind})
    finish = _finish(body, parts, calls)
    kept = {"items": places} if any(place["type"] == "reasoning" for place in places) else {}
    return completion(parts, tell_apart(calls), "\n".join(filter(None, thoughts)), finish, body, kept)


def _finish(body: dict[str, Any], parts: Parts, calls: list[dict[str, Any]]) -> FinishReason:
    """Why the reply ended, if it is a whole one."""
    status, details = body.get("status"), body.get("incomplete_details")
    reason = cast("dict[str, Any]", details).get("reason") if isinstance(details, dict) else None
    if status == "incomplete" and reason in _CUT:
        return "length"
    if status != "completed" or reason is not None:
        said = parts.refusal or parts.content
        raise ValueError(
            f"the reply ended with status {json.dumps(status)}"
            + (f" ({reason})" if reason else "")
            + ", which no whole reply has"
            + (f"; it said {said[:200]!r}" if said else "")
        )
    if parts.refusal and not parts.content and not calls:
        raise ValueError(f"the request was refused: {parts.refusal[:500]}")
    return "stop"
