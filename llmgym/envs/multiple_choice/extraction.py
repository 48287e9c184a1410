r"""How the chosen option is read out of a reply: the strict and lenient ways of multiple-choice benchmarks.

The order of readers, in all gradings: thoughts are dropped; then what is stated in a form (a box, a line "Answer: B",
a tag) counts before what sentences claim, that before a bare mention, and the later statement before the earlier one.
What a reply takes back ("No, wait") does not count. What could mean several options, or none, is no choice.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Mapping

from llmgym.envs.multiple_choice import prose
from llmgym.envs.multiple_choice.tokens import clean
from llmgym.envs.text import boxes, folded, without_thoughts

Options = Mapping[str, str]  # letter -> text

_MARKS = r"[*_`\s]"
_ANSWER = re.compile(
    rf"(?<![^\W_])(?P<wrong>(?:wrong|incorrect|bad|false){_MARKS}+)?answer{_MARKS}{{0,4}}(?:is)?{_MARKS}{{0,4}}"
    rf"(?:[:：→]|->|=>?)(?P<said>[^\n]*)"
    rf"|^[#*_ \t]{{0,8}}(?:final|correct|my)?[ ]?answer[*_ \t]{{0,8}}(?P<heading>)$",
    re.IGNORECASE | re.MULTILINE,
)
_TAG = re.compile(r"<answer>([^<]*)</answer>", re.IGNORECASE)
_TAKEN_BACK = re.compile(
    r"\bno,?\s+wait\b|\bwait,?\s+no\b|\bscratch that\b|\bstrike that\b|\bignore that\b|\bmy mistake\b|\boops\b"
    r"|\bi was wrong\b|\bi made an? (?:mistake|error)\b|\bon second thoughts?\b|\bcorrection\s*[:,.]"
    r"|(?:^|[.!?\n]\s{0,3}|\b(?:wait|no|hmm|but|sorry),?\s)(?:that|this|it)(?:'s|’s| is| was) "
    r"(?:wrong|incorrect|not right|not correct|a mistake|not it)\b(?! to\b)"
    r"|(?<![?\s])(?:[.!]\s{1,3}|\s{0,3}\n\s{0,3})no[.!](?=\s|$)",
    re.IGNORECASE,
)
_TURN = re.compile(
    r"(?:^|[.!?\n]\s{0,3}|[—–]\s?|\s-\s|\bbut )(?:no|actually|wait|hm+|hold on|sorry|rather)\b[,.!:…]?", re.IGNORECASE
)
_LABEL = re.compile(r"[(\[]?\s?(?:(?:[Oo]ption|[Cc]hoice|[Ll]etter)\s)?([A-Za-z])\s?[)\]]?[.:,]?")
_LABEL_AND_TEXT = re.compile(
    r"(?:(?:option|choice|answer|letter)\s+)?[(\[]?([A-Za-z])(?:[)\]][.:]?|\s?[.:=,–—-]|(?=\s))\s*(.+)",
    re.DOTALL | re.IGNORECASE,
)
_JOINED = re.compile(r"[\s$,*]{0,9}(?:\b(?:or|and)\b|[,/&])[\s$*]{0,9}")  # between two boxes that are one answer
_LETTERED = re.compile(r"(?i:(?:option|choice|answer)\s*:?\s*)?[(\[]?\s?[A-Z](?![\w'])", re.ASCII)
_DENIED = re.compile(r"(?:\bnot|n't|\bnever|\brather than|\binstead of|\bunlike)[\s$*(\\]{0,6}$", re.IGNORECASE)
_MATCHED = 8000  # characters that patterns are tried on: some take time by the square of them
_CODE = re.compile(r"`([^`]+)`")


def extract(text: str, options: Options, grading: str) -> str | None:
    """Read the letter of the chosen option.

    Args:
        text: The reply.
        options: Text of each option by its letter.
        grading: A name in `GRADINGS` or `BOXED_OR_TEXT`.

    Returns:
        A letter of `options`, or None where the reply makes no choice.
    """
    return (_boxed_or_text if grading == BOXED_OR_TEXT else GRADINGS[grading])(folded(without_thoughts(text)), options)


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


def choice(text: str, options: Options) -> str | None:
    """Read text that names one option and says no more: "B", "(b)", "B. Paris", "**B**", or "Paris"."""
    raw, text = text.strip(), clean(text).strip()
    if match := _LABEL.fullmatch(text):
        if match[1].upper() in options:
            return match[1].upper()
    elif not re.sub(r"[\s*_`~#]", "", raw) and not _CODE.fullmatch(raw):
        return None
    for name in (raw, match[1] if (match := _CODE.fullmatch(raw)) else raw):
        if name and (named := [letter for letter, option in options.items() if option.strip() == name]):
            return named[0] if len(named) == 1 else None
    if named := _named(text, options):
        return named
    if match := _LABEL_AND_TEXT.fullmatch(text):
        letter = match[1].upper()
        return letter if letter in options and _named(match[2], options) == letter else None
    return None


def stated(text: str, options: Options) -> str | None:
    """Read what follows "Answer:", or stands in a box: a letter; "" where that is unclear, None where it names none."""
    if letter := choice(text, options):
        return letter
    if (match := _LABEL_AND_TEXT.fullmatch(clean(text).strip())) and _named(match[2], options):
        return ""  # the letter of one option and the text of another
    parts = Parts(options)
    parts.read(text, announced=True)
    return parts.choice() or ("" if parts.says_anything() else None)


def _boxed(text: str, options: Options) -> str | None:
    """The last box where it names a letter, with its text at most."""
    return _last_box(text, options, _lettered)


def _boxed_or_text(text: str, options: Options) -> str | None:
    """The last box where it names an option, by letter or by text."""
    return _last_box(text, options, stated)


def _boxes(text: str) -> list[tuple[int, int, str]]:
    """The boxes of a text that no "not" before them denies."""
    return [box for box in boxes(text) if not _DENIED.search(text[max(0, box[0] - 30) : box[0]])]


def _last_box(text: str, options: Options, read: Callable[[str, Options], str | None]) -> str | None:
    found = _boxes(text)[-2:]
    if not found:
        return None
    if len(found) > 1 and _JOINED.fullmatch(text, found[0][1], found[1][0]):
        return None
    said = read(found[-1][2], options)
    return said if said and not _withdrawn(text[found[-1][1] :], said, options) else None


def _withdrawn(after: str, said: str, options: Options) -> bool:
    """Whether the rest of a reply takes back what was stated, or turns to another option."""
    if _TAKEN_BACK.search(after):
        return True
    parts = Parts(options)
    parts.read(after)
    return parts.turned_to() not in (None, said)


def _lettered(content: str, options: Options) -> str | None:
    plain = clean(content).strip()
    if not _LETTERED.match(plain):
        return None
    if (named := _named(plain, options)) and not _LABEL.fullmatch(plain) and not plain.startswith(named):
        return None  # the text of an option that begins like a letter, such as "E. coli"
    return stated(content, options)


def _statements(text: str, options: Options) -> list[tuple[int, int, str | None]]:
    """Where lines "Answer: ..." stand, and what they state; an empty one states what the next line is."""
    found: list[tuple[int, int, str | None]] = []
    for match in _ANSWER.finditer(text):
        if match["wrong"]:
            continue
        end, said = match.end(), None
        rest = match["said"] or ""
        if back := _TAKEN_BACK.search(rest):
            rest, end = rest[: back.start()], match.start("said") + back.start()
        if rest.strip(" \t\r*_~#"):
            said = stated(rest, options)
        elif following := re.compile(r"\s{0,200}([^\n]*)").match(text, end):
            said = choice(following[1].lstrip("-> "), options)
            end = following.end() if said else end
        found.append((match.start(), end, said))
    return found


def _answer_line(text: str, options: Options) -> str | None:
    for _, end, said in reversed(_statements(text, options)):
        if said is not None:
            return None if _withdrawn(text[end:], said, options) else said or None
    return None


def _lenient(text: str, options: Options) -> str | None:
    if letter := choice(text, options):
        return letter
    formal = _statements(text, options)
    formal += [(start, end, stated(content, options)) for start, end, content in _boxes(text)]
    formal += [(match.start(), match.end(), stated(match[1], options)) for match in _TAG.finditer(text)]
    parts = Parts(options)
    at = last = 0
    for start, end, said in sorted(formal):
        if start >= at and said is not None:
            parts.read(text[at:start])
            parts.formal("" if last and _JOINED.fullmatch(text, last, start) else said)
            at = last = end
    parts.read(text[at:])
    return parts.choice()


class Parts:
    """The parts of a reply between which it turns round, each with what is stated in a form and in prose."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.parts: list[tuple[list[str], prose.Verdict]] = [([], prose.Verdict())]

    def formal(self, said: str) -> None:
        """Add what a box or a line states."""
        self.parts[-1][0].append(said)

    def read(self, text: str, announced: bool = False) -> None:
        """Add prose, which "Answer:" may have announced; what takes all back makes what was before not count."""
        if taken_back := deque(_TAKEN_BACK.finditer(text), maxlen=1):
            self.parts = [([], prose.Verdict())]
            text = text[taken_back[0].end() :]
        at = 0
        for turn in _TURN.finditer(text):
            prose.read(text[at : turn.start() + 1], self.options, self.parts[-1][1], announced and not at)
            self.parts.append(([], prose.Verdict()))
            at = turn.end()
        prose.read(text[at:], self.options, self.parts[-1][1], announced and not at)

    def turned_to(self) -> str | None:
        """What is claimed after a turn; None where nothing is."""
        claims = (verdict.claim for _, verdict in reversed(self.parts[1:]))
        return next((claim for claim in claims if claim is not None), None)

    def says_anything(self) -> bool:
        """Whether any option is spoken of."""
        return any(
            formal or verdict.claim is not None or verdict.mentioned or verdict.denied for formal, verdict in self.parts
        )

    def choice(self) -> str | None:
        """The claim of the last part that makes one; else the only option that is mentioned and not denied."""
        denied: set[str] = set()
        for formal, verdict in reversed(self.parts):
            said = formal[-1] if formal else verdict.claim
            if said is not None:
                return said if said and said not in denied else None
            denied |= verdict.denied
        mentioned = set[str]().union(*(verdict.mentioned for _, verdict in self.parts)) - denied
        return mentioned.pop() if len(mentioned) == 1 else None


def _named(text: str, options: Options) -> str | None:
    wanted = _normal(text)
    found = [letter for letter, option in options.items() if wanted and _normal(option) == wanted]
    return found[0] if len(found) == 1 else None


def _normal(text: str) -> str:
    """Words in lower case without punctuation around them; "-5", "1/2" and "2.5" stay what they are."""
    return " ".join(word.strip(".,;:!?()[]\"'*_`$“”") for word in clean(text).casefold().split()).strip()


BOXED_OR_TEXT = "boxed or text"  # NeMo Gym's "lenient_boxed", which only rows ask for
GRADINGS: dict[str, Callable[[str, Options], str | None]] = {
    "boxed": _boxed,
    "answer": _answer_line,
    "lenient": _lenient,
}
