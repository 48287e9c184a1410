"""What servers refuse in a request: parameters, tools, histories, contents. What can be put otherwise is."""

from __future__ import annotations

from typing import Any

from tests.endpoints.server import reply
from tests.endpoints.shapes import CALL, CALLED, GOOD, LOST, TWICE, Check, Shape, call, calling, calls, error

OPENAI = "OpenAI, reasoning models"


def unless(name: str, words: str) -> Check:
    """Complains with these words where a parameter is given."""
    return lambda body: words if name in body else None


def parameter(name: str, source: str, words: str, logged: str = "") -> Shape:
    """A server that takes all but one parameter, and is asked without it."""
    title = f"{name} is refused: {words[:30]}"
    return Shape(title, source, GOOD, refuses=unless(name, words), logged=logged or f"does not take {name}")


def one_by_one(body: dict[str, Any]) -> Any:
    name = next((name for name in ("temperature", "top_p", "max_completion_tokens") if name in body), None)
    return name and f"Unsupported parameter: '{name}' is not supported with this model."


PARAMETERS = [
    parameter("temperature", OPENAI, "Unsupported value: 'temperature' does not support 1.0 with this model."),
    parameter("temperature", "Anthropic, newer models", "`temperature` is deprecated for this model."),
    parameter("top_p", "Anthropic, Bedrock",
              "`temperature` and `top_p` cannot both be specified for this model. Please use only one."),
    parameter("top_p", "xAI, reasoning models", "Argument not supported on this model: top_p"),
    parameter("max_completion_tokens", "Mistral, vLLM of old", "Unrecognized request argument supplied: "
              "max_completion_tokens", "knows no max_completion_tokens"),
    parameter("max_completion_tokens", "Databricks", "[{'type': 'extra_forbidden', 'loc': ('body', "
              "'max_completion_tokens'), 'msg': 'Extra inputs are not permitted'}]", "knows no max_completion_tokens"),
    Shape("one parameter after the other is refused", OPENAI, GOOD, refuses=one_by_one, logged="does not take top_p"),
    Shape("a value out of range", "Gemini, Zhipu", reply(error("temperature must be between 0 and 0.2"), 400), LOST,
          said="HTTP 400: temperature must be between"),
    Shape("tools are not supported", "Ollama, models without tools in their template", GOOD, LOST,
          said="does not support tools",
          refuses=unless("tools", "registry.ollama.ai/library/m does not support tools")),
    Shape("tools need a flag", "vLLM without --enable-auto-tool-choice", GOOD, LOST, said="--enable-auto-tool-choice",
          refuses=unless("tools", '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be '
                                  "set")),
    Shape("an unknown parameter, by a name like others", "OpenAI",
          reply(error("unknown parameter: context_window_hint"), 400), LOST, said="context_window_hint"),
    Shape("422 of pydantic", "FastAPI: vLLM, LiteLLM, Mistral",
          reply({"detail": [{"type": "missing", "loc": ["body", "x"], "msg": "Field required"}]}, 422), LOST,
          said="HTTP 422: body x: Field required"),
]  # fmt: skip


def messages_with(wrong: Any, words: str) -> Check:
    """Complains where a message is wrong."""
    return lambda body: words if any(map(wrong, body.get("messages", ()))) else None


def is_null(message: Any) -> bool:
    return message["content"] is None


def is_empty(message: Any) -> bool:
    return not message["content"]


def is_thoughtless(message: Any) -> bool:
    return bool(message.get("tool_calls")) and "reasoning_content" not in message


def is_manifold(message: Any) -> bool:
    return len(message.get("tool_calls") or ()) > 1


def history(name: str, source: str, wrong: Any, words: str) -> Shape:
    """A server that takes an earlier call in one form alone."""
    return Shape(f"{name}: {words[:30]}", source, CALL, CALLED, calling("c1"), logged="in another form",
                 refuses=messages_with(wrong, words))  # fmt: skip


BOTH = [call(), call(id="c2")]
HISTORIES = [
    history("null content", "Ollama of old", is_null, "invalid message content type: <nil>"),
    history("null content", "SGLang, TGI", is_null, "messages.1.content: Input should be a valid string"),
    Shape("empty content: Bedrock", "Bedrock, Converse", CALL, CALLED, calling("c1"), logged="content that is empty",
          refuses=messages_with(is_empty, "The content field in the Message object at messages.1 is empty.")),
    history("calls without thoughts", "DeepSeek, thinking mode", is_thoughtless,
            "The `reasoning_content` in the thinking mode must be passed back to the API."),
    history("calls without thoughts", "Moonshot, kimi-k2-thinking", is_thoughtless,
            "thinking is enabled but reasoning_content is missing in assistant tool call message at index 1"),
    Shape("one call at a time", "Llama 3.1's chat template, under vLLM", calls(*BOTH), TWICE,
          {**calling(), "tool_calls": BOTH}, logged="in another form",
          refuses=messages_with(is_manifold, "This model only supports single tool-calls at once!")),
    Shape("no system message", "Gemma's chat template, under vLLM",
          reply(error("System role not supported"), 400), LOST, said="System role not supported"),
]  # fmt: skip

CONTENTS = [
    Shape("the request is filtered", "Azure OpenAI, content filtering",
          reply(error("The response was filtered", code="content_filter"), 400), LOST, said="filtered"),
    Shape("400 that says context", "vLLM",
          reply(error("tool_choice is not supported in the context of this model"), 400), LOST, said="tool_choice"),
    Shape("a limit of replies", "OpenAI",
          reply(error("max_tokens is too large: 9999. This model supports at most 4096 completion tokens"), 400), LOST,
          said="too large"),
    Shape("tokens per minute", "Groq, rate limits",
          reply(error("Request too large for model `m` on tokens per minute (TPM): Limit 6000, Requested 9000, please "
                      "reduce your message size and try again.", code="rate_limit_exceeded"), 413), LOST,
          said="tokens per minute"),
]  # fmt: skip

REFUSALS = [*PARAMETERS, *HISTORIES, *CONTENTS]
