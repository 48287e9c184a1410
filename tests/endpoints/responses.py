"""Answers of OpenAI's Responses API (`policy_options: {api: responses}`), and of servers that imitate it."""

from __future__ import annotations

from typing import Any

from tests.endpoints.server import drop, reply
from tests.endpoints.shapes import (
    AWAY,
    CALLED,
    CUT,
    FULL,
    FUNCTION,
    LOST,
    RIGHT,
    SAID,
    TWICE,
    End,
    Message,
    Shape,
    body,
    call,
    calling,
    error,
    thinking,
)
from tests.endpoints.transport import stream, told

API = "OpenAI API reference, response object"
ITEMS = "OpenAI API reference, output items"


def response(*output: Any, status: Any = "completed", **fields: Any) -> dict[str, Any]:
    """The body of a response."""
    usage = {
        "input_tokens": 9,
        "output_tokens": 3,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 12,
    }
    return {"id": "resp_1", "object": "response", "created_at": 1, "status": status, "error": None, "model": "m",
            "incomplete_details": None, "output": list(output), "usage": usage} | fields  # fmt: skip


def text(said: str = "$answer", **fields: Any) -> dict[str, Any]:
    """An item with text."""
    content = [{"type": "output_text", "text": said, "annotations": [], "logprobs": []}]
    return {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": content} | fields


def called(**fields: Any) -> dict[str, Any]:
    """An item with the call that is right."""
    return {"type": "function_call", "id": "fc_1", "call_id": "c1", "status": "completed", **FUNCTION} | fields


def thought(**fields: Any) -> dict[str, Any]:
    """An item with reasoning."""
    return {"type": "reasoning", "id": "rs_1", "summary": []} | fields


SUMMARY = [{"type": "summary_text", "text": "hm"}]
HIDDEN = thought(encrypted_content="gAAAA")
CUT_OFF = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}


def row(
    name: str, source: str, given: Any, end: End = RIGHT, message: Message = SAID, *, status: int = 200, **fields: Any
) -> Shape:
    """A shape of the Responses API."""
    answers = given if callable(given) or isinstance(given, tuple) else reply(given, status)
    return Shape(f"responses: {name}", source, answers, end, message, good=GOOD,
                 policy={"api": "responses", **fields.pop("policy", {})}, **fields)  # fmt: skip


def keeps_pairs(body: dict[str, Any]) -> Any:
    """A call that names its item is not taken without the reasoning before it."""
    kinds = [item.get("type") for item in body["input"]]
    named = any(str(item.get("id", "")).startswith("fc_") for item in body["input"])
    if named and "reasoning" not in kinds:
        return "Item 'fc_1' of type 'function_call' was provided without its required 'reasoning' item: 'rs_1'."
    if any(item.get("type") == "reasoning" and not item.get("encrypted_content") for item in body["input"]):
        return "Item with id 'rs_1' not found. Items are not persisted when `store` is set to false."
    return None


def refuses_temperature(body: dict[str, Any]) -> Any:
    return "temperature" in body and "Unsupported parameter: 'temperature' is not supported with this model."


GOOD = reply(response(text()))
BOTH = [call(), call(id="c2")]

