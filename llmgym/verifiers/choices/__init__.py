"""Choices: the lettered option that a reply chooses, against the one that is right."""

from __future__ import annotations

from llmgym.errors import TaskError
from llmgym.verifiers.base import MAX_ANSWER, Verdict, correct, too_long, unscored, wrong
from llmgym.verifiers.choices.extraction import BOXED_OR_TEXT, GRADINGS, extract, extract_pattern
from llmgym.verifiers.choices.names import Options
from llmgym.verifiers.text import without_thoughts

__all__ = ["BOXED_OR_TEXT", "GRADINGS", "Options", "check", "extract", "extract_pattern", "prove"]


def check(answer: str, reference: str, *, options: Options, grading: str = "answer") -> Verdict:
    """Whether a reply chooses the right option.

    Args:
        answer: The reply; thoughts in it do not count.
        reference: The letter of the right option.
        options: The text of each option by its letter, such as {"A": "Rome", "B": "Paris"}.
        grading: How the choice is read: "boxed", "answer" or "lenient", as `MultipleChoice` has it.

    Raises:
        ValueError: There is no such grading.
    """
    if grading not in (*GRADINGS, BOXED_OR_TEXT):
        raise ValueError(f"unknown grading {grading!r}; there is {', '.join(GRADINGS)}")
    if fault := _fault(reference, options):
        return unscored("invalid_reference", fault)
    said = without_thoughts(answer)
    if len(said) > MAX_ANSWER:
        return too_long(len(said))
    chosen = extract(said, options, grading)
    if chosen is None:
        return wrong("no option, or not clearly one", "no_answer")
    return correct(f"chooses {chosen}") if chosen == reference else wrong(f"chooses {chosen}")


def prove(reference: str, *, options: Options) -> None:
    """Prove that a reference can be chosen.

    Raises:
        TaskError: It cannot.
    """
    if fault := _fault(reference, options):
        raise TaskError(f"the reference {reference!r}: {fault}")


def _fault(reference: str, options: Options) -> str:
    """What is wrong with a reference; "" where nothing is."""
    if strange := [letter for letter in options if not (len(letter) == 1 and "A" <= letter <= "Z")]:
        return f"options have capital letters, not {strange[0]!r}"
    return "" if reference in options else f"there are the options {', '.join(options) or 'none'}"
