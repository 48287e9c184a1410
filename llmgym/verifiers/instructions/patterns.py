"""Words and markers of tasks: as they are written, or as regular expressions, which is how the original reads them."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from llmgym.errors import MissingExtraError

if TYPE_CHECKING:
    import regex

#: Seconds that one search may take.
LIMIT = 0.2


@lru_cache(maxsize=1024)
def compile_pattern(source: str, *, case: bool = False) -> re.Pattern[str] | regex.Pattern[str]:
    """A pattern, which has a deadline where it repeats anything.

    Args:
        source: The regular expression.
        case: Whether upper and lower case differ.

    Raises:
        ValueError: It is none.
        MissingExtraError: It repeats something, and `regex` is not installed.
    """
    if not any(mark in source for mark in "*+?{("):
        try:
            return re.compile(source, 0 if case else re.IGNORECASE)
        except re.error as error:
            raise ValueError(f"{source!r} is no regular expression: {error}") from None
    try:
        import regex
    except ImportError:
        raise MissingExtraError("patterns that repeat something", "verifiers") from None
    try:
        return regex.compile(source, 0 if case else regex.IGNORECASE)
    except regex.error as error:
        raise ValueError(f"{source!r} is no regular expression: {error}") from None


def count_matches(source: str, text: str, *, case: bool = False) -> int:
    """How often a pattern matches, from left to right.

    Raises:
        TimeoutError: It takes too long.
    """
    pattern = compile_pattern(source, case=case)
    found = pattern.finditer(text) if isinstance(pattern, re.Pattern) else pattern.finditer(text, timeout=LIMIT)
    return sum(1 for _ in found)


def count_word(word: str, text: str) -> int:
    """How often a word or phrase stands in a text as it is written, in any case, and not within another word."""
    return len(re.findall(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE))
