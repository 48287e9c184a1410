"""Replies of chat completions: why they end, what they hold, thoughts, calls, usage."""

from __future__ import annotations

import json
from typing import Any

from tests.endpoints.server import reply, says
from tests.endpoints.shapes import (
    ANSWER,
    AWAY,
    CALLED,
    CUT,
    FULL,
    FUNCTION,
    LOST,
    OBJECT,
    RIGHT,
    SAID,
    TWICE,
    WRONG,
    Shape,
    body,
    call,
    calling,
    calls,
    error,
    thinking,
)

API = "OpenAI API reference, chat completion object"
MISTRAL = "Mistral API reference, chat completions"
GEMINI = "Gemini API, OpenAI compatibility"
TEXT = {"type": "text", "text": "$answer"}
NOTHING = SAID | {"content": ""}


def ends(reason: Any, source: str, end: Any = RIGHT, said: str = "", **message: Any) -> Shape:
    """A reply that ends for a reason."""
    given = ANSWER if end is not CUT else {"content": "?"}
    return Shape(f"finish_reason {json.dumps(reason)}", source, says({**given, **message}, reason), end, SAID | given,
                 said=said)  # fmt: skip


ENDS = [
    ends("stop", API),
    ends("STOP", "Gemini behind gateways that pass its own word on"),
    ends("end_turn", "Anthropic's stop_reason behind gateways"),
    ends("stop_sequence", "Anthropic's stop_reason behind gateways"),
    ends("eos", "Together API reference, finish_reason"),
    ends("eos_token", "TGI, finish_reason of generate"),
    ends("length", API, CUT),
    ends("max_tokens", "Anthropic's stop_reason behind gateways", CUT),
    ends("model_length", MISTRAL, CUT),
    ends("model_context_window_exceeded", "Anthropic, stop reasons", CUT),
    ends("content_filter", API, LOST, "content_filter"),
    ends("error", MISTRAL + "; OpenRouter", LOST, '"error"'),
    ends("abort", "vLLM and SGLang, a request that was aborted", LOST, '"abort"'),
    ends("repetition", "vLLM, repetition detection", LOST, '"repetition"'),
    ends("insufficient_system_resource", "DeepSeek API reference", LOST, "insufficient_system_resource"),
    ends("network_error", "Z.ai API reference", LOST, "network_error"),
    ends("sensitive", "Z.ai API reference", LOST, "sensitive"),
    ends("SAFETY", "Gemini, FinishReason", LOST, "SAFETY"),
    ends("RECITATION", "Gemini, FinishReason", LOST, "RECITATION"),
    ends("MALFORMED_FUNCTION_CALL", "Gemini, FinishReason", LOST, "MALFORMED_FUNCTION_CALL", content=None),
    ends("function_call_filter: MALFORMED_FUNCTION_CALL", GEMINI, LOST, "MALFORMED", content=None),
    ends(None, "proxies that relay a stream which broke off", LOST, "finish_reason null"),
    ends("", "proxies of one's own", LOST, 'finish_reason ""'),
    ends(7, "nobody known", LOST, "finish_reason 7"),
    Shape("no finish_reason", "proxies of one's own", reply({"choices": [{"message": ANSWER}]}), LOST,
          said="finish_reason null"),
    Shape("a call under stop", "vLLM with tool_choice required; Mistral; Ollama", calls(call(), reason="stop"), CALLED,
          calling("c1")),
    Shape("length, and nothing said", "vLLM, a thought that was cut off",
          says({"content": None, "reasoning": "hm"}, "length"), CUT, NOTHING | {"reasoning_content": "hm"}),
    Shape("length, in the middle of a call", API,
          calls(call({"name": "add", "arguments": '{"a": 1'}), reason="length"), CUT,
          calling("c1", name="add", arguments='{"a": 1')),
    Shape("filtered, and nothing said", "Azure OpenAI, content filtering", says({"content": ""}, "content_filter"),
          LOST, said="content_filter"),
    Shape("a refusal", "OpenAI, structured outputs, refusals", says({"content": None, "refusal": "I cannot help."}),
          LOST, said="refused: I cannot help."),
    Shape("a refusal as a part", API, says({"content": [{"type": "refusal", "refusal": "No."}]}), LOST,
          said="refused: No."),
    Shape("calls announced, none there", "vLLM, calls that its parser lost",
          says({"content": None, "tool_calls": []}, "tool_calls"), LOST, said="holds no call"),
    Shape("the model said nothing", API, says({"content": ""}), WRONG, NOTHING),
    Shape("the model only thought", "DeepSeek, vLLM", says({"content": None, "reasoning_content": "hm"}), WRONG,
          NOTHING | {"reasoning_content": "hm"}),
    Shape("content missing", "gateways that leave out what is empty", says({}), WRONG, NOTHING),
]  # fmt: skip

