"""What sentences say of lettered options: which one they choose, which they deny, which they only mention."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from llmgym.envs.multiple_choice import words
from llmgym.envs.multiple_choice.predicates import Said, said_after
from llmgym.envs.multiple_choice.tokens import Token, clean, tokens_of

_MOST_JOINED = 30  # options in one list; a longer one is read in pieces


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


def read(text: str, options: Mapping[str, str], verdict: Verdict, announced: bool = False) -> None:
    """Read prose, and add what it says to a verdict.

    Args:
        text: The prose, as it was written.
        options: Text of each option by its letter.
        verdict: What was said before.
        announced: Whether the text is what follows "Answer:".
    """
    alone: list[str] = []  # options that have a line to themselves
    for clause, asked in _clauses(tokens_of(clean(text), tuple(options.items()))):
        named = [token for token in clause if token.letter]
        if named and not asked:
            if len({token.letter for token in named}) == 1 and all(
                token.letter or not token.text[0].isalnum() for token in clause
            ):
                alone.append(named[0].letter)
            _Clause(clause, verdict, announced).read()
        announced = announced and not clause
    different = set(alone)
    again = len(alone) == len(different) + 1 and alone[-1] in alone[:-1]  # after a list of the options, one of them
    if (len(different) == 1 or again) and alone[-1] not in verdict.denied and verdict.declared is None:
        verdict.declared = alone[-1]


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
        """Read the clause; one that begins with "or" makes what was said before unclear."""
        if len(self.tokens) > 1 and self.tokens[0].text == "or" and self.tokens[1].letter:
            self.verdict.declared = ""
            return
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
        last = self.tokens[index - 1].text if index else ""
        if word in words.OTHERS and not (word == "most" and self.lead):
            self.other = True
        elif word in words.ASIDE and not (
            (word == "even" and self.lead)
            or (word == "suppose" and last in ("i", "we"))
            or (word == "thought" and last not in words.SPEAKER)
        ):
            self.aside = True
            self.lasting = self.lasting or (
                index > 0 and word in ("because", "since", "although", "though", "while", "whereas", "even")
            )
        if (word == "so" and self._next(index) in ("is", "are", "does", "do")) or (
            word in ("going", "about") and last in ("was", "were")
        ):  # "and so is B", "I was going to say B"
            self.aside = True
            return
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

    def _next(self, index: int) -> str:
        return self.tokens[index + 1].text if index + 1 < len(self.tokens) else ""

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
            if self.subject or index > 0 or word in ("it's", "that's"):
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
            if self.lead == 1 and not self.pronoun:  # what was said to be something, not what is
                self.lead = 0
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
