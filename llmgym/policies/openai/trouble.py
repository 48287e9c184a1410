"""What a server says where it gives no reply, and what that means.

Servers agree on hardly any status: a conversation that outgrew the model is 400, 413, 422 or 500, and 400 is also a
wrong parameter. What they agree on is to say it in words, so the words decide.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from llmgym.policies.openai import waits

_LONGEST_SHOWN = 500
_LONGEST_READ = 4000  # an error may repeat the whole request
_PASSING = frozenset({408, 409, 425})
_LIMITED = frozenset({429, 529})
_UNPAID = 402
_SPENT = re.compile(r"^(?:insufficient_quota|billing_\w+|credit_\w+)$|credit balance is too low", re.MULTILINE)
_NEVER_FITS = re.compile(r"^request too large\b", re.IGNORECASE | re.MULTILINE)
_NO_HEADERS: Mapping[str, str] = {}
_BUSY = re.compile("overloaded|rate_limit|unavailable|server_error", re.IGNORECASE)
_MARKUP = re.compile(r"<(style|script)\b.*?</\1>|<[^>]*>", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why there is no reply.

    Attributes:
        text: For people.
        words: What the server itself said, with its codes; "" where it did not say anything.
        param: The parameter that it blames, where it names one.
        passing: Trying again later can help.
        limited: Going slower helps: the server has more to do than it can, or than it will for us.
        spent: There is no money left, or no quota, and none comes by waiting.
        wait: Seconds that the server asks to wait.
    """

    text: str
    words: str = ""
    param: str | None = None
    passing: bool = False
    limited: bool = False
    spent: bool = False
    wait: float | None = None

    @classmethod
    def said(cls, text: str, status: int, headers: Mapping[str, str] = _NO_HEADERS) -> Trouble:
        """Read what came instead of a reply.

        Args:
            text: Body of the answer.
            status: Of the answer.
            headers: Of the answer.
        """
        try:
            body = json.loads(text)
        except (ValueError, RecursionError):
            body = None
        sentences, codes = _words(body)
        shown = "; ".join(dict.fromkeys(sentences)) or _plain(text) or "no words"
        code = next((code for code in codes if code != "error" and not code.isdigit()), "")
        busy = limited = False
        if status < 400:  # an error in a good answer has its status inside, if anywhere
            status = next((int(code) for code in codes if re.fullmatch("[45][0-9][0-9]", code)), status)
            busy = any(_BUSY.search(code) for code in codes)
            limited = "rate_limit_exceeded" in codes
        words = "\n".join([*sentences, *codes] or [_plain(text)])[:_LONGEST_READ]
        wait = waits.asked(headers, text[:_LONGEST_READ] if limited or status in _LIMITED else "")
        spent = status == _UNPAID or (status < 500 and _SPENT.search(words) is not None)
        limited |= status in _LIMITED or (status >= 500 and wait is not None)
        limited &= not spent and _NEVER_FITS.search(words) is None
        return cls(
            f"HTTP {status}: {shown[:_LONGEST_SHOWN]}{f' ({code})' if code and code not in shown else ''}"
            f"{'' if wait is None else f'; it asks to wait {wait:g} s'}",
            words,
            _blamed(body),
            passing=limited or spent or busy or status >= 500 or status in _PASSING,
            limited=limited,
            spent=spent,
            wait=wait,
        )


def _plain(text: str) -> str:
    """The text of an error page."""
    return " ".join(_MARKUP.sub(" ", text[:20000]).split())[:200]


def _words(body: Any) -> tuple[list[str], list[str]]:
    """Sentences and codes of an error in any of the usual forms, those of a provider behind a gateway too."""
    sentences: list[str] = []
    codes: list[str] = []
    for node in _nodes(body):
        if isinstance(node, str):
            sentences.append(node.strip())
            continue
        codes += [str(node[key]) for key in ("code", "type", "error_type", "status") if node.get(key)]
        if isinstance(said := node.get("msg"), str):  # pydantic's form
            place = node.get("loc")
            where = " ".join(map(str, cast("list[Any]", place))) if isinstance(place, list) else ""
            sentences.append(f"{where}: {said}" if where else said)
    return [sentence for sentence in sentences if sentence], codes


_TELLING = ("message", "error", "errors", "detail", "details", "error_description", "metadata", "raw")


def _nodes(body: Any, depth: int = 0) -> Iterator[dict[str, Any] | str]:
    """Every mapping and text of an error that says something, outermost first."""
    if depth > 6:
        return
    if isinstance(body, str):
        if body.lstrip().startswith(("{", "[")):
            try:
                body = json.loads(body)
            except (ValueError, RecursionError):
                yield body
                return
        else:
            yield body
            return
    if isinstance(body, list):
        for item in cast("list[Any]", body)[:20]:
            yield from _nodes(item, depth + 1)
    elif isinstance(body, dict):
        node = cast("dict[str, Any]", body)
        yield node
        for key in _TELLING:
            yield from _nodes(node.get(key), depth + 1)


