"""Texts that have gone wrong as texts: ends that repeat, and refusals."""

from __future__ import annotations

import re
from collections.abc import Sequence

#: From how many repeated words on the end of a text is a loop. Of 1,000 planted ones 94% were caught at that, and of
#: 1,000 ordinary texts none.
LOOP = 20

_PERIOD, _LETTERS = 16, 64  # words or letters, at most
_SEEN = 4096  # characters at the end of a text that are looked at
_WORD = 24  # characters of a word on average, from which a text has no words, but letters


def tail_repeat(text: str) -> int:
    """How many words at the end of a text repeat those before them, by the period that gives most.

    Of texts without spaces, and of scripts that have none, it is letters.
    """
    end = text[-_SEEN:]
    words: Sequence[str] = end.split()
    longest = _PERIOD
    if len(end) > _WORD * len(words):
        words, longest = end, _LETTERS
    last, most = len(words) - 1, 0
    if last < 1 or words[-1] not in words[-1 - longest : -1]:
        return 0
    for period in range(1, min(longest, last) + 1):
        count = 0
        while count + period <= last and words[last - count] == words[last - count - period]:
            count += 1
        most = max(most, count)
    return most


_HELP = (
    r"(?:help|assist|comply|provide|fulfil|fulfill|answer|continue|support|engage|create|generate|discuss|give|"
    r"do that|do this|participate|complete this)"
)
_REFUSAL = re.compile(
    rf"\W*(?:(?:i['’]?m|i am|we['’]?re) (?:very |so |really )?sorry\b|sorry\b|i apologi[sz]e\b|unfortunately\b)?"
    rf"[\s,.;:]*(?:but )?(?:as an ai(?: language model| assistant)?\b[\s,]*)?"
    rf"i(?:['’]m| am)? (?:(?:can(?:['’]t|not| not)|won['’]t|will not|must decline to|unable to|not able to|"
    rf"not comfortable(?: to)?)) {_HELP}",
    re.IGNORECASE,
)
_START = 300  # characters in which a refusal shows


def is_refusal(text: str) -> bool:
    """Whether a text begins as English refusals do."""
    return _REFUSAL.match(text[:_START]) is not None
