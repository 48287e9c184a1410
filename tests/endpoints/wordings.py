"""How servers say that a conversation is too long, and that the reply alone is, which is a wrong setting."""

from __future__ import annotations

from typing import Any

from tests.endpoints.server import reply
from tests.endpoints.shapes import CALL, FULL, LOST, Shape, calling

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

REPLY_ALONE = [
    "This model's maximum context length is 4096 tokens. However, you requested 8100 tokens (100 in the messages, "
    "8000 in the completion). Please reduce the length of the messages or completion.",
    "You passed 100 input tokens and requested 8000 output tokens. However, the model's context length is only "
    "8,000 tokens.",
    "input length and `max_tokens` exceed context limit: 100 + 8000 > 8000, decrease input length or `max_tokens`",
    "`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 100 `inputs` tokens and 8000 `max_new_tokens`",
    "max_tokens (8000) exceeds the context window of 4096",
]

#: Where it is no 400.
STATUS = {
    "Anthropic, bytes": 413,
    "TGI": 422,
    "TGI, older": 422,
    "llama.cpp, half-way": 500,
    "Ollama": 500,
    "Ollama, input": 500,
    "MiniMax": 200,
    "a gateway": 500,
}


def grown(who: str, said: Any) -> Shape:
    """A conversation that is too long with the result of its first call."""
    too_long = reply({"error": said}, STATUS.get(who, 400))
    return Shape(f"too long: {who}", f"{who}, its own words", CALL, FULL, calling("c1"), after=too_long)


def misfit(said: str) -> Shape:
    """A reply that fits into no context."""
    return Shape(f"the reply alone: {said[:40]}", "the same servers", reply({"message": said}, 400), LOST,
                 said="lower max_output_tokens", sampling={"max_output_tokens": 8000})  # fmt: skip


WORDINGS = [*(grown(who, said) for who, said in TOO_LONG), *map(misfit, REPLY_ALONE)]
