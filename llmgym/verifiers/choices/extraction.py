r"""How the chosen option is read out of a reply: the strict and lenient ways of multiple-choice benchmarks.

The last thing that a reply states ("Answer: B", "the answer is B", a box, a tag) counts before what it claims in other
words ("I choose B", "B is right", "B" as a line), which counts where all claims agree; failing both, the one option
that it names. What it takes back does not count. Whatever else it says is no choice.
"""

from __future__ import annotations

import re
from collections import deque

from llmgym.verifiers.choices.forms import claimed, denied, only_named, parts, stated
from llmgym.verifiers.choices.names import Options, choice, clean, marked
from llmgym.verifiers.text import boxes, folded, without_thoughts

BOXED_OR_TEXT = "boxed or text"  # NeMo Gym's "lenient_boxed", which only rows ask for
GRADINGS = ("boxed", "answer", "lenient")

_MATCHED = 8000  # characters that patterns are tried on: some take time by the square of them
_MARKS = r"[*_`\s]{0,4}"
_ANSWER = re.compile(  # and what it says, which may be the next line
    rf"(?<![^\W_])answer{_MARKS}(?:is)?{_MARKS}(?:[:：→]|->|=>?)[*_ ]{{0,4}}(?P<said>[^\n]*\S|\s{{1,200}}[^\n]+)"
    r"|^[#*_ \t]{0,8}(?:final |correct |my )?answer[*_: \t]{0,8}\n(?P<under>\s{0,200}[^\n]+)",
    re.IGNORECASE | re.MULTILINE,
)
_TAG = re.compile(r"<answer>\s{0,9}([^<\n]*?)\s{0,9}</answer>", re.IGNORECASE)
_BETWEEN_BOXES = re.compile(r"[\s$,*]{0,9}(?:\b(?:or|and)\b|[,/&])?[\s$*]{0,9}")
_LETTERED = re.compile(r"(?i:(?:option|choice|answer)\s*:?\s*)?[(\[]?\s?[A-Z](?![\w'])", re.ASCII)


def extract(text: str, options: Options, grading: str) -> str | None:
    """Read the letter of the chosen option.

    Args:
        text: The reply.
        options: Text of each option by its letter.
        grading: A name in `GRADINGS` or `BOXED_OR_TEXT`.

    Returns:
        A letter of `options`, or None where the reply makes no choice.
    """
    reply = folded(without_thoughts(text))
    chosen, states = _read(reply, options)
    if grading == "lenient" or not chosen:
        return chosen or None
    if grading == "answer":
        return chosen if states else None
    *_, (_, _, content) = [(0, 0, ""), *boxes(reply)]
    if grading == "boxed" and not _LETTERED.match(clean(content).strip()):
        return None
    return chosen if _read(f"Answer: {content}", options)[0] == chosen else None


def _read(reply: str, options: Options) -> tuple[str | None, bool]:
    """The option that a reply chooses, "" where it is unclear which; and whether it states it."""
    if letter := choice(reply, options):
        return letter, _TAG.search(reply) is not None
    wrong: set[str] = set()
    read = parts(marked(_formal(reply, options), options))
    for part in reversed(read):
        if found := stated(part):
            return (found[-1] if found[-1] not in wrong else None), True
        if found := claimed(part):
            return (found[0] if len(set(found)) == 1 and found[0] not in wrong else ""), False
        wrong |= denied(part)
    return only_named(" ".join(read)), False


def _formal(reply: str, options: Options) -> str:
    """A reply with each box and tag as "answer: ...", and as "answer: (B)" where it and such a line hold no more."""
    pieces: list[str] = []
    at = 0
    for start, end, content in boxes(reply):
        between = reply[at:start]
        pieces.append(between if at and _BETWEEN_BOXES.fullmatch(between) else between + " answer: ")
        pieces.append(f"({letter})" if (letter := choice(content, options)) else content)
        at = end
    text = _TAG.sub(r"\nanswer: \1\n", "".join(pieces) + reply[at:])

    def line(match: re.Match[str]) -> str:
        letter = choice((match["said"] or match["under"]).strip().lstrip("-> "), options)
        return f"answer: ({letter})" if letter else match[0]

    return _ANSWER.sub(line, text)


def extract_pattern(text: str, options: Options, pattern: re.Pattern[str]) -> str | None:
    """Read the choice out of the last match of a pattern: the first group in it that matched, or all where it has none.

    It is tried on the last 8,000 characters of the reply.
    """
    text = re.sub(r"\s{16,}", lambda blank: "\n" if "\n" in blank[0] else " ", without_thoughts(text))
    found = deque(pattern.finditer(text, max(0, len(text) - _MATCHED)), maxlen=1)
    if not found:
        return None
    group = next((number for number in range(1, pattern.groups + 1) if found[0][number] is not None), 0)
    if pattern.groups and not group:
        return None
    said, end = found[0][group], found[0].end(group)
    if len(said) == 1 and said.isalpha() and text[end : end + 1].isalnum():
        return None  # the beginning of a word, in a pattern such as "Answer: ([A-Z])"
    return choice(said, options)
