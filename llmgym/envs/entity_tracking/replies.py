"""The names that a reply gives for what was asked for, in the order of the question or each beside what it is for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from llmgym.envs.entity_tracking.world import NAMES
from llmgym.verifiers.lists import stated
from llmgym.verifiers.text import folded, without_thoughts

_LONGEST, _LONGER = 300, 100  # characters of an answer that nothing marks as one, and more for each name
_DENIED = re.compile(r"\b(?:not|never|neither|nor|or)\b|n't\b", re.IGNORECASE)


def says(reply: str, answer: Sequence[str], *, asked: Sequence[str], options: Sequence[str]) -> bool:
    """Whether a reply gives the right names and no others.

    Args:
        reply: The reply; thoughts in it do not count.
        answer: The right names, one for each that is asked for.
        asked: What is asked for.
        options: What the names are among. Names of other stories are names, too.
    """
    part = stated(folded(without_thoughts(reply)))
    if len(part) > _LONGEST + _LONGER * len(answer) or _DENIED.search(part):
        return False
    right, things = [name.casefold() for name in answer], [name.casefold() for name in asked]
    found = _pattern(frozenset({*things, *map(str.casefold, options)} - NAMES)).findall(part.casefold())
    if found == right:
        return True
    pairs = [found[::2], found[1::2]] if found and found[0] in things else [found[1::2], found[::2]]
    return len(found) == 2 * len(right) and sorted(zip(*pairs, strict=True)) == sorted(zip(things, right, strict=True))


@lru_cache(maxsize=64)
def _pattern(others: frozenset[str]) -> re.Pattern[str]:
    """Any of the names of stories, and of others that rows have."""
    names = sorted(NAMES | others, key=len, reverse=True)
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, names))})(?!\w)")
