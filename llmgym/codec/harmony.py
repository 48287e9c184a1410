"""Harmony, which gpt-oss speaks: a turn is several messages, each with a channel, and a call is one with a recipient.

The format is OpenAI's (https://cookbook.openai.com/articles/openai-harmony). Models write the recipient behind the
channel, chat templates before it; both are read. It is read from tokens, so that none is forged by text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile

from llmgym.codec.tokenizer import FastTokenizer
from llmgym.messages import Message, ToolSchema, assistant, scrub, tool_call

_TOKENS = ("<|start|>", "<|channel|>", "<|message|>", "<|end|>", "<|call|>")
_CHANNEL = re.compile(r"<\|channel\|>\s*(\w+)")
_RECIPIENT = re.compile(r"\bto=([^\s<]+)")


@dataclass(frozen=True, slots=True)
class _Part:
    """A message of a turn: what stands before and after `<|message|>`, and whether it is complete."""

    header: str
    body: str
    complete: bool

    @property
    def recipient(self) -> str:
        found = _RECIPIENT.search(self.header)
        return found[1].removeprefix("functions.") if found else ""

    @property
    def is_thought(self) -> bool:
        channel = _CHANNEL.search(self.header)
        return not self.recipient and channel is not None and channel[1] == "analysis"


class HarmonyReader:
    """Reads turns of messages in channels.

    Attributes:
        name: "harmony".
        inner_ends: Tokens that end a message within a turn, and no turn.
    """

    name = "harmony"

    def __init__(self, tokenizer: FastTokenizer) -> None:
        """Read for a tokenizer that `speaks` harmony."""
        self._tokenizer = tokenizer
        self._start, _, self._message, end, call = (tokenizer.added[token] for token in _TOKENS)
        self._ends = (end, call)
        self.inner_ends = frozenset({end})

    @staticmethod
    def speaks(tokenizer: FastTokenizer) -> bool:
        """Whether a tokenizer has the tokens."""
        return all(token in tokenizer.added for token in _TOKENS)

    def read(self, ids: list[int], prompt_ids: Sequence[int], tools: Sequence[ToolSchema]) -> Message:
        """See `Reader.read`: messages to a recipient are calls, those of the channel `analysis` reasoning."""
        parts = list(self._parts(ids, prompt_ids))
        content = "\n".join(part.body for part in parts if part.body and not part.recipient and not part.is_thought)
        calls = [tool_call(part.recipient, part.body.strip()) for part in parts if part.recipient]
        return assistant(content, *calls, reasoning="\n".join(p.body for p in parts if p.is_thought).strip())

    def is_thinking(self, ids: list[int], prompt_ids: Sequence[int]) -> bool:
        """See `Reader.is_thinking`; a turn that ends between its messages, or in a header, is not over either."""
        last = next(reversed(list(self._parts(ids, prompt_ids))), None)
        return last is None or last.complete or last.is_thought or not last.header

    def _parts(self, ids: Sequence[int], prompt_ids: Sequence[int]) -> Iterator[_Part]:
        """The messages of a turn, of which the prompt may have begun the first."""
        begun = list(takewhile(lambda index: index != self._start, reversed(prompt_ids)))[::-1]
        if len(begun) == len(prompt_ids):
            begun = []
        header: list[int] = []
        body: list[int] | None = None
        for index in [*begun, *ids]:
            if index == self._start or index in self._ends:
                if body is not None:
                    yield self._part(header, body, complete=True)
                header, body = [], None
            elif index == self._message and body is None:
                body = []
            else:
                (header if body is None else body).append(index)
        if body is not None:
            yield self._part(header, body, complete=False)
        elif header:  # cut in the middle, or text that is no message
            text = self._text(header).removeprefix("assistant")
            yield _Part("", "" if _CHANNEL.search(text) else text, complete=False)

    def _part(self, header: list[int], body: list[int], complete: bool) -> _Part:
        return _Part(self._text(header), self._text(body), complete)

    def _text(self, ids: list[int]) -> str:
        return scrub(self._tokenizer.decode(ids))
