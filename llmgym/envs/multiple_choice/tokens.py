"""Prose as words, marks and options: which letters name options is told by the words beside them.

No rule knows a letter: "A" and "I" are options where any letter would be one, and elsewhere "B" is none either.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from llmgym.envs.multiple_choice import words
from llmgym.envs.text import folded

_LATEX = re.compile(
    r"\\(?:text|math|bold)[a-z]*\s?(?=\{)|\\(?:mbox|bm|emph|boxed|fbox)\s?(?=\{)|\\[()\[\],;:! ]"
    r"|</?(?:[a-z_]{2,20}|[bipsu])>|<(?=[A-Z]>)|(?<=<[A-Z])>|[{}$]"
)
_MARKDOWN = re.compile(
    r"^[ \t]*(?:(?:>[ \t]?)+|#{1,6}(?=[ \t*_]))|~~[^~\n]{0,300}~~|[*`~\"“”\ufe0f]+|(?<!\w)[_']+|[_']+(?!\w)",
    re.MULTILINE,
)
_TURN_END = re.compile(r"<\|[^|<>\n]{1,40}\|>")  # a mark of the chat template that the reply kept
_ARROW = re.compile(r"[-=]{1,2}>|\\(?:right|Right)arrow(?![a-z])|[⇒➡⟹]")
_SMALL_LEADS = re.compile(
    r"(?:^| )(?:(?:option|choice|letter|answer)(?: is)?(?: :)?|(?:it|answer) is|it's"
    r"|(?:i|i'll|i'd|we) (?:choose|pick|select|say)|(?:go|going) with) $"
)


@dataclass(slots=True)
class Token:
    """A word in lower case or a punctuation mark, or an option where `letter` is set."""

    text: str
    letter: str = ""
    label: bool = False  # named by its letter, not by its text alone


def clean(text: str) -> str:
    """Text in plain characters, without Markdown, quotes and LaTeX around its words."""
    text = _TURN_END.sub(" ", folded(text))
    return _ARROW.sub("→", _MARKDOWN.sub("", _LATEX.sub("", text)))


@lru_cache(maxsize=256)
def _pattern(options: tuple[tuple[str, str], ...]) -> tuple[re.Pattern[str], dict[str, str]]:
    texts: dict[str, str] = {}
    for letter, option in options:
        text = " ".join(clean(option).casefold().split()).strip(".,;:!? ")
        if text and text not in words.GRAMMAR and not re.fullmatch("[a-z]", text):
            texts[text] = "" if text in texts else letter
    longest = sorted(texts, key=len, reverse=True)
    named = "|".join(re.sub(r"(?:\\\s)+", lambda _: r"\s+", re.escape(text)) for text in longest) or r"(?!)"
    pattern = rf"""
        (?P<option>(?<![\w])(?<![0-9][.,/])(?:(?<![-−+.])|(?<=\s[-−+])|(?=[-−+.\W]))(?i:{named})(?!\w|[.,/^]?[0-9]|%|-\w))
      | (?<!\w)[(\[]\s?(?P<bracketed>[A-Za-z])\s?[)\]]
      | (?<!\w[(\[])(?<![\w'\\+&°^=<>-])(?:(?<!/)|(?<=\b[A-Z]/))(?<![\d°]\s)(?<![=<>+^*]\s)
        (?P<bare>[A-Z])(?P<close>[)\]])?(?![\w'+\#&^=<>-]|\s[=<>+^])
      | (?<![\w'\\+&°^=<>/(\[-])(?P<small>[a-z])(?=\s*(?:$|[.,:;!)\n]|because\b|since\b))(?![.]\w)
      | (?P<word>(?:i\.e|e\.g)\.|[Aa]s[ ]well[ ]as\b|[^\W_]+(?:['-][^\W_]+)*)
      | (?P<mark>\n\s*|[^\w\s])
    """
    return re.compile(pattern, re.VERBOSE), texts


def tokens_of(text: str, options: tuple[tuple[str, str], ...]) -> list[Token]:
    """Words, marks and options of clean prose; which letters are options is decided by their neighbours."""
    pattern, texts = _pattern(options)
    letters = {letter for letter, _ in options}
    tokens: list[Token] = []
    opened = False
    found = list(pattern.finditer(text))
    for index, match in enumerate(found):
        kind = match.lastgroup
        if match["option"]:
            name = " ".join(match[0].casefold().split())
            tokens.append(Token(name, texts.get(name, "")))
        elif match["bracketed"]:
            letter = match["bracketed"].upper()
            tokens.append(Token(letter.lower(), letter if letter in letters else "", label=True))
        elif match["bare"]:
            letter = match["bare"] if match["bare"] in letters else ""
            if letter and not (match["close"] or _is_label(tokens, found[index + 1 : index + 8], letters)):
                letter = ""
            tokens.append(Token(match["bare"].lower(), letter, label=True))
            if match["close"] and opened:  # the mark belongs to "(not A)", not to "A)"
                tokens.append(Token(")"))
                opened = False
        elif kind == "small":
            before = " ".join(token.text for token in tokens[-3:]) + " "
            letter = match["small"].upper() if _SMALL_LEADS.search(before) else ""
            tokens.append(Token(match["small"], letter if letter in letters else "", label=True))
        elif kind == "word":
            word = match[0].lower()
            plain = next((letter for letter, text in options if text.strip().casefold() == word), "")
            if plain and _is_text(tokens, found[index + 1 : index + 2], plain):
                tokens.append(Token(word, plain))
            elif word.endswith("'s") and word[:-2] in words.ANNOUNCE:
                tokens += [Token(word[:-2]), Token("is")]
            else:
                tokens.append(Token("and" if word.startswith("as ") else word))
        else:
            opened = match[0] == "(" or (opened and match[0] not in (")", "\n"))
            tokens.append(Token("\n" if match[0].isspace() else match[0]))
    return tokens


def _is_label(before: list[Token], after: list[re.Match[str]], letters: set[str]) -> bool:
    """Whether a capital letter that stands alone names an option, by the words beside it."""
    last = before[-1] if before else None
    if last and last.text == "/" and not (len(before) > 1 and before[-2].letter):
        return False  # "N/A"
    word = last.text if last and not last.letter and last.text[0].isalnum() else ""
    if (word in words.JOIN or (last and last.text == ",")) and _is_name(before[-3:-1]):
        return False  # "vitamin A and C"
    if word and word not in words.BEFORE_LETTER and not word.endswith("ly"):
        return False
    if not after or after[0]["option"]:
        return True
    ahead = [match[0].lower() for match in after]
    if ahead[0] == "." and len(after) > 1 and after[1]["word"] and after[1][0][0].islower():
        return ahead[1] in words.AFTER_LETTER  # else "E. coli"
    if ahead[0] == "/" and len(after) > 1 and after[1]["option"] is None:
        return after[1]["bare"] in letters  # else "I/O"
    if after[0]["word"] is None:
        return after[0]["bare"] is None or after[0]["bare"] in letters
    return _goes_on(before, word, ahead, ends=len(ahead) == 1 or bool(after[1]["mark"]))


def _goes_on(before: list[Token], word: str, ahead: list[str], *, ends: bool) -> bool:
    """Whether the words after a letter go on as they do after the name of an option.

    Args:
        before: What stands before the letter.
        word: The last word of it, where it ends with one.
        ahead: The words and marks after the letter.
        ends: Whether a mark, or nothing, follows the first of them.
    """
    if word in words.JOIN and len(before) > 1 and before[-2].letter and ahead[0] in words.GONE | words.AFTER_LETTERS:
        return True
    adverb = ahead[0].endswith("ly") or ahead[0] in words.AT_END
    if adverb and ends:
        return True
    if ahead[0] in words.AFTER_LETTER_WITH:
        return len(ahead) > 1 and ahead[1] in words.AFTER_LETTER_WITH[ahead[0]]
    if words.JUDGED.match(" ".join(ahead)):
        return True
    if ahead[0] in words.MODALS and not (len(ahead) > 1 and ahead[1] in ("be", "not", "only")):
        return False  # "I would say"
    announced = word in words.FILL or word in words.DECIDE or word in words.ANNOUNCE
    known = words.AFTER_ANNOUNCED if announced else words.AFTER_LETTER
    return ahead[0] in known or (announced and ahead[0].endswith("ly"))


def _is_name(before: list[Token]) -> bool:
    """Whether the last of some words is a letter that names no option."""
    return bool(before) and not before[-1].letter and len(before[-1].text) == 1 and before[-1].text.isalpha()


def _is_text(before: list[Token], after: list[re.Match[str]], letter: str) -> bool:
    """Whether a word of grammar, such as "true", is the text of an option: beside its letter, or as the answer."""
    last = before[-2:] if before and before[-1].text in (",", ".", ":", "-", "–", "—", "(") else before[-1:]
    if last and last[0].label:
        return last[0].letter == letter
    subject = [token.text for token in before[-2:]]
    ends = not after or bool(after[0]["mark"]) or after[0][0] in ("because", "since", "as")
    return (
        ends
        and len(subject) == 2
        and (subject[0] in words.ANNOUNCE or subject[0] == "it")
        and subject[1] in ("is", ":")
    )
