"""Replies as text, where no codec has their tokens: without end tokens, with their reasoning and calls told apart."""

from __future__ import annotations

import re

from llmgym.messages.calls import OPEN, parse_tool_calls
from llmgym.messages.message import Message, assistant, scrub
from llmgym.messages.reasoning import split_reasoning

# How tokenizers spell the tokens that end a turn or fill a batch. Tags of answers and calls, `</answer>`, are none.
_END = re.compile(
    r"""<[|｜][^<>]*>                                          # <|im_end|>, <｜end▁of▁sentence｜>, <|turn>
      | <[^<>|｜/\s]*[|｜]>                                    # <turn|>
      | \[\|[^\[\]|]*\|\]                                     # [|endofturn|]
      | </?(?:longcat_)?s> | </assistant>                     # </s>
      | <(?:\w+[:_])?(?:eo[a-z]|pad|bos|unk)>                 # <eos>, <seed:eos>, <pad>
      | <end[_-]?of[_-]?\w+> | <end_\w+> | <\w+_end>          # <end_of_turn>, <end_of_utterance>, <im_end>
      | <(?:special|reserved|unused|extra_id)_?(?:token_)?\d+> # <SPECIAL_12>, <extra_id_1>
      | \[(?:pad|eos|bos|sep|cls|unk)\] | \[e~\[              # [PAD]
    """,
    re.VERBOSE | re.IGNORECASE,
)


def read_reply(text: str, opened: bool | None = None) -> Message:
    """Read text as models write it: the one reading of replies that come without tokens.

    Tokens that end it are no part of it. `<think>...</think>` at its beginning, or all up to a `</think>` that nothing
    opened, is reasoning. In the rest `<tool_call>` blocks are calls. Reasoning that nothing closes goes to the first
    call after it, as engines and codecs read it, or to the end: then there is no answer.

    Args:
        text: What the model wrote.
        opened: Whether the prompt had opened `<think>` already; None where that is not known.

    Returns:
        The message, with text free of lone surrogates.
    """
    reasoning, rest, _ = split_reasoning(_without_end(scrub(text)), opened, OPEN)
    content, calls = parse_tool_calls(rest)
    return assistant(content, *calls, reasoning=reasoning)


def _without_end(text: str) -> str:
    """The text without the tokens that end it, which may be thousands of padding."""
    end = last = len(text)
    while True:
        while last and text[last - 1].isspace():
            last -= 1
        start = text.rfind("<" if text.endswith(">", 0, last) else "[", 0, max(last - 1, 0))
        if start < 0 or not _END.fullmatch(text, start, last):
            return text[:end]
        end = last = start
