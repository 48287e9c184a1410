"""The parsers of vLLM, for models whose calls nobody else reads."""

from __future__ import annotations

import copy
import functools
import json
import logging
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import Any

from llmgym.codec.chat_template import ChatTemplate
from llmgym.codec.readers import Reader
from llmgym.errors import ConfigError, MissingExtraError
from llmgym.messages import Message, ToolSchema, assistant, scrub, split_reasoning, tool_call

# What nobody may read as a call, though it talks of one.
_PROSE = ("qzsaidqz", 'It sends {"name": "look", "parameters": {}} there.')


class VLLMReader:
    """Reads with a tool parser of vLLM, and with its reasoning parser of the same name where there is one.

    These parsers are all or nothing: a call that is not valid leaves its whole message without calls.
    """

    inner_ends = frozenset[int]()

    def __init__(self, template: ChatTemplate, parser: str) -> None:
        """Read for a template.

        Raises:
            ConfigError: vLLM has no such parser, or it does not fit the tokenizer.
            MissingExtraError: vLLM is not installed.
        """
        try:
            from vllm.reasoning import ReasoningParserManager  # pyright: ignore[reportMissingImports]
            from vllm.tool_parsers import ToolParserManager  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise MissingExtraError(f"codec template:vllm:{parser}", "vllm") from error
        logging.getLogger("vllm.tool_parsers").setLevel(logging.ERROR)  # some warn of every reply
        self.name = f"vllm:{parser}"
        self._template = template
        self._tokenizer = _with_kept_vocabulary(template.tokenizer)
        try:
            self._parser: Any = ToolParserManager.get_tool_parser(parser)
            self._parser(self._tokenizer, [])
        except Exception as error:
            known = ", ".join(parser_names())
            raise ConfigError(
                f"vLLM's tool parser {parser!r} is not there or does not fit: {error}; there are {known}"
            ) from error
        try:
            self._reasoning: Any = ReasoningParserManager.get_reasoning_parser(parser)(self._tokenizer)
        except Exception:  # noqa: BLE001  none of that name, or one for another tokenizer
            self._reasoning = None

    def read(self, ids: list[int], prompt_ids: Sequence[int], tools: Sequence[ToolSchema]) -> Message:
        """See `Reader.read`."""
        text = self._template.tokenizer.decode(ids)
        try:
            request = _request(json.dumps(tools))
            reasoning, rest, _ = self._split(text, prompt_ids, request)
            parsed = self._parser(self._tokenizer, request.tools).extract_tool_calls(rest, request)
            calls = [tool_call(scrub(c.function.name), scrub(c.function.arguments)) for c in parsed.tool_calls]
            return assistant(scrub(parsed.content or ""), *calls, reasoning=reasoning)
        except Exception:  # noqa: BLE001  a parser may trip over what a model samples; the text is still the message
            return {"role": "assistant", "content": text}

    def is_thinking(self, ids: list[int], prompt_ids: Sequence[int]) -> bool:
        """See `Reader.is_thinking`."""
        try:
            return self._split(self._template.tokenizer.decode(ids), prompt_ids, _request("[]"))[2]
        except Exception:  # noqa: BLE001  as above
            return True

    def _split(self, text: str, prompt_ids: Sequence[int], request: Any) -> tuple[str, str, bool]:
        """Reasoning, the rest, and whether it ends in the middle of the reasoning."""
        if self._reasoning is None:
            return split_reasoning(text, self._template.opens(prompt_ids), None)
        reasoning, rest = self._reasoning.extract_reasoning(text, request)
        return scrub(reasoning or "").strip(), rest or "", bool(reasoning) and not rest


def parser_names() -> list[str]:
    """Names of vLLM's tool parsers; none if it is not installed."""
    if find_spec("vllm") is None:
        return []
    from vllm.tool_parsers import ToolParserManager  # pyright: ignore[reportMissingImports]

    return sorted({*ToolParserManager.lazy_parsers, *ToolParserManager.tool_parsers})


def vllm_readers(template: ChatTemplate) -> Iterator[Reader]:
    """A reader for each of vLLM's tool parsers that fits a tokenizer and takes no prose for a call."""
    for name in parser_names():
        try:
            reader = VLLMReader(template, name)
        except ConfigError:
            continue
        said = [reader.read(template.tokenizer.encode(text, add_special_tokens=False), (), ()) for text in _PROSE]
        if not any("tool_calls" in message for message in said):
            yield reader


@functools.lru_cache(64)  # the environments of a run
def _request(tools: str) -> Any:
    """What a parser asks of a request."""
    from vllm.entrypoints.openai.chat_completion.protocol import (  # pyright: ignore[reportMissingImports]
        ChatCompletionRequest,
    )

    asked: Any = {"model": "", "messages": [{"role": "user", "content": ""}], "tools": json.loads(tools) or None}
    return ChatCompletionRequest(**asked)


def _with_kept_vocabulary(tokenizer: Any) -> Any:
    """A tokenizer that makes the table of its tokens once: each parser asks for it, with every reply."""
    kept = copy.copy(tokenizer)
    kept.get_vocab = functools.cache(tokenizer.get_vocab)
    return kept
