"""Forms in which a sentence chooses an option, in text whose mentions of options are marks.

They are few, and a sentence that denies, doubts, supposes or asks has none of them: no choice is better than a guess.
"""

from __future__ import annotations

import re
from collections import deque

from llmgym.verifiers.choices.names import NAME, SEVERAL, SURE, letter_of

_NEAR = 120  # characters before a form in which its sentence may deny it


def _any_of(words: str) -> str:
    return rf"(?:{'|'.join(words.split())})"


# Words between what announces a choice and the choice.
_FILLER = _any_of(
    r"the (?-i:an?) option choice answer correct right best final is be it's that with to for on as therefore in\sfact "
    r"only most also would must (?-i:I)\s(?:think|believe|would\ssay) think believe towards? my our us \w+ly indeed "
    r"yes ok well"
)
_FILL = rf"(?:{_FILLER}\b|[\s,:('→…=-]|\.{{3}}){{0,16}}?"
_NOUN = _any_of(
    "answer choice option selection selected solution pick response conclusion letter result guess vote final"
)
_VERB = _any_of(
    r"choose choosing chose chosen pick picking select selecting selected go\swith going\swith going\sfor opt\sfor say "
    r"take answer conclude settle\son lean leaning vote prefer get guess leaves leaving left\swith mean meant "
    r"decided\son points\sto corresponds\sto leads\sto "
    r"matches so(?!\sis) thus therefore hence is it's that's that be only → ="
)
# What follows an option that ends a claim.
_END = (
    r"(?=\)?\s{0,3}(?:\.(?!\s?[0-9\ue020-\ue03f])|[,;!)\]\n…✓]|$|because\b|since\b|as\b|[(-]?(?:(?:and|but)\s)?not\b"
    r"|rather\b|instead\b|over\b|then\b))"
)
_STATED = re.compile(
    rf"\b{_NOUN}\b(?:(?:'s|[^.!?;:=→\n{NAME}-]{{0,60}}?(?:\b(?:is|be|remains|to)\b|\s?[:=→|-])){_FILL}|\s\(?)"
    rf"(?P<stated>[{NAME}])",
    re.IGNORECASE,
)
_CLAIM = re.compile(
    rf"(?:\b{_VERB}|(?:^|[.!?;:,\n…—–]|\bbut\b))(?<!\w(?=\w)){_FILL}(?P<end>[{NAME}]){_END}"
    rf"|(?P<right>[{NAME}])\)?(?:\s\([^()\n]{{0,40}}\))?[\s:–—(-]{{0,3}}(?:(?:is|was|must|would|should|seems)\b{_FILL})?"
    r"(?:right|correct|true|best|better|answer|choice|it|only|one(?!\sof)|most\s\w+\s(?:answer|option|choice)|✓|✔|✅)(?!\w)"
    rf"|(?P<it>[{NAME}])\s(?:it must be|remains|fits best|makes the most sense|is(?=[.!,]?\s*$|[.!,]\s))",
    re.IGNORECASE | re.MULTILINE,
)
# What makes a sentence say another thing, or nothing for sure.
_DENY = re.compile(
    r"\b(?:not|never|neither|nor|no(?!\s(?:doubt|question))|none|cannot|wrong|incorrect|false|if|unless|whether|unlike"
    r"|except|exclude|eliminate|reject|refuse|disagree|(?<!no\s)(?<!a\s)doubt|than|over|against|instead|rather|some|many"
    r"|people|students|others|first|initially|although|though|while|either|different|between|anything|everything\sbut"
    r"|could|might|may|maybe|perhaps|possibly|was\sgoing|unlikely|all\sbut)\b|n't\b",
    re.IGNORECASE,
)
_DENIED = re.compile(
    rf"([{NAME}])\)?\s(?:(?:is|was|are|seems|must|can)(?:\s\w+)?\s(?:not|wrong|incorrect|false|unlikely|out)"
    r"|(?:is|ca|does|was)n't|cannot)\b"
)
_UNSURE = re.compile(
    rf"[\s.,()]{{0,4}}(?:or|and|maybe)\b{_FILL}[{NAME}](?!\)?\s(?:is|was|isn't)\b)|[^.!?\n]{{0,80}}\?", re.IGNORECASE
)
_CLAUSE = re.compile(
    r"[.!?;,\n…—–]|\b(?:(?<!thing )(?<!all )but|so(?!\sis)|therefore|thus|hence|leaves|leaving)\b", re.IGNORECASE
)
_TAKEN_BACK = re.compile(
    r"\bno,?\s+wait\b|\bwait,?\s+no\b|\b(?:scratch|strike|ignore) that\b|\bmy mistake\b|\boops\b"
    r"|\bi was wrong\b|\bi made an? (?:mistake|error)\b|\bon second thoughts?\b|\bcorrection\s*[:,.]"
    r"|(?:^|[.!?\n]\s{0,3}|\b(?:wait|no|hmm|but|sorry),?\s)(?:that|this|it)(?:'s| is| was) "
    r"(?:wrong|incorrect|not right|not correct|a mistake|not it)\b(?! to\b)"
    r"|(?<![?\s])(?:[.!]\s{1,3}|\s{0,3}\n\s{0,3})no[.!](?=\s|$)",
    re.IGNORECASE,
)
# One of these is in whatever the pattern finds, and looking for them takes next to no time.
_BACK_WORDS = (
    "wait", "scratch", "strike", "ignore", "mistake", "oops", "wrong", "error", "thought", "correct", "not right",
    "not it", "no.", "no!",
)  # fmt: skip
_TURN = re.compile(
    r"(?:^|[.!?\n…]\s{0,3}|[—–]\s?|\s-\s|,\s|\bbut )(?:no(?! doubt)|actually|wait|hm+|hold on|sorry)\b[,.!:…]?",
    re.IGNORECASE,
)


def parts(text: str) -> list[str]:
    """A text from where it last takes all back ("No, wait"), parted where it turns to something else ("Actually")."""
    low = text.lower()
    if any(word in low for word in _BACK_WORDS) and (back := deque(_TAKEN_BACK.finditer(text), maxlen=1)):
        text = text[back[0].end() :]
    starts = [0, *(match.end() for match in _TURN.finditer(text))]
    return [text[start:end] for start, end in zip(starts, [*starts[1:], len(text)], strict=True)]


def stated(text: str) -> list[str]:
    """The options that a text states to be the answer, in order; "" for several at once."""
    return _meant(_STATED, text)


def claimed(text: str) -> list[str]:
    """The options that a text chooses in other words, or that are a clause of their own, in order; "" for several."""
    return _meant(_CLAIM, text)


def denied(text: str) -> set[str]:
    """The options that a text says to be wrong."""
    return {letter_of(match[1]) for match in _DENIED.finditer(text)}


def only_named(text: str) -> str | None:
    """The one option that a text names, where it neither denies nor asks anything."""
    named = {letter_of(mark) for mark in re.findall(f"[{SURE}{SEVERAL}]", text)}
    return named.pop() if len(named) == 1 and "?" not in text and not _DENY.search(text) else None


def _meant(form: re.Pattern[str], text: str) -> list[str]:
    found: list[str] = []
    for match in form.finditer(text):
        at = match.start(match.lastgroup or 0)
        clause = _CLAUSE.split(text[max(0, match.start() - _NEAR) : at])[-1]
        if not (_DENY.search(clause) or _DENIED.match(text, at)):
            found.append("" if _UNSURE.match(text, at + 1) else letter_of(text[at]))
    return found
