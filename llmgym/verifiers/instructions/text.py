"""Sentences and words of English text, as the original counts them, without its models.

The original splits sentences with Punkt, whose model of English was learned from newspapers. Here stand Punkt's rules,
with words that everyone knows in place of the model.
"""

from __future__ import annotations

import re
from itertools import pairwise


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_LETTERS = frozenset("cdefghjklmnprstvw")  # as Punkt has it, even in "Vitamin C. The"
_ABBREVIATIONS = _words(
    "mr mrs ms dr st jr sr prof gen sen rep reps gov capt sgt lt maj col messrs bros co corp inc ltd vs va ave ft "
    "jan feb aug sep sept oct nov dec mon tues wed thurs fri sat calif colo conn fla ga ill kan ky mass mich minn "
    "nev okla ore pa tenn tex wash wis yr ok ph.d a.d a.m p.m d.c l.a n.c n.j n.y s.c u.k u.n u.s u.s.a"
)
_UNKNOWN = _words("e.g i.e cf viz etc al fig approx dept est")  # to Punkt, which ends sentences behind them

_STARTERS = _words(
    "a about according after all also although among an and another any are as at because before but by can despite "
    "did do does during each even every few first for from had has have he her here his how however i if in indeed "
    "instead is it its last later many may meanwhile more moreover most my nevertheless next no nonetheless nor not "
    "now of on once one only or other our over perhaps several she should since so some such than that the their them "
    "then there therefore these they this those though through thus to under until was we were what when where whether "
    "which while who why will with would yes yet you your"
)

_CHUNK = re.compile(r"\S+")
_AFTER_END = "()\";}]*:@'{[?!‘’“”«»"  # what may follow the full stop of a sentence without a blank
_WORD_BREAK = re.compile(r"""[\s()"'`{}\[\]:;?!*@#&‘’“”«»]""")
_CLOSERS = re.compile(r"""\s*+["')\]}‘’“”«»]++(?:\s++|(?=--)|$)""", re.MULTILINE)
_ITEM = re.compile(r"\W*\d+\W*")


def count_sentences(text: str, *, faithful: bool = True) -> int:
    """Count sentences.

    Args:
        text: What was written.
        faithful: Count as the original does: "e.g. one" are two, and so are the "1." of a list and what follows, and
            stars behind the last full stop are one.
    """
    chunks = [(chunk.start(), chunk[0]) for chunk in _CHUNK.finditer(text)]
    sentences: list[str] = []
    start = 0
    for (at, chunk), (_, following) in pairwise([*chunks, (len(text), "")]):
        end = _end(chunk, last=not following)
        if end is None:
            continue
        behind = chunk[end : end + 1] or following
        if _breaks(chunk[:end], behind, faithful):
            sentences.append(text[start : at + end])
            rest = _CLOSERS.match(text, at + end)
            start = rest.end() if rest else at + end
    sentences.append(text[start:])
    if faithful:
        return sum(not sentence.isspace() and sentence != "" for sentence in sentences)
    return sum(any(map(str.isalnum, sentence)) and not _ITEM.fullmatch(sentence) for sentence in sentences)


def _end(chunk: str, last: bool) -> int | None:
    """Behind the last mark in a run of characters that may end a sentence, or None."""
    for at in range(len(chunk) - 1, -1, -1):
        if chunk[at] in ".?!" and (chunk[at + 1] in _AFTER_END if at + 1 < len(chunk) else not last):
            return at + 1
    return None


def _breaks(before: str, behind: str, faithful: bool) -> bool:
    """Whether a sentence ends between what ends in a mark and what begins behind it."""
    if before[-1] in "?!":
        return True
    inner = before[:-1]
    if any(mark in inner for mark in "?!"):
        return True
    word = _WORD_BREAK.split(inner)[-1].lower()
    first = re.match(r"\w[\w'-]*", behind)
    follows = first[0].lower() if first else ""
    starts = bool(first) and behind[0].isupper() and follows in _STARTERS
    if word.endswith("."):  # an ellipsis
        return starts
    if len(word) == 1 and word.isalpha():
        return starts and word not in _LETTERS
    if _abbreviates(word, faithful):
        return starts
    numeric = word.replace(",", "").replace(".", "").replace("-", "").isdigit()
    return not (numeric and (behind[0].islower() or behind[0] in ";:,.!?"))


def _abbreviates(word: str, faithful: bool) -> bool:
    last = word.rpartition("-")[2]
    if last in _ABBREVIATIONS:
        return True
    return not faithful and (last in _UNKNOWN or re.fullmatch(r"(?:[a-z]\.)+[a-z]", last) is not None)


_SPLITS = re.compile(r"""\s+|[«»“”‘’„`"*?!;@\#$%&()\[\]{}<>‒–—―]|--|\.{2,}|[:,](?!\d)|(?<!\w)'""")
_CLITIC = re.compile(r".*[^'](?='(?:S|M|D|LL|RE|VE)?$|N'T$)", re.DOTALL)
_DOUBLE = frozenset(("CANNOT", "GIMME", "GONNA", "GOTTA", "LEMME", "WANNA"))


def count_capital_words(text: str) -> int:
    """Count the words in capital letters, as the original does: DON'T are two, COVID-19 and AND/OR one each."""
    count = 0
    for word in _SPLITS.split(text):
        if word.isupper():
            clitic = _CLITIC.match(word)
            count += 2 if word in _DOUBLE or (clitic and not word.endswith("'")) else 1
    return count
