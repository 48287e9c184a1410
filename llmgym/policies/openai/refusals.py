"""What servers refuse of a request: they say so in words, and are asked otherwise from then on.

Servers differ in the parameters that they know and in the histories that they accept. `otherwise` reads a refusal; what
makes requests and what mends histories obeys it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from llmgym.policies.openai import history
from llmgym.policies.openai.trouble import Trouble, too_long

#: Names of the limit of a reply, the newer first; older servers know the second.
LIMITS = ("max_completion_tokens", "max_tokens")
# Models that take only one of the first two keep the other.
_DROPPED = (
    "top_p", "temperature", "seed", "include", "store", "stop", "top_k", "min_p", "repetition_penalty",
    "presence_penalty", "frequency_penalty",
)  # fmt: skip

# `NAME` is the parameter, perhaps in quotes; between it and the verdict stand a few words of one sentence.
_BEFORE = r"(?<![\w.-])(?:unsupported|unrecognized|unknown|unexpected|extra|additional|deprecated|not supported)"
_GAP = r"(?:[^\w.;{}\n]+\w+){0,6}?[^\w.;{}\n]+"
_VERDICT = (
    r"(?:does not support|do not support|not supported|unsupported|not permitted|not allowed|not accepted|deprecated"
    r"|not recognized|unexpected|cannot both be|cannot be specified|cannot be used)"
)
_PARAMETER = rf"{_BEFORE}{_GAP}NAME(?![\w.-])|(?<![\w.-])NAME(?:[^\w.;{{}}\n]+[a-z_]+){{0,4}}?[^\w.;{{}}\n]+{_VERDICT}"
_OTHER_WORDS = {"include": r"|encrypted content is not (?:supported|available)"}
_FORBIDDEN = r"|extra_forbidden[^\]}]{0,60}(?<![\w.-])NAME(?![\w.-])"
_REFUSES = {
    name: re.compile((_PARAMETER + _FORBIDDEN).replace("NAME", name) + _OTHER_WORDS.get(name, ""), re.IGNORECASE)
    for name in (*LIMITS, *_DROPPED)
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
    for name in (*LIMITS, *_DROPPED):
        if name in request and (by_code == name or (by_code is None and _REFUSES[name].search(trouble.words))):
            return None if name == LIMITS[1] else name  # no third name for the limit, and none is no answer
    found = next((name for name, said in _HISTORY.items() if name not in refused and said.search(trouble.words)), None)
    if found is None and history.NULL_CONTENT not in refused and _HISTORY[history.EMPTY_CONTENT].search(trouble.words):
        return history.NULL_CONTENT  # Bedrock takes neither beside calls
    return found


def consequence(refusal: str, model: str) -> str:
    """A line for the log: what is done about a refusal."""
    if refusal == LIMITS[0]:
        return f"{model} knows no {refusal}: the limit of a reply is sent as {LIMITS[1]}"
    if refusal in _DROPPED:
        return f"{model} does not take {refusal}: it is left out, and the server's own default holds"
    return f"{model} does not take {refusal}: earlier messages are sent in another form"
