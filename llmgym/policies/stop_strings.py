"""Stop strings: where the text of a reply has come to hold one, sampling ends.

Its tokens stay as they were sampled, those of the string among them, in the trajectory and in the loss mask. The
message ends before the string.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llmgym.chat import Sampling
from llmgym.errors import PolicyError
from llmgym.policies.base import Generation

_MARGIN = 32  # tokens that a window has beyond those of a string, since text may begin within a character


class Watch:
    """Tells when a growing reply has come to hold a stop string, at the cost of its last tokens.

    Args:
        tokenizer: The policy's.
        stops: The strings.
    """

    def __init__(self, tokenizer: Any, stops: Sequence[str]) -> None:
        self._tokenizer, self._stops = tokenizer, stops
        self._window = max(len(stop.encode()) for stop in stops) + _MARGIN  # a token has a byte or more

    def sees(self, ids: Sequence[int]) -> bool:
        """Whether a reply ends here."""
        return _find(_text(self._tokenizer, ids[-self._window :]), self._stops) is not None


def before_stop(tokenizer: Any, reply: Generation, sampling: Sampling) -> Sequence[int]:
    """What a message is read from: the tokens of a reply, or of its text before a stop string.

    A string may begin within a token, so tokens are made of that text. They are for reading and go no further.

    Args:
        tokenizer: The policy's.
        reply: What was sampled.
        sampling: What was asked for.

    Raises:
        PolicyError: Neither a stop token nor a stop string is where the policy says that one has ended the reply.
    """
    ids = reply.token_ids
    if not sampling.stop:
        return ids
    ended = len(ids) > 0 and ids[-1] in sampling.stop_token_ids
    text = _text(tokenizer, ids[:-1] if ended else ids)
    start = _find(text, sampling.stop)
    if start is not None:
        return tokenizer.encode(text[:start], add_special_tokens=False)
    if reply.finish_reason == "stop" and not ended:
        raise PolicyError(f"the reply ended, but not with {list(sampling.stop)} or a stop token: ...{text[-40:]!r}")
    return ids


def _text(tokenizer: Any, ids: Sequence[int]) -> str:
    return tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)


def _find(text: str, stops: Sequence[str]) -> int | None:
    """Where the string begins that is the first to be complete, as text grows."""
    found = [(start + len(stop), start) for stop in stops if (start := text.find(stop)) >= 0]
    return min(found, key=lambda ends: ends[0])[1] if found else None
