"""Which messages of a program are the same as ones that it has sent, or been sent, before.

Programs write what they got in their own way: they dump arguments again, join or split texts, drop reasoning and ids,
and move marks for caches about. So two messages are one where role, text and calls are.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import orjson

from llmgym.messages import Message

_SIZE = 16  # bytes
ROOT = bytes(_SIZE)  # before the first message


def identity(message: Message) -> bytes:
    """What is the same for all forms of a message: its role, its text without white space around it, and its calls."""
    calls = [
        [call["function"]["name"], _canonical(call["function"]["arguments"])] for call in message.get("tool_calls", ())
    ]
    said = [message["role"], message["content"].strip(), calls]
    return blake2b(orjson.dumps(said), digest_size=_SIZE).digest()


def chained(before: bytes, following: bytes) -> bytes:
    """The identity of a conversation that a message follows."""
    return blake2b(before + following, digest_size=_SIZE).digest()


def _canonical(arguments: str) -> Any:
    try:
        return orjson.dumps(orjson.loads(arguments), option=orjson.OPT_SORT_KEYS).decode()
    except orjson.JSONDecodeError:
        return arguments
