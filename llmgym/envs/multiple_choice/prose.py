"""What sentences say of lettered options: which one they choose, which they deny, which they only mention.

No rule knows a letter: "A" and "I" are options where any letter would be one, and elsewhere "B" is none either.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from llmgym.envs.multiple_choice import words as W
from llmgym.envs.multiple_choice.predicates import Said, said_after

_LATEX = re.compile(
    r"\\(?:text|math|bold)[a-z]*\s?(?=\{)|\\(?:mbox|bm|emph|boxed|fbox)\s?(?=\{)|\\[()\[\],;:! ]|</?[a-z_]{1,20}>|[{}$]"
)
_MARKDOWN = re.compile(r"^[ \t]*(?:>[ \t]?)+|[*`~#\"“”]+|(?<!\w)[_']+|[_']+(?!\w)", re.MULTILINE)
_MOST_JOINED = 30  # options in one list; a longer one is read in pieces


@dataclass(slots=True)
class Token:
    """A word in lower case or a punctuation mark, or an option where `letter` is set."""

    text: str
    letter: str = ""
    label: bool = False  # named by its letter, not by its text alone


@dataclass(slots=True)
class Verdict:
    """What some prose says, in two strengths, and what it mentions.

    Attributes:
        declared: The option that was last declared the answer; "" where several were at once.
        said: Options that a sentence says is right; "" for several at once.
        mentioned: Options that were named without more.
        denied: Options that were said to be wrong.
    """

    declared: str | None = None
    said: set[str] = field(default_factory=set[str])
    mentioned: set[str] = field(default_factory=set[str])
    denied: set[str] = field(default_factory=set[str])

    @property
    def claim(self) -> str | None:
        """The option that is claimed; "" where it is not clear which one, None where there is no claim."""
        if self.declared is not None or not self.said:
            return self.declared
        return next(iter(self.said)) if len(self.said) == 1 else ""


def clean(text: str) -> str:
    """Text without Markdown, quotes and LaTeX around its words, and with plain apostrophes."""
    return _MARKDOWN.sub("", _LATEX.sub("", re.sub("[’‘]", "'", text)))


def read(text: str, options: Mapping[str, str], verdict: Verdict, announced: bool = False) -> None:
    """Read prose, and add what it says to a verdict.

    Args:
        text: The prose, as it was written.
        options: Text of each option by its letter.
        verdict: What was said before.
        announced: Whether the text is what follows "Answer:".
    """
    alone: list[str] = []  # options that have a line to themselves
    for clause, asked in _clauses(_tokens(clean(text), tuple(options.items()))):
        named = [token for token in clause if token.letter]
        if named and not asked:
            if len(named) == 1 and all(token.letter or not token.text[0].isalnum() for token in clause):
                alone.append(named[0].letter)
            _Clause(clause, verdict, announced).read()
        announced = announced and not clause
    if len(set(alone)) == 1 and alone[0] not in verdict.denied and verdict.declared is None:
        verdict.declared = alone[0]


@lru_cache(maxsize=256)
def _pattern(options: tuple[tuple[str, str], ...]) -> tuple[re.Pattern[str], dict[str, str]]:
    texts: dict[str, str] = {}
    for letter, option in options:
        text = " ".join(clean(option).casefold().split()).strip(".,;:!? ")
        if text and text not in W.GRAMMAR and not re.fullmatch("[a-z]", text):
            texts[text] = "" if text in texts else letter
    longest = sorted(texts, key=len, reverse=True)
    named = "|".join(re.sub(r"(?:\\\s)+", lambda _: r"\s+", re.escape(text)) for text in longest) or r"(?!)"
    pattern = rf"""
        (?P<option>(?<![\w])(?<![0-9][.,/])(?:(?<![-−+.])|(?<=\s[-−+])|(?=[-−+.\W]))(?i:{named})(?!\w|[.,/^]?[0-9]|%|-\w))
      | [(\[]\s?(?P<bracketed>[A-Za-z])\s?[)\]]
      | (?<![\w'\\+&°^=<>-])(?:(?<!/)|(?<=\b[A-Z]/))(?<![\d°]\s)(?<![=<>+^*]\s)(?P<bare>[A-Z])(?P<close>[)\]])?(?![\w'+\#&^=<>-]|\s[=<>+^])
      | (?P<word>(?:i\.e|e\.g)\.|[^\W_]+(?:['-][^\W_]+)*)
      | (?P<mark>\n\s*|[^\w\s])
    """
    return re.compile(pattern, re.VERBOSE), texts


def _tokens(text: str, options: tuple[tuple[str, str], ...]) -> list[Token]:
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
        elif kind == "word":
            tokens.append(Token(match[0].lower()))
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
    if word and word not in W.BEFORE_LETTER and not word.endswith("ly"):
        return False
    if not after or after[0]["option"]:
        return True
    words = [match[0].lower() for match in after]
    if words[0] == "." and len(after) > 1 and after[1]["word"] and after[1][0][0].islower():
        return words[1] in W.AFTER_LETTER  # else "E. coli"
    if words[0] == "/" and len(after) > 1 and after[1]["option"] is None:
        return after[1]["bare"] in letters  # else "I/O"
    if after[0]["word"] is None:
        return after[0]["bare"] is None or after[0]["bare"] in letters
    if word in W.JOIN and len(before) > 1 and before[-2].letter and words[0] in W.GONE:
        return True
    if words[0] in W.AFTER_LETTER_WITH:
        return len(words) > 1 and words[1] in W.AFTER_LETTER_WITH[words[0]]
    if W.JUDGED.match(" ".join(words)):
        return True
    announced = word in W.FILL or word in W.DECIDE or word in W.ANNOUNCE
    known = W.AFTER_ANNOUNCED if announced else W.AFTER_LETTER
    return words[0] in known or (announced and words[0].endswith("ly"))


def _clauses(tokens: list[Token]) -> Iterator[tuple[list[Token], bool]]:
    """Sentences without their end, and whether each asks; "B. Rome" is one token, not two sentences."""
    clause: list[Token] = []
    for index, token in enumerate(tokens):
        if token.text in (".", "!", "?", ";", "\n") and not token.letter:
            if token.text == "." and _own_text(tokens, index):
                continue
            yield clause, token.text == "?"
            clause = []
        else:
            clause.append(token)
    yield clause, False


def _own_text(tokens: list[Token], index: int) -> bool:
    """Whether the mark stands between the letter and the text of one option."""
    if not 0 < index < len(tokens) - 1:
        return False
    label, text = tokens[index - 1], tokens[index + 1]
    return label.label and bool(text.letter) and label.letter == text.letter


def _denies(word: str) -> bool:
    return word in W.NEGATE or word.endswith("n't")


class _Clause:
    """One sentence, read from its beginning; words change what the next option is said to be."""

    def __init__(self, tokens: list[Token], verdict: Verdict, announced: bool) -> None:
        self.tokens = tokens
        self.verdict = verdict
        self.lead = 2 if announced else 0  # how strongly what comes next is chosen
        self.therefore = False  # whether only "so" or "I think" leads, after which a sentence may go on
        self.subject = announced  # whether the sentence is about the answer
        self.pronoun = announced
        self.speaker = True  # whether only words of the speaker came before
        self.negated = self.hedged = self.aside = self.bracket = self.other = False
        self.supposed = self.denies = False  # whether there was any "if", and any "not"
        self.lasting = False  # whether the aside goes on to the end

    def read(self) -> None:
        index = 0
        while index < len(self.tokens):
            token = self.tokens[index]
            if token.letter:
                letters, index = self._group(index)
                self._option(letters, index, bool(token.label))
            elif token.text[0].isalnum():
                self._word(token.text, index)
                index += 1
            else:
                self._mark(token.text)
                index += 1

    def _group(self, index: int) -> tuple[list[str], int]:
        """The options that "or", "and", "/" or commas join to that at an index, and where what follows begins."""
        letters, end, commas_from = [self.tokens[index].letter], index + 1, None
        at = end
        joined = False
        while at < len(self.tokens) and len(letters) < _MOST_JOINED:
            token = self.tokens[at]
            if token.letter:
                own = token.letter == letters[-1]
                between = [t.text for t in self.tokens[end:at]]
                plain = all(mark in ("(", ":", "-", "–", "—", "=", ".") for mark in between)
                join = any(text in W.JOIN for text in between)
                comma = "," in between
                if not (own or plain or join or comma):
                    break
                if not join and comma and not own and commas_from is None:
                    commas_from = (len(letters), end)
                joined = joined or join
                if not own:
                    letters.append(token.letter)
                end = at + 1
                if join:
                    commas_from = None
            elif token.text not in ("(", ":", "-", "–", "—", "=", ",") and not (
                token.text in W.JOIN or token.text in ("option", "choice", "answer", "even", "maybe", "possibly",
                                                       "perhaps", "also", "either", "the", "letter", "well", "both", ".")
            ):  # fmt: skip
                break
            at += 1
        if (
            commas_from is not None
            and len(letters) < _MOST_JOINED
            and end < len(self.tokens)
            and self.tokens[end].text != ")"
        ):  # "not A, B is"
            count, end = commas_from
            letters = letters[:count]
        return letters, end

    def _word(self, word: str, index: int) -> None:
        self.supposed = self.supposed or word in ("if", "unless", "whether")
        self.denies = self.denies or _denies(word)
        if word in W.OTHERS:
            self.other = True
        elif word in W.ASIDE and not (word == "even" and self.lead):
            self.aside = True
            self.lasting = self.lasting or (
                index > 0 and word in ("because", "since", "although", "though", "while", "whereas", "even")
            )
        if word in W.THEREFORE:
            self.negated = False
            self.lead, self.therefore, self.speaker = 2, True, True
            self.aside, self.lasting = self.bracket, False
            return
        self._negation(word, index)
        if word in W.SPEAKER:
            self.speaker = True
        if word in W.HEDGE:
            self.hedged = True
        elif word in ("only", "must", "but"):
            self.hedged = False
        self._leads(word, index)
        if word not in W.SPEAKER | W.FILL | W.DECIDE | W.SUPPOSE and not word.endswith("ly"):
            self.speaker = False

    def _negation(self, word: str, index: int) -> None:
        if _denies(word):
            before = [token.text for token in self.tokens[max(0, index - 2) : index]]
            self.negated = before != ["none", "other"]
        elif word == "out" and index and self.tokens[index - 1].text in W.RULE:
            self.negated = True
        elif word == "but" and index and self.tokens[index - 1].text == "anything":
            self.negated = not self.denies
        elif self.negated and (word in W.STRONG_NEGATE_BREAK or word not in W.NEGATE_ON):
            self.negated = word == "other"

    def _leads(self, word: str, index: int) -> None:
        if word in W.BE:
            if self.subject or index > 0:
                self.lead, self.therefore = 2 if self.subject else max(self.lead, 1), False
            before = self.tokens[index - 1].text if index else ""
            self.pronoun = self.subject or word in ("it's", "that's") or before in ("it", "that", "this", "one", "must")
        elif word in W.ANNOUNCE:
            self.subject = True
            self.pronoun = True
            if word in W.DECIDE and self.speaker:
                self.lead = 2
        elif word in W.DECIDE:
            self.lead, self.therefore = (2, False) if self.speaker else (0, False)
            self.pronoun = True
        elif word in W.SUPPOSE:
            self.lead, self.therefore = (1, True) if self.speaker else (0, False)
            self.pronoun = True
        elif word not in W.FILL | W.SPEAKER | W.HEDGE and not word.endswith("ly"):
            self.lead = 0

    def _mark(self, mark: str) -> None:
        if mark == ",":
            self.negated = self.other = self.hedged = False
            self.aside = self.aside and (self.lasting or self.bracket)
        elif mark == "(":
            self.bracket = self.aside = True
        elif mark == ")" and self.bracket:
            self.bracket = self.aside = False
        elif mark in ":=→" and self.subject:
            self.lead, self.pronoun = 2, True

    def _option(self, letters: list[str], end: int, label: bool) -> None:
        """Note what is said of the option or options that end before an index."""
        following = [token.text for token in self.tokens[end : end + 12]]
        verdict, after = self.verdict, said_after(following[1:] if following[:1] == [")"] else following)
        lead = 0 if (self.therefore and after.verb) or not (label or self.pronoun) else self.lead
        self.lead = 0
        chosen = letters[0] if len(set(letters)) == 1 else ""
        if self.negated or after is Said.WRONG:
            if not (self.negated and after is Said.WRONG) and not self.supposed:
                self._deny(letters)
        elif self.aside or self.other:
            pass
        elif self.hedged or after is Said.MAYBE:
            verdict.mentioned.update(letters)
        elif after is Said.CHOSEN or lead == 2:
            verdict.declared = chosen
        elif after is Said.RIGHT or lead == 1:
            verdict.said.add(chosen)
        elif after is not Said.NOT_SO:
            verdict.mentioned.update(letters)
        self.negated = self.negated and end < len(self.tokens) and self.tokens[end].text in W.JOIN

    def _deny(self, letters: list[str]) -> None:
        self.verdict.denied.update(letters)
        self.verdict.said.difference_update(letters)
        if self.verdict.declared in letters:
            self.verdict.declared = None
