"""What endpoints are known to answer, in a table: each shape through a real server and a real run.

A shape that the model is not to blame for costs no episode, and a failure is never scored.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from aiohttp import web

from tests.policies.openai.endpoints import completion, serving, started
from tests.rollouts import asked, letters, trajectories

RIGHT, CALLED = ("completed", 1.0), ("completed", 1.25)  # "A" was said; after the tool that pays 0.25
WRONG = ("completed", 0.0)
FULL = ("context_length", 0.0)
CUT = ("max_tokens", 0.0)
LOST = ("policy_error", None)


def body(message: dict[str, Any] | None, reason: Any = "stop", **extra: Any) -> Any:
    return completion(message, reason, **extra)


def call(function: Any = None, **fields: Any) -> dict[str, Any]:
    return (
        {"id": "c1", "type": "function", "function": {"name": "shout", "arguments": '{"letter": "$"}'}}
        | ({"function": function} if function is not None else {})
        | fields
    )


def calls(*given: Any, reason: Any = "tool_calls", **message: Any) -> Any:
    return body({"content": None, "tool_calls": list(given), **message}, reason)


def error(message: Any = "boom", **extra: Any) -> Any:
    return {"error": {"message": message, **extra}}


A = {"content": "$$"}  # "$" becomes the letter that is asked for, "$$" its capital
OBJECT = {"name": "shout", "arguments": {"letter": "$"}}
TEXT = {"type": "text", "text": "$$"}

SHAPES: list[tuple[str, Any, tuple[str, float | None], str]] = [
    # --- why a reply ended ---
    ("stop", body(A), RIGHT, ""),
    ("stop, in capitals (Gemini)", body(A, "STOP"), RIGHT, ""),
    ("end_turn (Anthropic behind a gateway)", body(A, "end_turn"), RIGHT, ""),
    ("eos (Together)", body(A, "eos"), RIGHT, ""),
    ("a call under stop (vLLM, Mistral)", calls(call(), reason="stop"), CALLED, ""),
    ("length", body({"content": "?"}, "length"), CUT, ""),
    ("length, and nothing said", body({"content": None, "reasoning": "hm"}, "length"), CUT, ""),
    ("model_length (Mistral)", body({"content": "?"}, "model_length"), CUT, ""),
    ("content_filter", body(A, "content_filter"), LOST, "content_filter"),
    ("content_filter, empty", body({"content": ""}, "content_filter"), LOST, "content_filter"),
    ("error", body(A, "error"), LOST, '"error"'),
    ("abort (vLLM, SGLang)", body(A, "abort"), LOST, '"abort"'),
    ("null", body(A, None), LOST, "finish_reason null"),
    ("no reason at all", {"choices": [{"message": A}]}, LOST, "finish_reason null"),
    ("a reason that nobody knows", body(A, "insufficient_system_resource"), LOST, "insufficient_system_resource"),
    ("a reason that is no text", body(A, 7), LOST, "finish_reason 7"),
    ("SAFETY (Gemini)", body({"content": None}, "SAFETY"), LOST, "SAFETY"),
    ("a malformed call (Gemini)", body({}, "function_call_filter: MALFORMED_FUNCTION_CALL"), LOST, "MALFORMED"),
    ("a refusal", body({"content": None, "refusal": "I cannot help."}), LOST, "refused: I cannot help."),
    ("a refusal as a part", body({"content": [{"type": "refusal", "refusal": "No."}]}), LOST, "refused: No."),
    ("calls announced, none there", body({"content": None, "tool_calls": []}, "tool_calls"), LOST, "holds no call"),
    ("the model said nothing", body({"content": ""}), WRONG, ""),
    ("the model only thought", body({"content": None, "reasoning_content": "hm"}), WRONG, ""),
    # --- errors in a good answer ---
    ("an error in a 200", error("model overloaded"), LOST, "HTTP 200: model overloaded"),
    ("an error in a 200 beside empty choices", {**error("no"), "choices": []}, LOST, "HTTP 200: no"),
    ("an error beside a reply", {**body(A), **error("torn")}, LOST, "torn"),
    ("an error as text", {"error": "model not loaded"}, LOST, "model not loaded"),
    ("an error in a choice (OpenRouter)", body(None) | {"choices": [{"error": {"code": 502, "message": "upstream"}}]},
     LOST, "PolicyUnavailable: openai:m: HTTP 502: upstream"),
    ("object error", {"object": "error", "message": "no such adapter", "code": 404}, LOST, "no such adapter"),
    ("FastAPI's detail", {"detail": "not here"}, LOST, "not here"),
    ("an error that is null", {**body(A), "error": None}, RIGHT, ""),
    ("too long, in a 200", error("prompt is too long: 9 tokens > 8 maximum"), FULL, ""),
    ("no choices", {"id": "1", "choices": None}, LOST, "no choices"),
    ("no message", body(None), LOST, "no message"),
    ("a stream that nobody asked for", 'data: {"choices": []}\n\ndata: [DONE]\n', LOST, "not the answer"),
    ("HTML", "<html>hello</html>", LOST, "not the answer"),
    ("nothing", "", LOST, "not the answer"),
    ("a list", [], LOST, "not the answer"),
    # --- content ---
    ("parts", body({"content": [TEXT]}), RIGHT, ""),
    ("several parts", body({"content": [{"type": "text", "text": ""}, TEXT, "", {"text": ""}]}), RIGHT, ""),
    ("output_text", body({"content": [{"type": "output_text", "text": "$$", "annotations": []}]}), RIGHT, ""),
    ("one part, in no list", body({"content": TEXT}), RIGHT, ""),
    ("thinking in parts (Mistral)", body({"content": [{"type": "thinking", "thinking": [TEXT]}, TEXT]}), RIGHT, ""),
    ("thinking as text (Anthropic)",
     body({"content": [{"type": "thinking", "thinking": "B", "signature": "x"}, TEXT]}), RIGHT, ""),
    ("thinking that nobody may read", body({"content": [{"type": "redacted_thinking", "data": "x"}, TEXT]}), RIGHT, ""),
    ("a reference", body({"content": [TEXT, {"type": "reference", "reference_ids": [1]}]}), RIGHT, ""),
    ("a call as a part",
     body({"content": [{"type": "tool_use", "id": "t", "name": "shout", "input": {"letter": "$"}}]}, "tool_use"),
     CALLED, ""),
    ("an image", body({"content": [{"type": "image_url", "image_url": {"url": "x"}}]}), LOST, "a part of its content"),
    ("a number", body({"content": 3}), LOST, "not an assistant message"),
    ("an object", body({"content": {"answer": "$$"}}), LOST, "not an assistant message"),
    ("extra fields everywhere",
     body({**A, "refusal": None, "annotations": [], "audio": None, "function_call": None, "tool_calls": None,
           "provider_specific_fields": {"a": 1}}, usage=None, system_fingerprint=None, prompt_logprobs=[None]),
     RIGHT, ""),
    ("role null", body({**A, "role": None}), RIGHT, ""),
    ("lone surrogates", body({"content": "$$", "reasoning": "\ud800"}), RIGHT, ""),
    # --- thoughts ---
    ("reasoning (vLLM, OpenRouter)", body({**A, "reasoning": "B"}), RIGHT, ""),
    ("both fields", body({**A, "reasoning": "B", "reasoning_content": "B"}), RIGHT, ""),
    ("reasoning in details", body({**A, "reasoning_details": [{"type": "reasoning.text", "text": "B"}]}), RIGHT, ""),
    ("reasoning of another type", body({**A, "reasoning": {"effort": 3}, "reasoning_content": 7}), RIGHT, ""),
    # --- calls ---
    ("a call", calls(call()), CALLED, ""),
    ("a call with text", calls(call(), content="Let me see."), CALLED, ""),
    ("arguments as an object", calls(call(OBJECT)), CALLED, ""),
    ("arguments null", calls(call({"name": "shout", "arguments": None})), RIGHT, ""),
    ("arguments missing", calls(call({"name": "shout"})), RIGHT, ""),
    ("arguments empty", calls(call({"name": "shout", "arguments": ""})), RIGHT, ""),
    ("arguments cut short", calls(call({"name": "shout", "arguments": '{"letter": "$'})), RIGHT, ""),
    ("arguments that are a list", calls(call({"name": "shout", "arguments": [1]})), RIGHT, ""),
    ("id null", calls(call(id=None)), CALLED, ""),
    ("id empty", calls(call(id="")), CALLED, ""),
    ("id a number", calls(call(id=0)), CALLED, ""),
    ("no id, no type (Ollama of old)", calls({"function": OBJECT}), CALLED, ""),
    ("type null", calls(call(type=None)), CALLED, ""),
    ("type empty", calls(call(type="")), CALLED, ""),
    ("an index and a signature", calls(call(index=0, extra_content={"google": {"signature": "x"}})), CALLED, ""),
    ("one id twice", calls(call(), call()), ("completed", 1.5), ""),
    ("one call, in no list", body({"content": None, "tool_calls": call()}, "tool_calls"), CALLED, ""),
    ("a call without a function of its own", calls({"id": "c", **OBJECT}), CALLED, ""),
    ("a name that is no name", calls(call({"name": "functions.shout", "arguments": "{}"})), RIGHT, ""),
    ("a name that is null", calls(call({"name": None, "arguments": "{}"})), RIGHT, ""),
    ("an old function_call", body({"content": None, "function_call": OBJECT}, "function_call"), CALLED, ""),
    ("an old function_call, arguments as text",
     body({"content": None, "function_call": call()["function"]}, "function_call"), CALLED, ""),
    ("calls that are no calls", calls("shout"), LOST, "tool calls is 'shout'"),
    ("a call that is null", calls(None), LOST, "tool calls is 'None'"),
    ("a call of nothing", calls({"id": "c", "type": "function"}), LOST, "one of its tool calls"),
    ("a name that is a list", calls(call({"name": [], "arguments": "{}"})), LOST, "a tool is called []"),
    # --- usage ---
    ("usage with nulls", body(A, usage={"prompt_tokens": None, "completion_tokens": 1}), RIGHT, ""),
    ("usage of another type", body(A, usage=[1]), RIGHT, ""),
    ("usage in words", body(A, usage={"prompt_tokens": "7", "completion_tokens": "many"}), RIGHT, ""),
]  # fmt: skip

# The same for answers that are no 200.
REFUSALS: list[tuple[str, int, Any, tuple[str, float | None], str]] = [
    ("400 that says context", 400, error("tool_choice is not supported in the context of this model"), LOST, "context"),
    ("400 about a name", 400, error("unknown parameter: context_window_hint"), LOST, "context_window_hint"),
    ("400, content filter (Azure)", 400, error("The response was filtered", code="content_filter"), LOST, "filtered"),
    ("400, a limit of replies", 400,
     error("max_tokens is too large: 9999. This model supports at most 4096 completion tokens"), LOST, "too large"),
    ("400, the reply alone", 400,
     error("'max_tokens' or 'max_completion_tokens' is too large: 8000. This model's maximum context length is 200 "
           "tokens and your request has 27 input tokens (8000 > 200 - 27)."), LOST, "lower max_output_tokens"),
    ("413 of a proxy", 413, "<html><h1>413 Request Entity Too Large</h1></html>", LOST, "413 Request Entity Too Large"),
    ("413, tokens per minute (Groq)", 413,
     error("Request too large for model `m` on tokens per minute (TPM): Limit 6000, Requested 9000, please reduce your "
           "message size and try again.", code="rate_limit_exceeded"), LOST, "tokens per minute"),
    ("401", 401, error("bad key"), LOST, "PolicyError: openai:m: HTTP 401: bad key"),
    ("404", 404, error("no such model"), LOST, "no such model"),
    ("422", 422, {"detail": [{"type": "missing", "loc": ["body", "x"], "msg": "Field required"}]}, LOST, "body x"),
    ("429", 429, error("slow down"), LOST, "PolicyUnavailable: openai:m: HTTP 429: slow down"),
    ("500", 500, error("boom"), LOST, "PolicyUnavailable: openai:m: HTTP 500: boom"),
    ("500, empty", 500, "", LOST, "HTTP 500: no words"),
    ("502 of a proxy", 502, "<html><style>x{}</style>Bad <b>gateway</b></html>", LOST, "HTTP 502: Bad gateway"),
    ("529 (Anthropic)", 529, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, LOST,
     "PolicyUnavailable"),
    ("the model's own broken call (Groq)", 400,
     error("Failed to call a function.", code="tool_use_failed", failed_generation="<function=shout{"), RIGHT, ""),
]  # fmt: skip


def filled(value: Any, letter: str) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text.replace("$$", letter.upper()).replace("$", letter)


async def episode(status: int, shape: Any) -> Any:
    async def answer(request: web.Request) -> web.StreamResponse:
        messages = (await request.json())["messages"]
        letter = asked(messages)
        if messages[-1]["role"] == "tool":
            return web.json_response(completion({"content": letter.upper()}))
        return web.Response(text=filled(shape, letter), status=status, content_type="application/json")

    async with serving(answer) as server, started(server.policy()) as policy:
        (found,) = (await trajectories(letters(num_tasks=1, max_attempts=1)(policy=policy))).values()
    return found


def judge(found: Any, expected: tuple[str, float | None], said: str) -> None:
    assert (found.status, found.reward) == expected, found.error
    if said:
        assert said in found.error
    if expected == LOST:
        assert found.error.startswith(("PolicyError: openai:m: ", "PolicyUnavailable: openai:m: "))


@pytest.mark.parametrize(("shape", "expected", "said"), [row[1:] for row in SHAPES], ids=[row[0] for row in SHAPES])
async def test_a_shape_of_answer(shape: Any, expected: tuple[str, float | None], said: str) -> None:
    judge(await episode(200, shape), expected, said)


@pytest.mark.parametrize(
    ("status", "shape", "expected", "said"), [row[1:] for row in REFUSALS], ids=[row[0] for row in REFUSALS]
)
async def test_a_refusal(status: int, shape: Any, expected: tuple[str, float | None], said: str) -> None:
    judge(await episode(status, shape), expected, said)
