"""Numbers in text: how exact ones are shown, and which number of a reply is its answer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

from llmgym.verifiers.numbers.notation import Number, is_listed, numbers_in, plain, whole_number
from llmgym.verifiers.text import boxes, without_thoughts

_LONGEST_LINE = 100  # characters of one that is a number alone
_MAX_PLACES = 30  # decimal places that are shown before a fraction is

_STATED = re.compile(
    r"(?<![^\W_])(?:answer|final (?:result|value|number|total|amount))\b(?:[ ](?:to|for|of)\b[^\n:=]{0,80}?)?"
    r"(?:[ ]?\([^()\n]{0,40}\))?[ \t\"'*_`]{0,6}"
    r"(?:(?:(?:is|was|would be|must be|should be|will be|equals)(?![^\W\d])|:|=|->|→)[ \t\"'*_`]{0,6}){1,3}"
    r"|####|<answer>",
    re.IGNORECASE,
)
_HEADING = re.compile(
    r"^[#*_ \t]{0,8}(?:the |my )?(?:final |correct )?answer[*_: \t]{0,8}$", re.IGNORECASE | re.MULTILINE
)
_NOT_STATED = re.compile(
    r"(?:wrong|incorrect|first|initial|previous|other|another|your|possible)[\s*_]{1,4}$", re.IGNORECASE
)
_DIRECT = re.compile(
    r"[\s$*_`\\(\[\]{}\"'≈~=:,+–-]*(?:(?:therefore|thus|then|exactly|about|approximately|around|roughly|simply|just"
    r"|equal to|indeed|actually|clearly|also|now|the (?:number|value|integer|fraction)|minus|negative|USD|EUR|GBP"
    r"|[$€£¥₹]|[A-Za-z] ?=)[\s$*_`\\(\[{\"':,≈~+–-]*){0,6}",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"[.!?](?=\s|$)|\n|</answer>|;")
_SENTENCE_MARK = re.compile(r"[.!?](?=[ ])|[\n;]")
_JOINED = re.compile(r"[\s$*_`)\]}]{0,6}(?:,? ?\bor\b|,? ?\band\b)[\s$*_`(\\\[{]{0,6}")
_BOXES_JOINED = re.compile(r"[\s$*,]{0,9}(?:\b(?:or|and)\b|[,/&])[\s$*]{0,9}")
_COMMA = re.compile(r"[\s$*_`]{0,6},[\s$*_`]{0,6}")
_ITEM_END = re.compile(r"[\s$*_`]{0,6}(?:$|[,;.]|(?:or|and)\b)")
_OPERATOR = re.compile(r"[\s$)\]}]{0,4}(?:[-+*/×÷·^x]|\\times|\\cdot|\\div)[\s$(\[{]{0,4}")
TURN = re.compile(
    r"(?:^|[.!?\n]\s{0,3}|[—–]\s?)(?:(?:hmm+|oh|oops|sorry|but),? )?"
    r"(?:no(?=[ \t]*(?:$|[\n,.!?:;…–—-])|\s(?:wait|sorry|it|that|this|the|i|we|my)\b)"
    r"|wait|actually|correction|scratch that|oops|hold on)\b",
    re.IGNORECASE,
)
_ALONE = re.compile(r"[\s*_`$=#>\\()\[\]{}≈~€£¥₹+–-]*(?:(?:minus|negative)[\s$€£¥]*)?", re.IGNORECASE)
_UNIT = re.compile(r"[\s*_`$\\()\[\]{}.!%°€£¥]*(?:[A-Za-z°²³/^0-9]{1,15}[\s*_`$\\()\[\]{}.!]*)?")

_OR = re.compile(r"[\s$*_`)\]}]{0,6}(?:,? ?\bor\b)[\s$*_`(\\[{]{0,6}")
_FORMULA = re.compile(r"\\(?:sqrt|pi|log|ln|sin|cos|tan|exp|binom)(?![a-z])|[√π]|[0-9]!")  # of which a number is a part
_EQUATION = re.compile(r"[=≈]|\\approx(?![a-z])")

_NEAR = 60  # characters around a number in which its unit stands


class Stated(NamedTuple):
    """A number that is stated, and what stands around it; None as its value where it is unclear or cannot be read."""

    value: Fraction | None
    before: str = ""
    after: str = ""


_UNCLEAR = Stated(None)


def format_number(value: Fraction | int) -> str:
    """Show a number exactly: as an integer, else as a decimal of up to 30 places, else as "3/7"."""
    if value.denominator == 1:
        return str(value.numerator)
    places = decimal_places(value)
    if places is None or places > _MAX_PLACES:
        return f"{value.numerator}/{value.denominator}"
    digits = f"{abs(value.numerator) * 10**places // value.denominator:0{places + 1}d}"
    return f"{'-' if value < 0 else ''}{digits[:-places]}.{digits[-places:]}"


def decimal_places(value: Fraction | int) -> int | None:
    """How many decimal places show a number exactly; None where no number of them does."""
    rest, counts = value.denominator, {2: 0, 5: 0}
    for prime in counts:
        while rest % prime == 0:
            rest //= prime
            counts[prime] += 1
    return max(counts.values()) if rest == 1 else None


def parse_number(text: str) -> Fraction | None:
    """Read text that is one number and nothing else, in any notation; None where it is not."""
    return whole_number(plain(text).strip())


def final_number(text: str) -> Fraction | None:
    r"""The number that a reply states as its answer; None where there is none, or not a clear one.

    The last `\boxed{...}`, "the answer is ..." or "Answer: ..." counts, whatever else follows, unless "No, wait" and
    another number do. Else a line that is a number alone counts, the last of the text or its first; else the last
    number. What stands in parentheses behind a number explains it, as does "because ..."; "5 + 10 = 15" and
    "15 = 5 + 10" state 15, "13, not 12" states 13, and "3 or 4" none. Numbers in thoughts do not count. A percent sign
    is a unit: "50%" is 50. See `notation` for how numbers may be written.
    """
    found = stated_number(text)
    return found.value if found else None


def stated_number(text: str) -> Stated | None:
    """As `final_number`, with what stands around the number; None where there is none."""
    reply = _Reply(plain(without_thoughts(text)))
    return reply.stated() or reply.line_alone() or reply.last(0, len(reply.text))


def statements(text: str) -> Iterator[tuple[int, int]]:
    """Where a text says "the answer is", "Answer:" or the like of its own answer, and where what it states begins."""
    for match in _STATED.finditer(text):
        if match[0] == "####" and _HEADING.match(text, match.start()):
            continue
        if _NOT_STATED.search(text[max(0, match.start() - 20) : match.start()]) is None:
            yield match.span()


def below_heading(text: str) -> str:
    """What stands below the last line that is "Answer" or the like alone; all of a text without one."""
    headings = list(_HEADING.finditer(text))
    return text[headings[-1].end() :] if headings else text


class _Reply:
    """A reply in plain notation, and the ways to find the number that it states."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._listed = is_listed(text)

    def _numbers(self, start: int, end: int) -> Iterator[Number]:
        return numbers_in(self.text, start, end, self._listed)

    def _found(self, number: Number) -> Stated:
        text, (value, start, end) = self.text, number
        return Stated(value, text[max(0, start - _NEAR) : start], text[end : end + _NEAR])

    def stated(self) -> Stated | None:
        """What the last box or statement says that holds a number, or what corrects it."""
        text, stop = self.text, len(self.text)
        boxed = {start: (end, content) for start, end, content in boxes(text)}
        says = dict(statements(text))
        forms = sorted([*boxed, *says])
        for place in range(len(forms) - 1, -1, -1):
            start = forms[place]
            if start in boxed:
                end, content = boxed[start]
                found = _Reply(content).last(0, len(content))
                before = forms[place - 1] if place else -1
                if found and _FORMULA.search(_EQUATION.split(content)[-1]):
                    return _UNCLEAR
                if found and before in boxed and _BOXES_JOINED.fullmatch(text, boxed[before][0], start):
                    return _UNCLEAR
            else:
                end = says[start]
                found = self._statement(end, stop)
            if found:
                turn = TURN.search(text, end)
                return (turn and self.last(turn.end(), len(text))) or found
            stop = start
        return None

    def _statement(self, start: int, stop: int) -> Stated | None:
        """The number that follows "the answer is" directly, else the result or last number of that sentence."""
        text = self.text
        while start < stop and text[start].isspace():
            start += 1
        end = _end_of_sentence(text, start, stop)
        numbers = list(self._numbers(start, end))
        if not numbers or not _DIRECT.fullmatch(text, start, numbers[0].start):
            return self._result(numbers, start, end)
        first = numbers[0]
        if len(numbers) > 1:
            between = text[first.end : numbers[1].start]
            if _JOINED.fullmatch(between) or (
                _COMMA.fullmatch(between) and _ITEM_END.match(text[numbers[1].end : end])  # "13, 12 of them red" is 13
            ):
                return _UNCLEAR
            if "=" in between.strip(" $") or _OPERATOR.fullmatch(between):
                return self._result(numbers, start, end) if "=" in text[start:end] else _UNCLEAR
        return self._found(first)

    def _result(self, numbers: list[Number], start: int, end: int) -> Stated | None:
        """The last number, of equations the last side that is one number: 15 in "5 + 10 = 15" and in "15 = 5 + 10"."""
        if not numbers:
            return None
        sides: list[list[Number]] = [[]]
        at = start
        for number in numbers:
            sides += [[] for _ in range(self.text.count("=", at, number.start))]
            sides[-1].append(number)
            at = number.end
        if len(numbers) > 1 and _OR.fullmatch(self.text, numbers[-2].end, numbers[-1].start):
            return _UNCLEAR
        single = [side[0] for side in sides if len(side) == 1] if len(sides) > 1 else []
        return self._found((single or numbers)[-1])

    def line_alone(self) -> Stated | None:
        """The number that is all of the last line, or of the first."""
        text = self.text.rstrip()
        last = text.rfind("\n") + 1
        first = len(text) - len(text.lstrip())
        for start, end in ((last, len(text)), (first, _end_of_line(text, first))):
            if end - start > _LONGEST_LINE:
                continue
            numbers = self._numbers(start, end)
            if (
                (number := next(numbers, None))
                and _ALONE.fullmatch(text, start, number.start)
                and _UNIT.fullmatch(text, number.end, end)
                and next(numbers, None) is None
            ):
                return self._found(number)
        return None

    def last(self, start: int, end: int) -> Stated | None:
        """The result or last number of the last sentence that has one."""
        for mark in reversed(list(_SENTENCE_MARK.finditer(self.text, start, end))):
            if numbers := list(self._numbers(mark.end(), end)):
                return self._result(numbers, mark.end(), end)
            end = mark.end()
        return self._result(list(self._numbers(start, end)), start, end)


def _end_of_sentence(text: str, start: int, stop: int) -> int:
    found = _SENTENCE_END.search(text, start, stop)
    return found.start() if found else stop


def _end_of_line(text: str, start: int) -> int:
    end = text.find("\n", start)
    return len(text) if end < 0 else end