THINKING = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
CONTENT = [
    Shape("parts", "Mistral; OpenAI in requests", says({"content": [TEXT]})),
    Shape("several parts", "Databricks, Mistral with references",
          says({"content": [{"type": "text", "text": ""}, TEXT, "", {"text": ""}]})),
    Shape("output_text", "gateways to OpenAI's Responses",
          says({"content": [{"type": "output_text", "text": "$answer", "annotations": []}]})),
    Shape("one part, in no list", "proxies of one's own", says({"content": TEXT})),
    Shape("a reference beside the text", "Mistral, citations",
          says({"content": [TEXT, {"type": "reference", "reference_ids": [1]}]})),
    Shape("a call as a part", "Anthropic behind gateways",
          says({"content": [{"type": "tool_use", "id": "t1", "name": "$tool", "input": OBJECT["arguments"]}]},
               "tool_use"), CALLED, calling("t1", arguments='{"a": "$a", "b": "$b"}')),
    Shape("an image", "Gemini's image models behind OpenRouter",
          says({"content": [{"type": "image_url", "image_url": {"url": "x"}}]}), LOST, said="a part of its content"),
    Shape("a number", "a proxy that reads the model's JSON", says({"content": 3}), LOST, said="its content is '3'"),
    Shape("an object", "a proxy that reads the model's JSON", says({"content": {"answer": 3}}), LOST,
          said="not an assistant message"),
    Shape("extra fields everywhere", "vLLM, LiteLLM, Azure",
          says({**ANSWER, "refusal": None, "annotations": [], "audio": None, "function_call": None, "tool_calls": None,
                "provider_specific_fields": {"a": 1}}, usage=None, system_fingerprint=None, prompt_logprobs=[None],
               prompt_filter_results=[{"prompt_index": 0}], service_tier="default")),
    Shape("role null", "proxies that put a stream together", says({**ANSWER, "role": None})),
    Shape("role missing", "proxies that put a stream together", reply({"choices": [{"finish_reason": "stop",
                                                                                     "message": ANSWER}]})),
    Shape("lone surrogates", "half an emoji at a limit of characters",
          says({"content": "$answer", "reasoning": "\ud800"}), message=thinking("\ufffd")),
    Shape("a zero byte", "byte tokens of a model", says({"content": "\x00$answer"}),
          message=SAID | {"content": "\x00$answer"}),
]  # fmt: skip