def _blamed(body: Any) -> str | None:
    found = (node.get("param") for node in _nodes(body) if isinstance(node, dict))
    return next((param for param in found if isinstance(param, str) and param), None)


# How servers say that the conversation is too long; a number or a comparison is asked for wherever the bare words could
# stand in another complaint.
_TOO_LONG = re.compile(
    "|".join(
        [
            # codes: OpenAI, Azure, Cerebras; llama.cpp; Anthropic; z.ai
            r"context_(?:length|window)_exceeded|exceed_context_size|request_too_large|model_context_window_exceeded",
            # OpenAI, Azure, vLLM, DeepSeek, OpenRouter, Fireworks
            r"maximum context (?:length|limit|size|window) (?:is|of) [\d,]+",
            # Mistral, SGLang, LiteLLM
            r"[\d,]+ maximum context length",
            r"(?:exceed\w*|(?:long|great|larg)er than|too (?:large|long) for)\W+(?:[\w'’]+\W+){0,6}?"
            r"context (?:length|limit|size|window)",
            # MiniMax, llama.cpp, Cloudflare, gateways
            r"context (?:length|limit|size|window)\b[^.;\n]{0,60}?\b(?:exceed|is full)",
            r"[\d,]+ (?:input |prompt )?tokens\b[^.;\n]{0,60}?context (?:length|limit|size|window) (?:is|of) [\d,]+",
            # vLLM, newer
            r"context length is only [\d,]+|longer than the maximum model length",
            r"max_tokens must be at least 1, got (?:0|-\d)",  # what a full context leaves: llmgym asks for one or more
            # Anthropic, Fireworks, Bedrock, Ollama
            r"\b(?:prompt|input|inputs|conversation) (?:is|are) too long\b|\bprompt too long\b",
            # Gemini; Copilot
            r"(?:input|prompt) token (?:count|length)\b[^\n]{0,80}?\bexceed",
            # Azure; Bedrock; Cohere
            r"\binput tokens exceed|tokens exceeds? the model|too many input tokens",
            r"total number of tokens[^\n]{0,80}?\bexceed",
            # xAI
            r"maximum prompt length is [\d,]+",
            # TGI, Hugging Face, Together
            r"\btokens`?(?: \([\d,]+\))? \+ `?max_(?:new_)?tokens`?(?: \([\d,]+\))? must be",
            r"`?inputs`? must have less than [\d,]+ tokens",
            # SGLang, TensorRT-LLM, OpenRouter
            r"\b(?:prompt|input|sequence) length\b[^\n]{0,120}?\bexceed",
            # Groq, OpenAI, Cerebras, vLLM
            r"reduce the length of (?:the |your )?(?:messages|prompt|input|conversation)",
            r"current length is [\d,]+ while limit is",
            # Moonshot; Alibaba; Zhipu; Volcengine; LM Studio
            r"exceeded model token limit|range of input length should be|prompt exceeds max\w* length",
            r"exceed max message tokens|loaded with context length of only [\d,]+",
            # OpenAI, of a message of more than ten million characters
            r"'messages\[\d+\]\.content\S*: string too long",
        ]
    ),
    re.IGNORECASE,
)
# The same words in complaints of another kind: a limit per minute is no limit of the model.
_NOT_TOO_LONG = re.compile(r"rate.?limit|tokens per min|\bTPM\b|too many requests|throttl|quota", re.IGNORECASE)

_LIMIT = re.compile(r"(?:context length is(?: only)?|must be <=|\d >|context window of) ([\d,]+)", re.IGNORECASE)
_PROMPT = re.compile(
    r"([\d,]+) (?:in the messages|in your prompt|(?:tokens )?of text input|input tokens|`inputs` tokens)"
    r"|context limit: ([\d,]+) \+",
    re.IGNORECASE,
)
_REPLY = re.compile(r"\bmax_(?:completion_|output_|new_)?tokens\b(?! must be at least 1)", re.IGNORECASE)
_CONVERSATION = re.compile(r"\b(?:prompt|inputs?|messages?|conversation|requested)\b", re.IGNORECASE)


def too_long(trouble: Trouble) -> bool:
    """Whether the server says that the conversation does not fit into the model's context."""
    return _TOO_LONG.search(trouble.words) is not None and _NOT_TOO_LONG.search(trouble.words) is None


def reply_alone_too_long(trouble: Trouble, max_tokens: int) -> bool:
    """Whether it is the limit of a reply that does not fit: no conversation ever would, and the run is set up wrong.

    Args:
        trouble: One of which `too_long` is true.
        max_tokens: Tokens of reply that were asked for.
    """
    limit, prompt = _LIMIT.search(trouble.words), _PROMPT.search(trouble.words)
    if limit is None or prompt is None:
        return _REPLY.search(trouble.words) is not None and _CONVERSATION.search(trouble.words) is None
    return _number(prompt[1] or prompt[2]) < _number(limit[1]) <= max_tokens


def _number(text: str) -> int:
    return int(text.replace(",", "") or 0)
