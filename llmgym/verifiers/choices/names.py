"""How a reply names options, by letter or by text: each mention becomes one character, its mark.

No rule knows a letter: "A" and "I" are options where any letter would be one, and elsewhere "B" is none either.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

from llmgym.verifiers.text import folded

Options = Mapping[str, str]  # letter -> text

_LETTER_MARK, _TEXT_MARK, _BARE_MARK = 0xE000, 0xE020, 0xE040  # of "A": where it is sure, of its text, in doubt
SURE, NAME = "\ue000-\ue03f", "\ue000-\ue080"  # for classes of characters
SEVERAL = "\ue080"  # the mark of "A or B", and of the letter of one option with the text of another
_PRIVATE = re.compile("[\ue000-\uf8ff]")

_MARKUP = re.compile(
    r"<\|[^|<>\n]{1,40}\|>"  # a mark of the chat template that the reply kept
    r"|\\(?:text|math|bold)[a-z]*\s?(?=\{)|\\(?:mbox|bm|emph)\s?(?=\{)|\\[()\[\],;:! ]"
    r"|</?(?:[a-z_]{2,20}|[bipsu])>|<(?=[A-Z]>)|(?<=<[A-Z])>|[{}$]"
    r"|^[ \t]*(?:(?:>[ \t]?)+|\#{1,6}(?=[ \t*_]))|~~[^~\n]{0,300}~~|[*`\"“”\ufe0f]+|(?<!\w)_+|_+(?!\w)",
    re.MULTILINE,
)
_MARKDOWN = re.compile(r"[\s*_~#]*")
_QUOTED = re.compile(r"(?<!\w)'([^'\n]{1,80})'(?!\w)")
_ARROW = re.compile(r"[-=]{1,2}>|\\(?:right|Right)arrow(?![a-z])|[⇒➡⟹]")

_WORD = r"(?i:option|choice|letter|statement)"
_LABEL = re.compile(rf"[(\[]?\s?(?:{_WORD}\s)?[(\[]?([A-Za-z])\s?[)\]]{{0,2}}[.:,;!]?")
_LABEL_AND_TEXT = re.compile(rf"(?:{_WORD}\s+)?[(\[]?([A-Za-z])(?:[)\]][.:]?|\s?[.:=,–—|-]|(?=\s))\s*(.+)", re.DOTALL)
# Words that say so much themselves that they are the text of an option only beside its letter, or as the answer.
_COMMON = re.compile(
    "a|an|the|i|it|is|not|no|yes|true|false|right|wrong|correct|incorrect|answer|option|choice|and|or|so|if|all|none|both"
    "|neither|always|never|maybe|one"
)
# What may follow a letter but neither the article "A" nor the pronoun "I".
_AFTER = (
    r"is|isn't|are|was|(?:must|should|would|could|can|can't|cannot)\s(?:not\s)?be|seems|looks|remains|makes|fits|because|since"
    r"|as|for|and|or|but|not|over|than|rather|instead|while|it|then|according"
)
# What is said of "I" in "the option I choose is B", and of no option.
_CHOOSES = (
    r"(?:(?:will|would|have|am|do|now|finally|also)\s)*"
    r"(?:choos\w+|chose|pick\w*|select\w*|prefer\w*|settle\w*|go|went|going|think|believe|want|recommend|vote|take|give)"
)
_LETTER = re.compile(
    rf"(?<![\w'\\])(?:{_WORD}\s{{1,3}})?[(\[]\s?(?P<bracketed>[A-Za-z])\s?[)\]]"
    rf"|\b{_WORD}\s{{1,3}}(?P<called>[A-Z]|[a-z](?=[.,:;!)]?\s*$))(?![\w']|\s{_CHOOSES}\b)"
    rf"|(?<![\w'\\])(?P<beside>[a-z])[.):]\s?(?=[{SURE}])"
    r"|^[ \t]{0,9}(?:[-•→✅]\s|\d[.)]\s)?(?P<first>[A-Z])"
    r"(?:[)]|(?=[.!?…]{0,3}\s*$|\s?[:|]|\sis\sthe\s|[.]\s+(?![a-z0-9])))"
    r"|(?<=:\s)(?P<last>[A-Z])(?=[.!]?\s*$)"
    r"|(?i:\b(?:answer|it)(?:\sis|:)\s{1,3})(?P<small>[a-z])(?=[.!)]?\s*$)"
    r"|(?<![\w'\\+&°^=<>(\[-])(?:(?<!/)|(?<=\b[A-Z]/))(?<![\d°=<>+^*]\s)(?P<bare>[A-Z])[)\]]?"
    r"(?![\w'^#=]|\.\w|\.\s[a-z]|\s[=<>+^])"
    rf"(?=[.,;:!?)\]|/…✓✅—–]|\s*$|\s[^\w\s]|\s[A-Z]\b(?!')|\s(?:{_AFTER})\b)",
    re.MULTILINE,
)
_OR = r"(?:,? ?\b(?:or|nor|and/or)\b(?: maybe)?| ?[/&+–—-])? ?"
_AND = r"(?:,? ?\b(?:and|as well as)\b(?: also)?| ?,) ?"
_JOINED = re.compile(
    rf"[{NAME}](?:{_OR}[{NAME}]|{_AND}[{NAME}](?!\)? (?:is|isn't|was|does|doesn't|fits|can|can't|must|seems)\b))+"
)
_OWN = re.compile(rf"([{NAME}])(\)? ?[.:,=|(–—-]{{0,2}}| is|,? which is) ?\(?([{NAME}])\)?( ?[A-Za-z']*)")


def clean(text: str) -> str:
    """Text in plain characters, without Markdown, quotes and LaTeX around its words."""
    return _ARROW.sub("→", _QUOTED.sub(r"\1", _MARKUP.sub("", folded(text))))


def choice(text: str, options: Options) -> str | None:
    """Read text that names one option and says no more: "B", "(b)", "B. Paris", "**B**", or "Paris"."""
    name = (raw := text.strip()).strip("`")
    exact = [letter for letter, option in options.items() if option.strip() == name]
    if exact and (name != raw or not _MARKDOWN.fullmatch(raw)):
        return exact[0] if len(exact) == 1 else None
    if (match := _LABEL.fullmatch(plain := clean(text).strip())) and match[1].upper() in options:
        return match[1].upper()
    if named := _named(plain, options):
        return named[0] if len(named) == 1 else None
    if match := _LABEL_AND_TEXT.fullmatch(plain):
        return match[1].upper() if _named(match[2], options) == [match[1].upper()] else None
    return None


def marked(text: str, options: Options) -> str:
    """Clean text with a mark for each mention of an option."""
    texts = _texts(tuple(options.items()))

    def option(match: re.Match[str]) -> str:
        name = texts.get(_normal(match[0]))
        return _mark(name, _TEXT_MARK) if name else match[0]

    def letter(match: re.Match[str]) -> str:
        kind = str(match.lastgroup)
        if (name := match[kind].upper()) not in options:
            return match[0] if kind != "first" else match[0].replace(match[kind], SEVERAL)
        mark = _mark(name, _BARE_MARK if kind in ("bare", "small") else _LETTER_MARK)
        return match[0][: match.start(kind) - match.start()] + mark if kind in ("small", "first") else mark

    said = _PRIVATE.sub("", clean(text))
    words = said.casefold()
    if there := tuple(name for name in texts if all(word in words for word in name.split())):
        said = _pattern(there).sub(option, said)
    return _JOINED.sub(_several, _OWN.sub(_one, _LETTER.sub(letter, said)))


def letter_of(mark: str) -> str:
    """The letter of a mark; "" where it stands for several options."""
    return "" if mark == SEVERAL else chr((ord(mark) & 0x1F) + ord("A"))


def _mark(letter: str, kind: int) -> str:
    return chr(kind + ord(letter) - ord("A"))


def _one(match: re.Match[str]) -> str:
    """The mark of a letter with its text; of a letter with another's, that of several."""
    first, between, second, after = match.groups()
    if letter_of(first) == letter_of(second):
        return (SEVERAL if first == SEVERAL else _mark(letter_of(first), _LETTER_MARK)) + after
    is_text = [ord(name) & 0x20 for name in (first, second)]
    differs = is_text == [0, 0x20] and between.strip(" ,") and not after.strip()
    return SEVERAL + after if differs or (is_text == [0x20, 0] and "(" in between) else match[0]