RESPONSES = [
    row("a message", API, response(text())),
    row("text in parts", ITEMS, response(text(content=[{"type": "output_text", "text": ""},
                                                       {"type": "output_text", "text": "$answer"}]))),
    row("a call", ITEMS, response(called()), CALLED, calling("c1")),
    row("a call with text", ITEMS, response(text("Let me see."), called()), CALLED, calling("c1", "Let me see.")),
    row("a call after a commentary", "OpenAI, GPT-5.4: phase",
        response(text("Let me see.", phase="commentary"), called()), CALLED, calling("c1", "Let me see.")),
    row("several calls", ITEMS, response(called(), called(id="fc_2", call_id="c2")), TWICE,
        {**calling(), "tool_calls": BOTH}),
    row("arguments empty", "OpenAI, tools without parameters", response(called(arguments="")), RIGHT,
        calling("c1", arguments="{}")),
    row("arguments cut short", "any model", response(called(arguments='{"a": $a')), RIGHT,
        calling("c1", arguments='{"a": $a')),
    row("reasoning with a summary", ITEMS, response(thought(summary=SUMMARY), text()), message=thinking()),
    row("reasoning in words", "gpt-oss behind vLLM and LM Studio",
        response(thought(content=[{"type": "reasoning_text", "text": "hm"}]), text()), message=thinking()),
    row("reasoning that is encrypted", "OpenAI, reasoning: encrypted_content", response(HIDDEN, text())),
    row("reasoning that is encrypted, before a call", "OpenAI, reasoning: keeping items in context (rig, issue 751)",
        response(HIDDEN, called()), CALLED, calling("c1"), refuses=keeps_pairs),
    row("an item of a tool that nobody offered", "OpenAI, web search",
        response({"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {}}, text()), LOST,
        said="web_search_call"),
    row("an item that nobody knows", "a newer API", response({"type": "meditation", "id": "x"}, text()), LOST,
        said="meditation"),
    row("usage null", "llama.cpp, proxies", response(text(), usage=None)),
    row("usage missing", "proxies of one's own", {"object": "response", "status": "completed", "output": [text()]}),
    row("cut off", API, response(text("?", status="incomplete"), **CUT_OFF), CUT, SAID | {"content": "?"}),
    row("cut off in its thoughts", "OpenAI, reasoning: allocating space", response(thought(), **CUT_OFF), CUT,
        SAID | {"content": ""}),
    row("filtered", API, response(text(), status="incomplete", incomplete_details={"reason": "content_filter"}), LOST,
        said="content_filter"),
    row("incomplete, nobody says why", API, response(text(), status="incomplete"), LOST, said="incomplete"),
    row("failed", API, response(status="failed", error={"code": "server_error", "message": "Sorry."}), AWAY,
        said="Sorry."),
    row("failed for a rate", API, response(status="failed", error={"code": "rate_limit_exceeded", "message": "Slow."}),
        AWAY, said="Slow."),
    row("failed for the prompt", API, response(status="failed", error={"code": "invalid_prompt", "message": "No."}),
        LOST, said="No."),
    row("cancelled", API, response(status="cancelled"), LOST, said="cancelled"),
    row("queued", "OpenAI, background mode", response(status="queued"), LOST, said="queued"),
    row("no status", "proxies of one's own", {"object": "response", "output": [text()]}, LOST, said="status"),
    row("output null", "proxies of one's own", response() | {"output": None}, LOST),
    row("a refusal", ITEMS, response(text(content=[{"type": "refusal", "refusal": "No."}])), LOST, said="refused: No."),
    row("too long", "OpenAI, error codes", response(called()), FULL, calling("c1"),
        after=reply(error("Your input exceeds the context window of this model. Please adjust your input.",
                          code="context_length_exceeded", param="input"), 400)),
    row("a parameter is refused", "OpenAI, reasoning models", GOOD, refuses=refuses_temperature,
        logged="does not take temperature"),
    row("429, then fine", "OpenAI, error codes", (reply(error("later"), 429, retry_after="0.01"), GOOD),
        policy={"max_retries": 2}),
    row("the server has none", "servers of chat completions alone", {"detail": "Not Found"}, LOST, status=404,
        said="HTTP 404: Not Found"),
    row("a chat completion", "proxies of one's own", body({"content": "$answer"}), LOST),
    row("a stream that nobody asked for", "OpenAI API reference, streaming events",
        stream({"type": "response.created", "response": response(status="in_progress")},
               {"type": "response.completed", "response": response(text())})),
    row("a stream that breaks off", "OpenAI API reference, streaming events",
        stream({"type": "response.created", "response": response(status="in_progress")}), LOST),
    row("a connection that drops", "proxies and load balancers", drop, AWAY),
    row("the key repeated", "proxies in debug mode", told(401), LOST, said="Incorrect"),
]  # fmt: skip
