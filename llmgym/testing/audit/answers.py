"""The final text of an oracle, taken apart: what is the answer in it, of which kind, and what is only its form."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["number", "letter", "words", "list", "json", "code", "prose"]

_TOKENS = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+|\s+|.", re.DOTALL)
_NUMERIC = re.compile(r"[-+\u2212]?[$\u20ac\u00a3]?\d[\d,]*(?:\.\d+)?%?")
_CODE = re.compile(r"```|^\s*(def |import |from |class |SELECT\b|WITH\b|#!)|;\s*$", re.MULTILINE)
_WITHIN = re.compile(r"[\w./-]{2}")  # two characters of one word, such as a code
_FENCE = re.compile(r"\A\s*```(\w*)\n(.*)\n```\s*\Z", re.DOTALL)
_SEPARATOR = re.compile(r"\s*[,;\n]\s*")
_FEW = 3  # words of an answer, or of an item, that is no prose
_GROUP = 3  # texts that begin alike by more than chance


@dataclass(frozen=True, slots=True)
class Answer:
    """A final text.

    Attributes:
        before: What stands before the answer, the same for all tasks.
        core: The answer.
        after: What stands behind it.
        kind: What the answer looks like.
    """

    before: str
    core: str
    after: str
    kind: Kind

    def saying(self, core: str) -> str:
        """The text with another answer."""
        return self.before + core + self.after

    @property
    def text(self) -> str:
        """The whole text."""
        return self.saying(self.core)

    @property
    def marked(self) -> bool:
        """Whether the answer stands in a tag, a box, or behind a label, so that text before it is none."""
        return bool(re.search(r"[>{:]\s*[*_]*$", self.before))

    @property
    def bare(self) -> bool:
        """Whether the answer stands in running text, where marks of Markdown and a period may be put around it."""
        return not self.before.rstrip().endswith((">", "{", "`", '"', "[", "("))


def read_answers(texts: Sequence[str]) -> list[Answer]:
    """Take final texts of one environment, of which at least two differ, apart by what they have in common.

    Where they have nothing in common, those that begin with the same word are taken apart by themselves.
    """
    tokens = [_TOKENS.findall(text) for text in texts]
    if _shared(tokens):
        return _read(texts, tokens, range(len(texts)))
    groups, rest = dict[str, list[int]](), list[int]()
    for place, row in enumerate(tokens):
        (rest if not row or row[0].isdigit() else groups.setdefault(row[0], [])).append(place)
    for places in [*groups.values()]:
        if len(places) < _GROUP or len({texts[place] for place in places}) == 1:
            rest += places
            groups.pop(tokens[places[0]][0])
    found = dict[int, Answer]()
    for places in (*groups.values(), rest):
        found |= zip(places, _read(texts, tokens, places), strict=True)
    return [found[place] for place in range(len(texts))]


def _read(texts: Sequence[str], tokens: Sequence[Sequence[str]], places: Sequence[int]) -> list[Answer]:
    """Take the texts at some places apart."""
    rows = [tokens[place] for place in places]
    head = _shared(rows)
    while head and any(_WITHIN.fullmatch(row[head - 1][-1] + row[head][0]) for row in rows):
        head -= 1  # "CR-" of "CR-1910" is no beginning of a text
    tail = _shared([row[head:][::-1] for row in rows])
    if len({texts[place] for place in places}) < 2:
        head = tail = 0
    answers = list[Answer]()
    for place, row in zip(places, rows, strict=True):
        text, before, after = texts[place], "".join(row[:head]), "".join(row[len(row) - tail :])
        core = text[len(before) : len(text) - len(after)]
        blank = len(core) - len(core.lstrip())
        before, core = before + core[:blank], core[blank:]
        after, core = core[len(core.rstrip()) :] + after, core.rstrip()
        answers.append(Answer(before, core, after, _kind(text, core)))
    return answers


def _shared(rows: Sequence[Sequence[str]]) -> int:
    """How many tokens all rows begin with, and none is used up by."""
    count = 0
    for column in zip(*(row[:-1] for row in rows), strict=False):
        if len(set(column)) > 1:
            break
        count += 1
    return count


def _kind(text: str, core: str) -> Kind:
    if data_of(text) is not None:
        return "json"
    if _CODE.search(text):
        return "code"
    if _NUMERIC.fullmatch(core):
        return "number"
    if len(core) == 1 and core.isalpha():
        return "letter"
    if len(items := split_items(core)) > 1 and all(len(item.split()) <= _FEW for item in items):
        return "list"
    return "words" if len(core.split()) <= _FEW else "prose"


def split_items(core: str) -> list[str]:
    """The items of a list."""
    return [item for item in _SEPARATOR.split(core.strip("[] ")) if item]


def joined(core: str, items: Sequence[str]) -> str:
    """A list with other items, separated as one that is there."""
    separator = "\n" if "\n" in core else "; " if ";" in core else ", "
    text = separator.join(items)
    return f"[{text}]" if core.startswith("[") and core.endswith("]") else text


def data_of(text: str) -> Any:
    """The JSON object or list that a text is, in a fence or not; None where it is none."""
    match = _FENCE.match(text)
    try:
        data = json.loads(match[2] if match else text)
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict | list) else None


def refenced(text: str, content: str) -> str:
    """Content in a fence, where a text has one."""
    match = _FENCE.match(text)
    return f"```{match[1]}\n{content}\n```" if match else content