SIGNED = {"type": "thinking", "thinking": "hm", "signature": "x"}
THOUGHTS = [
    Shape("reasoning", "vLLM since 0.12, OpenRouter, Groq", says({**ANSWER, "reasoning": "hm"}), message=thinking()),
    Shape("reasoning_content", "DeepSeek, SGLang, llama.cpp", says({**ANSWER, "reasoning_content": "hm"}),
          message=thinking()),
    Shape("both fields", "vLLM 0.11, LiteLLM", says({**ANSWER, "reasoning": "hm", "reasoning_content": "hm"}),
          message=thinking()),
    Shape("thinking", "Ollama's own API behind proxies", says({**ANSWER, "thinking": "hm"}), message=thinking()),
    Shape("reasoning_details", "OpenRouter, reasoning tokens",
          says({**ANSWER, "reasoning_details": [{"type": "reasoning.text", "text": "hm", "signature": "x"}]}),
          message=thinking()),
    Shape("reasoning that is encrypted", "OpenRouter, reasoning tokens",
          says({**ANSWER, "reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}]})),
    Shape("reasoning of another type", "proxies that echo the request",
          says({**ANSWER, "reasoning": {"effort": 3}, "reasoning_content": 7})),
    Shape("thinking in parts", "Mistral, reasoning models", says({"content": [THINKING, TEXT]}), message=thinking()),
    Shape("thinking as text", "Anthropic behind gateways", says({"content": [SIGNED, TEXT]}), message=thinking()),
    Shape("thinking_blocks", "LiteLLM, reasoning content",
          says({**ANSWER, "reasoning_content": "hm", "thinking_blocks": [SIGNED]}), message=thinking()),
    Shape("thinking that nobody may read", "Anthropic, redacted thinking",
          says({"content": [{"type": "redacted_thinking", "data": "x"}, TEXT]})),
    Shape("<think> in the content", "vLLM and llama.cpp without a reasoning parser",
          says({"content": "<think>\nhm\n</think>\n\n$answer"}), message=thinking()),
    Shape("a thought beside a call", "DeepSeek, Kimi", calls(call(), reasoning_content="hm"), CALLED,
          calling("c1") | {"reasoning_content": "hm"}),
]  # fmt: skip

A, B = {"id": "c1", "function": FUNCTION}, {"id": "c2", "function": FUNCTION}
BOTH = [call(), call(id="c2")]
TOLD = {"name": "$tool", "arguments": "{}"}
CALLS = [
    Shape("a call", API, calls(call()), CALLED, calling("c1")),
    Shape("a call with text", API, calls(call(), content="Let me see."), CALLED, calling("c1", "Let me see.")),
    Shape("several calls", API, calls(*BOTH), TWICE, {**calling(), "tool_calls": BOTH}),
    Shape("one id for several calls", "Gemini behind gateways; vLLM before random ids", calls(call(), call()), TWICE,
          {**calling(), "tool_calls": [call(), call(id="call_0_1")]}),
    Shape("arguments as an object", "Ollama's own API; older llama.cpp", calls(call(OBJECT)), CALLED,
          calling("c1", arguments='{"a": "$a", "b": "$b"}')),
    Shape("arguments encoded twice", "Granite 4 through vLLM's hermes parser (vLLM, pull request 54964)",
          calls(call(FUNCTION | {"arguments": r'"{\"a\": $a, \"b\": $b}"'})), CALLED, calling("c1")),
    Shape("arguments null", "vLLM, tools without parameters; Anthropic behind gateways",
          calls(call(TOLD | {"arguments": None})), RIGHT, calling("c1", arguments="{}")),
    Shape("arguments missing", "Ollama, tools without parameters", calls(call({"name": "$tool"})), RIGHT,
          calling("c1", arguments="{}")),
    Shape("arguments empty", "OpenAI, tools without parameters, in streams; vLLM",
          calls(call(TOLD | {"arguments": ""})),
          RIGHT, calling("c1", arguments="{}")),
    Shape("arguments cut short", "any model", calls(call(TOLD | {"arguments": '{"a": $a'})), RIGHT,
          calling("c1", arguments='{"a": $a')),
    Shape("arguments that are a list", "any model", calls(call(TOLD | {"arguments": [1]})), RIGHT,
          calling("c1", arguments="[1]")),
    Shape("id null", "Gemini's early compatibility", calls(call(id=None)), CALLED, calling()),
    Shape("id empty", "Gemini's early compatibility", calls(call(id="")), CALLED, calling()),
    Shape("id a number", "proxies of one's own", calls(call(id=0)), CALLED, calling("0")),
    Shape("no id, no type", "Ollama of old", calls({"function": FUNCTION}), CALLED, calling()),
    Shape("type null", "Mistral's SDK defaults", calls(call(type=None)), CALLED, calling("c1")),
    Shape("type empty", "vLLM, tool calls in streams put together", calls(call(type="")), CALLED, calling("c1")),
    Shape("an index and a signature", "Gemini, thought signatures",
          calls(call(index=0, extra_content={"google": {"thought_signature": "x"}})), CALLED, calling("c1")),
    Shape("one call, in no list", "proxies of one's own",
          says({"content": None, "tool_calls": call()}, "tool_calls"), CALLED, calling("c1")),
    Shape("a call without a function of its own", "Llama Stack; Cohere's own API", calls({"id": "c1", **FUNCTION}),
          CALLED, calling("c1")),
    Shape("a name that is no name", "gpt-oss, Kimi: functions.add:0", calls(call(TOLD | {"name": "functions.add:0"})),
          RIGHT, calling("c1", name="functions.add:0", arguments="{}")),
    Shape("a name that is null", "vLLM, streams put together", calls(call(TOLD | {"name": None})), RIGHT,
          calling("c1", name="", arguments="{}")),
    Shape("an old function_call", "OpenAI before tools; Ernie", says({"content": None, "function_call": FUNCTION},
                                                                     "function_call"), CALLED, calling()),
    Shape("an old function_call, arguments as an object", "GigaChat API reference",
          says({"content": "", "function_call": OBJECT}, "function_call"), CALLED,
          calling(arguments='{"a": "$a", "b": "$b"}')),
    Shape("calls that are no calls", "nobody known", calls("add"), LOST, said="tool calls is 'add'"),
    Shape("a call that is null", "streams put together", calls(None), LOST, said="tool calls is 'None'"),
    Shape("a call of nothing", "streams put together", calls({"id": "c", "type": "function"}), LOST,
          said="one of its tool calls"),
    Shape("a name that is a list", "nobody known", calls(call(TOLD | {"name": []})), LOST, said="a tool is called []"),
    Shape("the model's own broken call", "Groq, tool use, error tool_use_failed",
          reply(error("Failed to call a function.", code="tool_use_failed", failed_generation="<function=add{"), 400),
          RIGHT, calling(name="", arguments="<function=add{")),
]  # fmt: skip

USAGE = [
    Shape("usage null", "vLLM in streams, proxies", says(ANSWER, usage=None)),
    Shape("usage with nulls", "vLLM, prompts that it does not count",
          says(ANSWER, usage={"prompt_tokens": None, "completion_tokens": 1, "prompt_tokens_details": None})),
    Shape("usage of another type", "nobody known", says(ANSWER, usage=[1])),
    Shape("usage in words", "proxies of one's own",
          says(ANSWER, usage={"prompt_tokens": "7", "completion_tokens": "many"})),
    Shape("usage with a cost in parts", "Perplexity API reference",
          says(ANSWER, usage={"prompt_tokens": 7, "completion_tokens": 1, "cost": {"total_cost": 0.01}})),
]  # fmt: skip

INSIDE = [
    Shape("an error in a 200", "OpenRouter, errors; SGLang", reply(error("model overloaded")), LOST,
          said="HTTP 200: model overloaded"),
    Shape("an error in a 200, with its status", "OpenRouter, errors", reply(error("upstream", code=502)), AWAY,
          said="HTTP 502: upstream"),
    Shape("an error beside empty choices", "OpenRouter", reply({**error("no"), "choices": []}), LOST,
          said="HTTP 200: no"),
    Shape("an error beside a reply", "OpenRouter, errors after tokens were sent", reply({**body(ANSWER),
          **error("torn")}), LOST,
          said="torn"),
    Shape("an error in a choice", "OpenRouter, errors", reply(
        {"choices": [{"finish_reason": "error", "error": {"code": 502, "message": "upstream"}}]}), AWAY,
          said="HTTP 502: upstream"),
    Shape("an error as text", "Ollama, LM Studio", reply({"error": "model not loaded"}), LOST, said="model not loaded"),
    Shape("object error", "vLLM before 0.10", reply({"object": "error", "message": "no such adapter", "code": 404}),
          LOST, said="no such adapter"),
    Shape("FastAPI's detail", "FastAPI", reply({"detail": "not here"}), LOST, said="not here"),
    Shape("an error that is null", "Alibaba; proxies", reply({**body(ANSWER), "error": None})),
    Shape("too long, in a 200", "OpenRouter", calls(call()), FULL, calling("c1"),
          after=reply(error("prompt is too long: 9 tokens > 8 maximum"))),
    Shape("no choices", "Gemini, a prompt that was blocked", reply({"id": "1", "choices": []}), LOST,
          said="no choices"),
    Shape("choices null", "Gemini and Alibaba, overloaded", reply({"id": "1", "choices": None}), LOST,
          said="no choices"),
    Shape("a choice that is null", "nobody known", reply({"choices": [None]}), LOST, said="no choices"),
    Shape("no message", "OpenRouter", reply(body(None)), LOST, said="no message"),
    Shape("several choices", API, reply({"choices": body(ANSWER)["choices"] + body({"content": "0"})["choices"]})),
]  # fmt: skip

REPLIES = [*ENDS, *CONTENT, *THOUGHTS, *CALLS, *USAGE, *INSIDE]
