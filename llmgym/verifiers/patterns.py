"""Patterns: regular expressions of a task's author on text of a model, in bounded time.

`re` has no deadline, and nested repetitions take it seconds on a few dozen characters; the `regex` package has one.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal, get_args

from llmgym.errors import MissingExtraError, TaskError
from llmgym.verifiers.base import MAX_ANSWER, Verdict, correct, too_long, unscored, wrong
from llmgym.verifiers.text import without_thoughts

#: Where a pattern must match: somewhere in the reply, all of it, or nowhere.
Mode = Literal["search", "whole", "absent"]

_SECONDS = 0.2  # for one reply


def check(answer: str, reference: str, *, mode: Mode = "search", ignore_case: bool = False) -> Verdict:
    """Whether a reply matches a regular expression.

    Args:
        answer: The reply; thoughts in it do not count.
        reference: The expression, in the syntax of the `regex` package, which has that of `re`. "^" and "$" stand for
            the ends of the reply; write "(?m)" for those of lines.
        mode: "search", "whole" or "absent".
        ignore_case: Whether letters of both cases are the same.

    Raises:
        ValueError: There is no such mode.
        MissingExtraError: `regex` is not there.
    """
    if mode not in get_args(Mode):
        raise ValueError(f"unknown mode {mode!r}; there is {', '.join(get_args(Mode))}")
    try:
        pattern = _compiled(reference, ignore_case)
    except ValueError as error:
        return unscored("invalid_reference", str(error))
    said = without_thoughts(answer).strip()
    if len(said) > MAX_ANSWER:
        return too_long(len(said))
    try:
        match = (pattern.fullmatch if mode == "whole" else pattern.search)(said, timeout=_SECONDS)
    except TimeoutError:
        return wrong(f"matching takes more than {_SECONDS} s", "timeout")
    return correct() if (match is None) == (mode == "absent") else wrong()


def prove(reference: str, *, ignore_case: bool = False) -> None:
    """Prove that an expression is one.

    Raises:
        TaskError: It is not.
    """
    try:
        _compiled(reference, ignore_case)
    except ValueError as error:
        raise TaskError(f"the pattern {reference!r:.100} is no regular expression: {error}") from None


@lru_cache(maxsize=512)
def _compiled(pattern: str, ignore_case: bool) -> Any:
    try:
        import regex
    except ModuleNotFoundError:
        raise MissingExtraError("matching patterns in bounded time", "verifiers") from None
    try:
        return regex.compile(pattern, regex.IGNORECASE if ignore_case else 0)
    except (regex.error, TypeError, RecursionError, OverflowError) as error:
        raise ValueError(str(error) or type(error).__name__) from None
