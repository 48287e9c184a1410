"""What a reply says outside its thoughts, and in its boxes: reading that several environments share."""

from __future__ import annotations

import re
import unicodedata
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

_THOUGHT = re.compile(
    r"<(?P<end>/?)(?:think|thinking|thought|thoughts|reasoning)>|\[(?P<stop>/?)THINK\]", re.IGNORECASE
)
_FENCE = re.compile(r"[ \t]*+(`{3,}+|~{3,}+)[ \t]*+([\w+.-]*+)(?P<more>[^`~\r]*+)\r?")
_BOX = re.compile(r"\\(?:boxed|fbox)[ ]?\{")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)


def without_thoughts(text: str) -> str:
    """The text outside of thoughts: what stands between `<think>` and `</think>` is none of the answer.

    What stands before a `</think>` that nothing opened is a thought, since prompts open some; so is all that follows a
    `<think>` that nothing closes.
    """
    said: list[str] = []
    start: int | None = 0  # of the part outside of thoughts; None within one
    for tag in _THOUGHT.finditer(text):
        if tag["end"] or tag["stop"]:
            if start is not None:
                said.clear()
            start = tag.end()
        elif start is not None:
            said.append(text[start : tag.start()])
            start = None
    if start is not None:
        said.append(text[start:])
    return "\n".join(said)


def boxes(text: str) -> Iterator[tuple[int, int, str]]:
    r"""The start, end and content of each `\boxed{...}` that is closed and has none within it, in order."""
    begins = list(_BOX.finditer(text))
    ends = _closing(text, [begin.end() for begin in begins])
    closed = [(begin.start(), ends[begin.end()] + 1, begin.end()) for begin in begins if begin.end() in ends]
    for index, (start, end, inner) in enumerate(closed):
        if index + 1 == len(closed) or closed[index + 1][0] >= end:
            yield start, end, text[inner : end - 1]


def last_boxed(text: str) -> str | None:
    r"""The content of the last `\boxed{...}`, inner braces included; None where there is none that is closed."""
    found = deque(boxes(text), maxlen=1)
    return found[0][2] if found else None


def _closing(text: str, starts: list[int]) -> dict[int, int]:
    """Where the brace that opened just before each start is closed, of those that are; one walk for all."""
    if not starts:
        return {}
    wanted, found, depth = set(starts), dict[int, int](), list[int]()
    for brace in _BRACE.finditer(text, starts[0] - 1):
        if brace[0] == "{":
            depth.append(brace.end())
        elif brace[0] == "}" and depth and (start := depth.pop()) in wanted:
            found[start] = brace.start()
    return found


class Block(NamedTuple):
    """A fenced block: what its fence calls it, what is in it, and whether it is closed before the text ends."""

    name: str
    content: str
    is_closed: bool


class Blocks(NamedTuple):
    """The fenced blocks of a text, and whether there is anything else in it."""

    blocks: list[Block]
    around: bool


def fenced_blocks(text: str) -> Blocks:
    """The blocks of Markdown that stand between fences, without what a fence is indented; the last may lack its end.

    A fence may say more than a name ("```python title=x.py"), and be indented, as in a list; one that is indented by
    more than another, such as in a docstring, does not end its block.
    """
    found: list[Block] = []
    around = False
    lines = text.split("\n")
    opened: tuple[str, str, int] | None = None
    indent = ""
    for at, line in enumerate(lines):
        fence = _FENCE.fullmatch(line)
        if opened is None:
            if fence:
                opened, indent = (fence[1], fence[2], at), line[: fence.start(1)]
            around = around or bool(not fence and line.strip())
        elif (
            fence
            and not (fence[2] or fence["more"].strip())
            and fence[1].startswith(opened[0])
            and (fence.start(1) < len(indent) + 4)
        ):
            found.append(Block(opened[1], _content(lines[opened[2] + 1 : at], indent), is_closed=True))
            opened = None
    if opened is not None:
        found.append(Block(opened[1], _content(lines[opened[2] + 1 :], indent), is_closed=False))
    return Blocks(found, around)


def _content(lines: list[str], indent: str) -> str:
    return "\n".join(line.removeprefix(indent) for line in lines)


class _Folds(dict[int, str]):
    """What each character is folded to, worked out when it is first met."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        self[code] = plain = _fold(char)
        return plain


def _fold(char: str) -> str:
    if unicodedata.category(char) == "Cf":  # zero-width characters and the like
        return ""
    # "10²" is not "102": superscripts and subscripts stay for those who know what they mean.
    if unicodedata.decomposition(char).startswith(("<super>", "<sub>")):
        return char
    plain = unicodedata.normalize("NFKC", char)
    return plain if len(plain) == 1 else char


def normalized(text: str) -> str:
    """Text whatever its case, its blanks and the width of its characters."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


_FOLDS = _Folds(
    {ord(char): plain for plain, chars in (("-", "‐‑‒−➖﹣－"), ("'", "‘’‛′ʼ"), ("/", "⁄∕")) for char in chars}
)


def folded(text: str) -> str:
    """Text in plain characters: letters, digits, minus signs, apostrophes and blanks of every style are the usual."""
    return text if text.isascii() else text.translate(_FOLDS)
