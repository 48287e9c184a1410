"""The words of real servers for a conversation that is too long, and for other things that sound alike."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmgym.policies.openai.trouble import Trouble, reply_alone_too_long, too_long

TOO_LONG: list[tuple[str, Any]] = [
    ("OpenAI",
     {"code": "context_length_exceeded",
      "message": "This model's maximum context length is 8192 tokens. However, your messages resulted in 9100 "
                 "tokens. Please reduce the length of the messages."}),
    ("OpenAI, code alone",
     {"code": "context_length_exceeded",
      "message": "Request refused."}),
    ("OpenAI, newer",
     {"message": "Your input exceeds the context window of this model. Please adjust your input."}),
    ("Azure",
     {"message": "Input tokens exceed the configured limit of 272000 tokens. Your messages resulted in 509178 "
                 "tokens. Please reduce the length of the messages."}),
    ("vLLM",
     {"message": "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens (8700 "
                 "in the messages, 300 in the completion). Please reduce the length of the messages or "
                 "completion."}),
    ("vLLM, by the reply",
     {"message": "'max_tokens' or 'max_completion_tokens' is too large: 256. This model's maximum context "
                 "length is 4096 tokens and your request has 4000 input tokens (256 > 4096 - 4000)."}),
    ("vLLM, by the prompt",
     {"message": "The decoder prompt (length 9000) is longer than the maximum model length of 8192. Make sure "
                 "that `max_model_len` is no smaller than the number of text tokens."}),
    ("vLLM, newer",
     {"message": "You passed 9001 input tokens and requested 256 output tokens. However, the model's context "
                 "length is only 8192 tokens. Please reduce the length of the input prompt."}),
    ("vLLM, nothing left",
     {"message": "max_tokens must be at least 1, got -12."}),
    ("SGLang",
     {"message": "The input (61709 tokens) is longer than the model's context length (40960 tokens)."}),
    ("SGLang, with the reply",
     {"message": "Requested token count exceeds the model's maximum context length of 131072 tokens. You "
                 "requested a total of 140000 tokens."}),
    ("SGLang, by memory",
     {"message": "Input length (160062 tokens) exceeds the maximum allowed length (59862 tokens)."}),
    ("Anthropic",
     {"type": "invalid_request_error",
      "message": "prompt is too long: 210035 tokens > 200000 maximum"}),
    ("Anthropic, with the reply",
     {"message": "input length and `max_tokens` exceed context limit: 188240 + 21333 > 200000, decrease input "
                 "length or `max_tokens` and try again"}),
    ("Anthropic, bytes",
     {"type": "request_too_large",
      "message": "Request exceeds the maximum size"}),
    ("Gemini",
     {"code": 400, "status": "INVALID_ARGUMENT",
      "message": "The input token count (1048700) exceeds the maximum number of tokens allowed (1048576)."}),
    ("Gemini, older",
     {"message": "The input token count exceeds the maximum number of tokens allowed (1048576)."}),
    ("TGI",
     "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 4000 `inputs` tokens "
     "and 256 `max_new_tokens`"),
    ("TGI, older",
     "Input validation error: `inputs` must have less than 1024 tokens. Given: 1168"),
    ("llama.cpp",
     {"code": 400, "type": "exceed_context_size_error", "n_prompt_tokens": 4390, "n_ctx": 4096,
      "message": "request (4390 tokens) exceeds the available context size (4096 tokens), try increasing it"}),
    ("llama.cpp, half-way",
     {"code": 500, "type": "server_error",
      "message": "Context size has been exceeded."}),
    ("llama-cpp-python",
     {"message": "Requested tokens (2285) exceed context window of 2048"}),
    ("LM Studio",
     "The number of tokens to keep from the initial prompt is greater than the context length."),
    ("LM Studio, older",
     "Trying to keep the first 4978 tokens when context the overflows. However, the model is loaded with "
     "context length of only 4096 tokens, which is not enough."),
    ("Ollama",
     {"type": "api_error",
      "message": "prompt too long; exceeded max context length by 12 tokens"}),
    ("Ollama, input",
     {"message": "the input length exceeds the context length"}),
    ("Mistral",
     {"code": "3051", "type": "invalid_request_prompt",
      "message": "Prompt contains 40014 tokens and 0 draft tokens, too large for model with 32768 maximum "
                 "context length"}),
    ("Bedrock",
     "An error occurred (ValidationException): Input is too long for requested model."),
    ("Bedrock, Nova",
     "Too many input tokens. Max input tokens: 128000, request input token count: 140000"),
    ("xAI",
     "This model's maximum prompt length is 131072 but the request contains 537812 tokens."),
    ("Groq",
     {"code": "context_length_exceeded",
      "message": "Please reduce the length of the messages or completion."}),
    ("Cerebras",
     {"code": "context_length_exceeded",
      "message": "Please reduce the length of the messages or completion. Current length is 42328 while limit "
                 "is 40000"}),
    ("Fireworks",
     "The prompt is too long: 17000, model maximum context length: 16384"),
    ("Cohere",
     "too many tokens: total number of tokens in the prompt exceeds the limit of 4081"),
    ("Moonshot",
     "Invalid request: Your request exceeded model token limit: 262144 (requested: 300000)"),
    ("Alibaba",
     "<400> InternalError.Algo.InvalidParameter: Range of input length should be [1, 30720]"),
    ("Zhipu",
     {"code": "1261",
      "message": "Prompt exceeds max length"}),
    ("Volcengine",
     "Total tokens of image and text exceed max message tokens."),
    ("MiniMax",
     "invalid params, context window exceeds limit (2013)"),
    ("Copilot",
     "prompt token count of 70000 exceeds the limit of 64000"),
    ("Cloudflare",
     "The estimated number of input and maximum output tokens (9000) exceeded this model context window limit "
     "(8192)."),
    ("OpenRouter",
     {"code": 400,
      "message": "Provider returned error",
      "metadata": {"raw": '{"error": {"message": "This endpoint\'s maximum context length is 8192 tokens. '
                          'However, you requested about 9100 tokens (8844 of text input, 256 in the output)."}}'}}),
    ("in short",
     "Requested 9000 tokens, but the context size is 8192"),
    ("in short, full",
     "The context window is full"),
    ("in short, by the model",
     "The total number of tokens exceeds the model's limit of 8192"),
    ("in short, a sum",
     "input tokens (9000) + max_new_tokens (256) must be less than 8192"),
    ("a gateway",
     "litellm.ContextWindowExceededError: AnthropicException - "
     '{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 3 tokens > 2 '
     'maximum"}}'),
]  # fmt: skip

OTHER = [
    "tool_choice 'required' is not supported in the context of this model",
    "unknown parameter: context_window_hint",
    "context must be a string",
    "Invalid value for 'context_length'",
    "The model's context window is 8192 tokens; ask for less than 4097 tokens of reply",
    "Unable to read the maximum context length of this model",
    "max_tokens is too large: 100000. This model supports at most 16384 completion tokens",
    "`max_tokens` must be less than or equal to `8192`, the maximum value for `max_tokens` is less than the "
    "`context_window` for this model",
    "max_tokens=9000 cannot be greater than max_model_len=8192",
    "Rate limit reached on tokens per min (TPM): Limit 30000, Requested 48213. Please reduce the length of the "
    "messages",
    "ThrottlingException: Too many tokens, please wait before trying again.",
    "Invalid 'user': string too long. Expected a string with maximum length 64",
    "Invalid 'messages[2].tool_calls[0].id': string too long. Expected a string with maximum length 40",
    "the tool's description is too long",
    "Image is too large",
    "context deadline exceeded (Client.Timeout exceeded while awaiting headers)",
    "max_tokens: 8192 > 4096, which is the maximum allowed number of output tokens for m",
    "You exceeded your current quota, please check your plan",
    "response_format exceeds the context of this tool",
    "total tokens per request exceed the limit of your plan",
    "m (maximum context length: 8192) takes no tools",
]  # fmt: skip


@pytest.mark.parametrize("status", [200, 400, 413, 422, 500])
@pytest.mark.parametrize("said", [said for _, said in TOO_LONG], ids=[who for who, _ in TOO_LONG])
def test_too_long_in_the_words_of_every_server(said: Any, status: int) -> None:
    for body in ({"error": said}, {"object": "error", "message": said}, [{"error": said}], {"detail": {"error": said}}):
        trouble = Trouble.said(json.dumps(body), status)
        assert too_long(trouble), trouble
        assert not reply_alone_too_long(trouble, 256)


@pytest.mark.parametrize("said", OTHER)
def test_what_only_sounds_alike(said: str) -> None:
    assert not too_long(Trouble.said(json.dumps({"error": {"message": said}}), 400))


def test_words_of_our_own_mean_nothing() -> None:
    assert not too_long(Trouble("the prompt is too long"))


@pytest.mark.parametrize(
    "said",
    [
        "This model's maximum context length is 4096 tokens. However, you requested 8100 tokens (100 in the messages, "
        "8000 in the completion). Please reduce the length of the messages or completion.",
        "You passed 100 input tokens and requested 8000 output tokens. However, the model's context length is only "
        "8,000 tokens.",
        "input length and `max_tokens` exceed context limit: 100 + 8000 > 8000, decrease input length or `max_tokens`",
        "`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 100 `inputs` tokens and 8000 `max_new_tokens`",
        "max_tokens (8000) exceeds the context window of 4096",
    ],
)
def test_a_reply_that_never_fits_is_no_long_conversation(said: str) -> None:
    trouble = Trouble.said(json.dumps({"message": said}), 400)
    assert too_long(trouble)
    assert reply_alone_too_long(trouble, 8000)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"error": {"message": "no", "type": "t", "code": "c"}}, "HTTP 418: no (c)"),
        ({"error": {"message": "no", "type": "t", "code": None}}, "HTTP 418: no (t)"),
        ({"error": {"message": "no", "code": 418}}, "HTTP 418: no"),
        ({"type": "error", "error": {"type": "overloaded", "message": "no"}}, "HTTP 418: no (overloaded)"),
        ({"error": "no"}, "HTTP 418: no"),
        ({"error": True, "message": "no"}, "HTTP 418: no"),
        ([{"error": {"message": "no", "status": "INVALID"}}], "HTTP 418: no (INVALID)"),
        ({"message": {"detail": [{"loc": ["body", "seed"], "msg": "Extra"}]}}, "HTTP 418: body seed: Extra"),
        ({"errors": [{"message": "no"}, {"message": "never"}, {"message": "no"}]}, "HTTP 418: no; never"),
        ({"error": {"message": "above", "metadata": {"raw": "below"}}}, "HTTP 418: above; below"),
        ({"why": "no"}, 'HTTP 418: {"why": "no"}'),
        ("no", 'HTTP 418: no'),
        ({"error": {"message": "x" * 900}}, "HTTP 418: " + "x" * 500),
    ],
)  # fmt: skip
def test_the_words_of_a_server_are_shown(body: Any, text: str) -> None:
    assert Trouble.said(json.dumps(body), 418).text == text


def test_how_long_it_asks_to_wait() -> None:
    assert Trouble.said("busy", 429, {"Retry-After": "3600"}) == Trouble(
        "HTTP 429: busy; it asks to wait 3600 s", words="busy", passing=True, limited=True, wait=3600
    )
