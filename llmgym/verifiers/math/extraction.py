"""Which part of a reply is its answer, before any mathematics: the last box, or what the reply states last."""

from __future__ import annotations

import re
from typing import NamedTuple

from llmgym.verifiers.numbers.statements import TURN, below_heading, statements
from llmgym.verifiers.text import boxes

_MATHS = re.compile(
    r"[\s*_`:]*(?:\$\$(?P<display>[^$]+)\$\$|\$(?P<inline>[^$]+)\$|\\\((?P<round>.+?)\\\)|\\\[(?P<square>.+?)\\\])",
    re.DOTALL,
)
_BOXES_JOINED = re.compile(r"[\s$*,]{0,9}(?:\b(?:or|and)\b|[,/&])[\s$*]{0,9}(?:[A-Za-z]\s{0,3}=\s{0,3})?")
_MATHS_JOINED = re.compile(
    r"[ *_]{0,4}(?:[,;/]?[ ](?:(?P<either>or)\b(?:[ ](?:maybe|perhaps|possibly))?|and\b)|[,;/])[ *_]{0,4}"
    r"(?=\$|\\[(\[]|-?[0-9])"
)
_ITEM_END = re.compile(r"[ *_`]{0,6}(?:$|[,;.\n]|</answer>|(?:or|and)\b)")  # not of "$5$, $x$ being positive"
_FENCE = re.compile(r"```[a-z]*\n(?P<line>[^\n]*)\n```")
_TAG_END = re.compile(r"</answer>", re.IGNORECASE)
_END = re.compile(r"\.(?=\s|$)|\n|[.,;:]?\s(?:because|since|as|so|which|where|who)\b")
_AROUND = " \t\n*_`\"'“”.,;:!"  # "5!" in prose is 5, and a factorial in LaTeX


class Answer(NamedTuple):
    """What a reply gives as its answer.

    Attributes:
        formulas: The answer; several where a reply gives several side by side, none where it gives none.
        is_boxed: Whether it stands in a box.
        is_turned: Whether the reply turns to something else behind it ("No, wait").
        line: The whole line behind "the answer is", which may be a name with a full stop in it.
    """

    formulas: list[str]
    is_boxed: bool = False
    is_turned: bool = False
    line: str = ""


def extract(text: str) -> Answer:
    r"""The answer of a reply without thoughts.

    The last `\boxed{...}` that is closed or "the answer is ..." counts, else the whole of a reply, or of what stands
    below its heading "Answer", that is one line.
    """
    boxed = list(boxes(text))
    stated = list(statements(text))
    if stated and (not boxed or stated[-1][0] >= boxed[-1][1]):
        end = stated[-1][1]
        return Answer(_statement(text, end), is_turned=TURN.search(text, end) is not None, line=_rest(text, end, "\n"))
    if boxed:
        found = [boxed[-1]]
        for box in reversed(boxed[:-1]):
            if not _BOXES_JOINED.fullmatch(text, box[1], found[0][0]):
                break
            found.insert(0, box)
        turned = TURN.search(text, found[-1][1]) is not None
        return Answer([content.strip() for _, _, content in found], is_boxed=True, is_turned=turned)
    alone = below_heading(text).strip()
    if fenced := _FENCE.fullmatch(alone):
        alone = fenced["line"]
    return Answer([_bare(alone)] if alone and "\n" not in alone else [])


def _statement(text: str, start: int) -> list[str]:
    """What stands behind "the answer is": the formulas that it begins with, else the rest of the sentence."""
    found, joint = list[str](), None
    while maths := _MATHS.match(text, start):
        if joint and not joint["either"] and not _ITEM_END.match(text, maths.end()):
            return found
        found.append(next(group for group in maths.groups() if group).strip())
        joint = _MATHS_JOINED.match(text, maths.end())
        if joint is None:
            return found
        start = joint.end()
    if joint and not joint["either"]:
        return found
    return [*found, said] if (said := _rest(text, start, _END)) else found


def _rest(text: str, start: int, end: str | re.Pattern[str]) -> str:
    """What stands behind a place, up to the end of a tag, or else to what ends it."""
    rest = text[start : start + 2000].lstrip(" \t\n*_`")
    if found := _TAG_END.search(rest) or re.search(end, rest):
        rest = rest[: found.start()]
    return _bare(rest)


def _bare(text: str) -> str:
    """Text without Markdown, quotes, full stops and signs of LaTeX around it."""
    text = text.strip(_AROUND)
    if maths := _MATHS.fullmatch(text):
        text = next(group for group in maths.groups() if group).strip()
    return text