def _several(match: re.Match[str]) -> str:
    names = re.findall(f"[{NAME}]", match[0])
    return names[0] if len({letter_of(name) for name in names}) == 1 else SEVERAL


@lru_cache(maxsize=256)
def _texts(options: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """The texts of options, and the letter of each; what several share names none."""
    texts: dict[str, str] = {}
    for letter, option in options:
        if name := _normal(option):
            texts[name] = "" if name in texts else letter
    return {name: letter for name, letter in texts.items() if letter and not re.fullmatch("[a-z]", name)}


@lru_cache(maxsize=256)
def _pattern(names: tuple[str, ...]) -> re.Pattern[str]:
    """A pattern of texts; to make one takes longer than all else here, so it has those alone that may be there."""
    usual = _alternatives(name for name in names if not _COMMON.fullmatch(name))
    common = _alternatives(name for name in names if _COMMON.fullmatch(name))
    return re.compile(
        rf"(?<!\w)(?<![0-9][.,/])(?:(?<![-−+.])|(?<=\s[-−+])|(?=[-−+.\W]))(?:{usual})(?!\w|[.,/^]?[0-9]|%|-\w)"
        rf"|(?:(?<=\b[A-Z][.:,)-]\s)|(?<=answer\sis\s)|(?<=answer:\s)|(?<=it\sis\s))(?:{common})\b"
        r"(?=\s{0,3}(?:[.,;:!?)\]\n…]|$|because\b|since\b|as\b))",
        re.IGNORECASE,
    )


def _alternatives(names: Iterable[str]) -> str:
    return "|".join(re.escape(name).replace(r"\ ", r"\s+") for name in sorted(names, key=len, reverse=True)) or r"(?!)"


def _named(text: str, options: Options) -> list[str]:
    """The letters of the options that a text is, apart from case and punctuation."""
    wanted = _normal(text)
    return [letter for letter, option in options.items() if wanted and _normal(option) == wanted]


@lru_cache(maxsize=1024)
def _normal(text: str) -> str:
    """Words in lower case without punctuation around them; "-5", "1/2" and "2.5" stay what they are."""
    return " ".join(word.strip(".,;:!?()[]\"'*_`$“”") for word in clean(text).casefold().split()).strip()
