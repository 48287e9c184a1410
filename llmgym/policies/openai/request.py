"""What is asked for, in the words that the server takes.

Servers differ in the parameters that they know and in the histories that they accept, and say so in a refusal. What one
has refused is left out or put otherwise from then on; `otherwise` reads it, `make_request` obeys it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from typing import Any

from llmgym.chat import Sampling
from llmgym.messages import Message, ToolSchema
from llmgym.policies.openai import history
from llmgym.policies.openai.history import as_sent
from llmgym.policies.openai.trouble import Trouble, too_long

_LIMITS = ("max_completion_tokens", "max_tokens")  # the newer name first; older servers know the second
_DROPPED = ("top_p", "temperature", "seed")  # top_p first: models that take only one of the two keep the other

# `NAME` is the parameter, perhaps in quotes; between it and the verdict stand a few words of one sentence.
_BEFORE = r"(?<![\w.-])(?:unsupported|unrecognized|unknown|unexpected|extra|additional|deprecated|not supported)"
_GAP = r"(?:[^\w.;{}\n]+\w+){0,6}?[^\w.;{}\n]+"
_VERDICT = (
    r"(?:does not support|do not support|not supported|unsupported|not permitted|not allowed|not accepted|deprecated"
    r"|not recognized|unexpected|cannot both be|cannot be specified|cannot be used)"
)
_PARAMETER = rf"{_BEFORE}{_GAP}NAME(?![\w.-])|(?<![\w.-])NAME(?:[^\w.;{{}}\n]+[a-z_]+){{0,4}}?[^\w.;{{}}\n]+{_VERDICT}"
_FORBIDDEN = r"|extra_forbidden[^\]}]{0,60}(?<![\w.-])NAME(?![\w.-])"
_REFUSES = {
    name: re.compile((_PARAMETER + _FORBIDDEN).replace("NAME", name), re.IGNORECASE) for name in (*_LIMITS, *_DROPPED)
}
_CODES = re.compile(r"^(?:unsupported_parameter|unsupported_value|unknown_parameter)$", re.MULTILINE)

_HISTORY = {
    name: re.compile("|".join(said), re.IGNORECASE)
    for name, said in {
        history.NULL_CONTENT: [
            r"content type: <nil>",
            r"content\b[^.;\n]{0,80}?(?:valid string|must be a string|(?:is|be|got|not|type) (?:null|none|nil))",
            r"(?:null|none|nil)\b[^;\n]{0,60}?\bcontent\b",
        ],
        history.EMPTY_CONTENT: [
            r"non-empty content|must be non-empty|non-whitespace text|at least one parts? field",
            r"(?:content|messages?|assistant'?)\b[^.;\n]{0,80}?(?:must not|can ?not|may not|should not) be empty",
            r"content\b[^;\n]{0,80}? is empty",
        ],
        history.NO_REASONING: [
            r"reasoning_content\W[^.;\n]{0,80}?(?:missing|must be passed|is required)",
            r"(?:must include|missing)\W+(?:the )?\W?reasoning_content",
        ],
        history.SEVERAL_CALLS: [r"only supports? single tool.?calls?"],
    }.items()
}


def make_request(
    model: str, messages: Sequence[Message], tools: Sequence[ToolSchema], sampling: Sampling, refused: Collection[str]
) -> dict[str, Any]:
    """The body of a request.

    Args:
        model: Model, as the server calls it.
        messages: The conversation, which stays as it is.
        tools: What may be called.
        sampling: How to sample.
        refused: What the server has refused.
    """
    limit = _LIMITS[1] if _LIMITS[0] in refused else _LIMITS[0]
    asked: dict[str, Any] = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        limit: sampling.max_tokens,
        "seed": sampling.seed,
    }
    request: dict[str, Any] = {
        "model": model,
        "messages": as_sent(messages, {tool["function"]["name"] for tool in tools}, refused),
        **{name: value for name, value in asked.items() if value is not None and name not in refused},
    }
    if tools:
        request["tools"] = list(tools)
    return request


def otherwise(
    trouble: Trouble, request: dict[str, Any], refused: frozenset[str], make: Callable[[frozenset[str]], dict[str, Any]]
) -> tuple[dict[str, Any], frozenset[str]]:
    """Put a request otherwise, if the server refuses something in it that can be.

    Args:
        trouble: What the server said.
        request: What it was asked.
        refused: What it had refused before, and was not asked again.
        make: Makes the request for what is refused.

    Returns:
        What to ask and what is refused by now; the same request where there is no other way.
    """
    if too_long(trouble):
        return request, refused
    while (refusal := _refusal(trouble, request, refused)) is not None:
        refused |= {refusal}
        if (again := make(refused)) != request:
            return again, refused
    return request, refused


def _refusal(trouble: Trouble, request: dict[str, Any], refused: frozenset[str]) -> str | None:
    by_code = trouble.param if _CODES.search(trouble.words) else None
    for name in (*_LIMITS, *_DROPPED):
        if name in request and (by_code == name or (by_code is None and _REFUSES[name].search(trouble.words))):
            return None if name == _LIMITS[1] else name  # no third name for the limit, and none is no answer
    found = next((name for name, said in _HISTORY.items() if name not in refused and said.search(trouble.words)), None)
    if found is None and history.NULL_CONTENT not in refused and _HISTORY[history.EMPTY_CONTENT].search(trouble.words):
        return history.NULL_CONTENT  # Bedrock takes neither beside calls
    return found


def consequence(refusal: str, model: str) -> str:
    """A line for the log: what is done about a refusal."""
    if refusal == _LIMITS[0]:
        return f"{model} knows no {refusal}: the limit of a reply is sent as {_LIMITS[1]}"
    if refusal in _DROPPED:
        return f"{model} does not take {refusal}: it is left out, and the server's own default holds"
    return f"{model} does not take {refusal}: earlier messages are sent in another form"
