"""Short answers: the name, number, date or version that a reply states, against the right one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from typing import Literal, get_args

from llmgym.errors import TaskError
from llmgym.verifiers import numbers
from llmgym.verifiers.base import MAX_ANSWER, Verdict, correct, too_long, unscored, wrong
from llmgym.verifiers.math.extraction import extract
from llmgym.verifiers.strings import normalised
from llmgym.verifiers.text import folded, without_thoughts

#: What an answer is.
Kind = Literal["name", "number", "date", "version"]

MAX_STATED = 200  # characters of an answer; a longer one is no short answer
_FENCE = re.compile(r"```[\w-]*\n(?P<inside>[^`]*)\n?```")
_COMMAND = re.compile(r"\\(?:text|textbf|mathrm|mathbf|texttt)\s*\{([^{}]*)\}")
_LISTED = re.compile(r"\d\s*[,;]\s+\d|\d\s*\n")  # numbers side by side, of which none is the answer
_VERSION = re.compile(r"(?<![\w.])v?(\d+(?:\.\d+)+)(?!\w)", re.IGNORECASE)
_COMMA = re.compile(r"[,;](?=\s)")
_MOST_COMMAS = 2  # of a sentence around a number; with more it is a list of which one is right
_ASIDE = re.compile(r"\s\([^()]*\)[.\s]*$")  # what explains a name: "Whitby (as its document says)"
_ARTICLE = re.compile(r"(?:an?|the) (?=.)")
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_MONTH = rf"(?P<month>{'|'.join(_MONTHS)})[a-z]*\.?"
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_OTHER_DAY = r"(?P<other>\d{1,2}(?:st|nd|rd|th)?\.?\s?(?:[-/]|or|to|and)\s?)"
_DATES = [
    re.compile(rf"\b{form}\b", re.IGNORECASE)
    for form in (
        r"(?P<year>\d{4})[-/](?P<month>\d\d?)[-/](?P<day>\d\d?)(?:T[\d:.]*Z?)?",
        rf"{_OTHER_DAY}?{_DAY}\.?(?:\s+(?:day\s+)?of)?[\s-]+{_MONTH},?[\s-]+(?P<year>\d{{4}})",
        rf"{_MONTH}\s+{_DAY},?\s+(?P<year>\d{{4}})",
    )
]


def check(answer: str, reference: str | Sequence[str], *, kind: Kind = "name") -> Verdict:
    r"""Whether the short answer that a reply states is the right one, or one of several.

    The last box or "Answer: ..." counts, else the whole of a reply, or of what stands below its heading "Answer", that
    is one line; a fence around it does not count, nor do case, Markdown, a full stop, an article before a name, and
    what stands in parentheses after it. Of a number, a date or a version it may be a sentence, with nothing else to
    choose from. 3.1 and 3.10 are different versions.

    Args:
        answer: The reply; thoughts in it do not count.
        reference: What is right; a date is written as 1987-03-14.
        kind: What it is.

    Raises:
        ValueError: There is no such kind.
    """
    if kind not in get_args(Kind):
        raise ValueError(f"unknown kind {kind!r}; there is {', '.join(get_args(Kind))}")
    references = [reference] if isinstance(reference, str) else list(reference)
    if fault := _fault(references, kind):
        return unscored("invalid_reference", fault)
    said = without_thoughts(answer)
    if len(said) > MAX_ANSWER:
        return too_long(len(said))
    found = extract(_FENCE.sub(r"\g<inside>", said))
    if not found.formulas:
        return wrong("no box, no statement of an answer, and more than a line", "no_answer")
    stated = found.formulas[0]
    if len(stated) > MAX_STATED:
        return too_long(len(stated), MAX_STATED)
    if len(found.formulas) > 1 or found.is_turned or (kind != "name" and len(_COMMA.findall(stated)) > _MOST_COMMAS):
        return wrong("several answers", "unparsable")
    stated = _COMMAND.sub(r"\1", stated)
    readings = [stated, _COMMAND.sub(r"\1", found.line)] if kind == "name" and found.line else [stated]
    return correct() if any(_same(each, right, kind) for right in references for each in readings) else wrong()


def prove(reference: str | Sequence[str], *, kind: Kind = "name") -> None:
    """Prove that a reference can be matched.

    Raises:
        TaskError: It cannot.
    """
    if fault := _fault([reference] if isinstance(reference, str) else list(reference), kind):
        raise TaskError(f"the reference {reference!r:.100} {fault}")


def _same(stated: str, right: str, kind: Kind) -> bool:
    if kind == "date":
        return read_date(stated) == read_date(right)
    if kind == "version":
        return set(_VERSION.findall(stated)) == set(_VERSION.findall(right))
    if kind == "number":
        return not _LISTED.search(stated) and bool(numbers.check(stated, right))
    return _bare(right) in (_bare(stated), _bare(_ASIDE.sub("", stated)))


def _bare(text: str) -> str:
    """A name without an article before it, and without marks of code around it."""
    return _ARTICLE.sub("", normalised(text.replace("`", "")).strip("_ "))


def read_date(text: str) -> date | None:
    """The date that a text names; None where it names none, or several."""
    found = {match for form in _DATES for match in map(_date, form.finditer(folded(text))) if match}
    return found.pop() if len(found) == 1 else None


def _date(match: re.Match[str]) -> date | None:
    if match.groupdict().get("other"):
        return None  # "13 or 14 March 1987"
    month = match["month"].lower()[:3]
    try:
        number = int(month) if month.isdigit() else _MONTHS.index(month) + 1
        return date(int(match["year"]), number, int(match["day"]))
    except ValueError:
        return None


def _fault(references: Sequence[str], kind: Kind) -> str:
    """What is wrong with references; "" where nothing is."""
    if not references or not all(isinstance(text, str) for text in references):
        return "is neither text nor several texts"
    if max(map(len, references)) > MAX_STATED:
        return f"is longer than {MAX_STATED} characters"
    if kind == "date":
        return "" if all(read_date(text) for text in references) else "is no date such as 1987-03-14"
    if kind == "version":
        return "" if all(_VERSION.fullmatch(text.strip()) for text in references) else "is no version such as 3.10"
    if kind == "number":
        return "" if all(numbers.parse_number(text) is not None for text in references) else "is no number"
    return "" if all(map(_bare, references)) else "holds nothing that is compared"
