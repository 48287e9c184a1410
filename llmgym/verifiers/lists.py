"""Lists: the items that a reply gives, in any order, against those that are right."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, get_args

from llmgym.errors import TaskError
from llmgym.verifiers.base import MAX_ANSWER, Verdict, correct, graded, too_long, unscored, wrong
from llmgym.verifiers.numbers.statements import below_heading, statements
from llmgym.verifiers.strings import normalised
from llmgym.verifiers.text import boxes, folded, without_thoughts

#: How lists are compared: all items and no others, or by the harmonic mean of the shares of them that are right.
Mode = Literal["exact", "f1"]

_MARK = re.compile(r"^\s*(?:[-*•+]|\d{1,3}[.)])\s+", re.MULTILINE)
_MARKDOWN = " \t*_`"
_BETWEEN = re.compile(r"[,;\n]\s*(?:(?:and|&)\s+)?|\s+(?:and|&)\s+")
_AROUND = re.compile(r"\\(?:text|mathrm|textbf)\s?\{([^{}]*)\}|\\[{}]|[\[\]{}]")
_FRAME = re.compile(r"^\s*```\w*\s*$|^[^\n]*:\s*$", re.MULTILINE)  # fences, and what introduces a list
_LONGEST_NONE, _LONGEST, _LONGER = 300, 600, 100  # characters: of "there is none", of a list, and more for each item
_ARTICLE = re.compile(r"^(?:the|an?)\s+")
_NONE = re.compile(
    r"\b(?:none|nothing|nowhere|absent|missing|unknown|empty|no (?:such )?\w+|isn't|"
    r"(?:not|never|n't) (?:\w+ ){0,3}?(?:found|there|given|mentioned|stated|appear|present|contain\w*|have|in the text"
    r"|known|exist|listed|specified|mention\w*|tell|told|say|provided|available))\b|^\s*(?:\[\s*\]|n/a\b)",
    re.IGNORECASE,
)


def check(
    answer: str,
    reference: Sequence[str],
    *,
    item: str | None = None,
    mode: Mode = "exact",
    most: int | None = None,
) -> Verdict:
    r"""Compare the items that a reply gives with the right ones, in any order.

    The last `\boxed{...}` counts, or what follows the last "Answer:" or "the answer is", else the whole reply. Where
    the reference is empty, the reply must say so ("none", "not found", an empty list).

    Args:
        answer: The reply; thoughts in it do not count.
        reference: The right items; case, articles and marks around them do not matter.
        item: A regular expression of what all items look like, so that words around them do not count; without it,
            items stand between commas, lines or "and".
        mode: How the lists are compared.
        most: Items that may be given; with more the reply earns nothing. By default twice the right ones, and two.

    Raises:
        ValueError: There is no such mode.
    """
    if mode not in get_args(Mode):
        raise ValueError(f"unknown mode {mode!r}; there is {', '.join(get_args(Mode))}")
    if fault := _fault(reference, item):
        return unscored("invalid_reference", fault)
    right = set(map(_plain, reference))
    said = folded(without_thoughts(answer))
    if len(said) > MAX_ANSWER:
        return too_long(len(said))
    part = stated(said)
    if len(part) > _LONGEST + _LONGER * len(right):
        return wrong(f"{len(part):,} characters are too many for a list", "unparsable")
    given = {plain for text in _items(part, item) if (plain := _plain(text))}
    if not right:
        short = len(part) <= _LONGEST_NONE and (item is None or not given)
        return correct() if short and _NONE.search(part) else wrong()
    if not given:
        return wrong("no items", "no_answer")
    if len(given) > (2 * len(right) + 2 if most is None else most):
        return wrong(f"{len(given)} items are too many", "unparsable")
    if mode == "exact":
        return correct() if given == right else wrong()
    return graded(2 * len(given & right) / (len(given) + len(right)))


def read(text: str) -> list[str]:
    """The items of a list, as they are compared."""
    return [plain for part in _items(text) if (plain := _plain(part))]


def prove(reference: Sequence[str], *, item: str | None = None) -> None:
    """Prove that a reference can be matched.

    Raises:
        TaskError: It cannot.
    """
    if fault := _fault(reference, item):
        raise TaskError(f"the reference {reference!r:.100} {fault}")


def _fault(reference: Sequence[str], item: str | None) -> str:
    """What is wrong with a reference; "" where nothing is."""
    if isinstance(reference, str) or not all(isinstance(text, str) and _plain(text) for text in reference):
        return "is no list of texts"
    if any(_items(text, item) != [text] for text in reference):
        return "has an item that is not read as one"
    return ""


def _plain(text: str) -> str:
    return _ARTICLE.sub("", normalised(text))


def stated(text: str) -> str:
    """The part of a reply without thoughts that is its answer: the last box or statement, or what its heading says."""
    boxed, says = list(boxes(text)), list(statements(text))
    if says and (not boxed or says[-1][0] >= boxed[-1][1]):
        return _behind(text[says[-1][1] :])
    return boxed[-1][2] if boxed else below_heading(text)


def _behind(text: str) -> str:
    """What an answer is behind "Answer:": the rest of the line, or else the lines below, with the items below these."""
    first, *rest = text.split("\n")
    told, is_below = [first], not first.strip(_MARKDOWN)
    for line in rest:
        if not line.strip():
            is_below = is_below and not any(part.strip(_MARKDOWN) for part in told)
        elif is_below or _MARK.match(line) or told[-1].rstrip().endswith(","):
            told.append(line)
        else:
            break
    return "\n".join(told)


def _items(text: str, item: str | None = None) -> list[str]:
    if item is not None:
        return re.findall(item, text, re.IGNORECASE)
    text = _AROUND.sub(lambda match: match[1] or "", _MARK.sub("", _FRAME.sub("", text)))
    return [part.strip() for part in _BETWEEN.split(text) if part.strip(" \t\n.`*\"'")]
