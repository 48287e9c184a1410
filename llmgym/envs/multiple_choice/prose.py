"""What sentences say of lettered options: which one they choose, which they deny, which they only mention.

No rule knows a letter: "A" and "I" are options where any letter would be one, and elsewhere "B" is none either.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from llmgym.envs.multiple_choice import words
from llmgym.envs.multiple_choice.predicates import Said, said_after

_LATEX = re.compile(
    r"\\(?:text|math|bold)[a-z]*\s?(?=\{)|\\(?:mbox|bm|emph|boxed|fbox)\s?(?=\{)|\\[()\[\],;:! ]"
    r"|</?[a-z_]{2,20}>|<(?=[A-Z]>)|(?<=<[A-Z])>|[{}$]"
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
        if text and text not in words.GRAMMAR and not re.fullmatch("[a-z]", text):
            texts[text] = "" if text in texts else letter
    longest = sorted(texts, key=len, reverse=True)
    named = "|".join(re.sub(r"(?:\\\s)+", lambda _: r"\s+", re.escape(text)) for text in longest) or r"(?!)"
    pattern = rf"""
        (?P<option>(?<![\w])(?<![0-9][.,/])(?:(?<![-−+.])|(?<=\s[-−+])|(?=[-−+.\W]))(?i:{named})(?!\w|[.,/^]?[0-9]|%|-\w))
      | [(\[]\s?(?P<bracketed>[A-Za-z])\s?[)\]]
      | (?<![\w'\\+&°^=<>-])(?:(?<!/)|(?<=\b[A-Z]/))(?<![\d°]\s)(?<![=<>+^*]\s)
        (?P<bare>[A-Z])(?P<close>[)\]])?(?![\w'+\#&^=<>-]|\s[=<>+^])
      | (?P<word>(?:i\.e|e\.g)\.|[Aa]s[ ]well[ ]as\b|[^\W_]+(?:['-][^\W_]+)*)
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
    if word in words.JOIN and len(before) > 1 and before[-2].letter and ahead[0] in words.GONE:
        return True
    if ahead[0] in words.AFTER_LETTER_WITH:
        return len(ahead) > 1 and ahead[1] in words.AFTER_LETTER_WITH[ahead[0]]
    if words.JUDGED.match(" ".join(ahead)):
        return True
    adverb = ahead[0].endswith("ly") or ahead[0] in words.AFTER_ANNOUNCED
    if adverb and (len(ahead) == 1 or after[1]["mark"]):
        return True
    announced = word in words.FILL or word in words.DECIDE or word in words.ANNOUNCE
    known = words.AFTER_ANNOUNCED if announced else words.AFTER_LETTER
    return ahead[0] in known or (announced and ahead[0].endswith("ly"))


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
    return word in words.NEGATE or word.endswith("n't")


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
        letters, end = [self.tokens[index].letter], index + 1
        comma = last = None  # how many options came before the first comma, and before the last joint; where they end
        while len(letters) < _MOST_JOINED and (found := self._joined(end, letters[-1])):
            at, joint = found
            if joint != "own":
                last = (len(letters), end) if joint in ("and", ",") else None
                comma = (comma or last) if joint == "," else None
                letters.append(self.tokens[at].letter)
            end = at + 1
        following = self.tokens[end].text if end < len(self.tokens) else ""
        if last and following in words.SINGULAR:  # "the answer is B, and A is wrong"
            comma = last
        if comma and len(letters) < _MOST_JOINED and following not in ("", ")"):  # "not A, B is"
            count, end = comma
            letters = letters[:count]
        return letters, end

    def _joined(self, start: int, letter: str) -> tuple[int, str] | None:
        """Where an option stands that is joined to the one before, and by what; None where what follows is none."""
        at = start
        while at < len(self.tokens) and not self.tokens[at].letter:
            text = self.tokens[at].text
            if (text not in words.JOIN and text not in words.JOINS_FILL) or (self.negated and text in ":—–-"):
                return None
            at += 1
        if at == len(self.tokens):
            return None
        between = [token.text for token in self.tokens[start:at]]
        if self.tokens[at].letter == letter:
            return at, "own"
        if any(text in words.JOIN for text in between):
            return at, "and" if "and" in between else "or"
        return (at, ",") if "," in between else (at, "") if all(not text.isalnum() for text in between) else None

    def _word(self, word: str, index: int) -> None:
        self.supposed = self.supposed or word in ("if", "unless", "whether")
        self.denies = self.denies or _denies(word)
        if word in words.OTHERS:
            self.other = True
        elif word in words.ASIDE and not (word == "even" and self.lead):
            self.aside = True
            self.lasting = self.lasting or (
                index > 0 and word in ("because", "since", "although", "though", "while", "whereas", "even")
            )
        if word in words.THEREFORE:
            self.negated = False
            self.lead, self.therefore, self.speaker = 2, True, True
            self.aside, self.lasting = self.bracket, False
            return
        self._negation(word, index)
        if word in words.SPEAKER:
            self.speaker = True
        if word in words.HEDGE:
            self.hedged = True
        elif word in ("only", "must", "but"):
            self.hedged = False
        self._leads(word, index)
        if word not in words.SPEAKER | words.FILL | words.DECIDE | words.SUPPOSE and not word.endswith("ly"):
            self.speaker = False

    def _negation(self, word: str, index: int) -> None:
        if _denies(word):
            before = [token.text for token in self.tokens[max(0, index - 2) : index]]
            self.negated = before != ["none", "other"] and not (
                word == "doubt" and before[-1:] in (["no"], ["without"])
            )
        elif word == "out" and index and self.tokens[index - 1].text in words.RULE:
            self.negated = True
        elif word == "but" and index and self.tokens[index - 1].text in words.EXCEPTED:
            self.negated = not self.denies
        elif self.negated and (word in words.STRONG_NEGATE_BREAK or word not in words.NEGATE_ON):
            self.negated = word == "other"

    def _leads(self, word: str, index: int) -> None:
        if word in words.BE:
            if self.subject or index > 0:
                self.lead, self.therefore = 2 if self.subject else max(self.lead, 1), False
            before = self.tokens[index - 1].text if index else ""
            self.pronoun = self.subject or word in ("it's", "that's") or before in ("it", "that", "this", "one", "must")
        elif word in words.ANNOUNCE:
            self.subject = True
            self.pronoun = True
            if word in words.DECIDE and self.speaker:
                self.lead = 2
        elif word in words.DECIDE:
            self.lead, self.therefore = (2, False) if self.speaker else (0, False)
            self.pronoun = True
        elif word in words.SUPPOSE:
            self.lead, self.therefore = (1, True) if self.speaker else (0, False)
            self.pronoun = True
        elif word not in words.FILL | words.SPEAKER | words.HEDGE and not word.endswith("ly"):
            self.lead = 0

    def _mark(self, mark: str) -> None:
        if mark == ",":
            self.negated = self.other = self.hedged = False
            self.aside = self.aside and (self.lasting or self.bracket)
        elif mark == "(":
            self.bracket = True
            self.aside = self.aside or self.lead < 2  # but "the answer is (option A)"
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
        self.negated = self.negated and end < len(self.tokens) and self.tokens[end].text in words.JOIN

    def _deny(self, letters: list[str]) -> None:
        self.verdict.denied.update(letters)
        self.verdict.said.difference_update(letters)
        if self.verdict.declared in letters:
            self.verdict.declared = None
