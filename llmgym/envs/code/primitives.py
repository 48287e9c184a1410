"""The steps that rules are made of: each is told in words, and is a Python expression of `x`, and maybe of `K`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Literal

#: What goes into a step and comes out of it: a list of integers, an integer, a text, a list of words, a dict from text
#: to integers.
Kind = Literal["numbers", "number", "text", "words", "table"]

_PARAMETER = re.compile(r"\bK\b")
_NAMES: dict[str, Any] = {"Counter": Counter, "groupby": groupby}


@dataclass(frozen=True)
class Primitive:
    """A step.

    Attributes:
        takes: What goes in.
        gives: What comes out.
        code: The expression.
        said: Ways to say it, with `{k}` for the parameter.
        choices: Values of the parameter; none where there is no parameter.
    """

    takes: Kind
    gives: Kind
    code: str
    said: tuple[str, ...]
    choices: Sequence[Any] = ()
    run: Callable[[Any, Any], Any] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        """Compile the expression."""
        object.__setattr__(self, "run", eval(f"lambda x, K: {self.code}", _NAMES))

    def source(self, k: Any) -> str:
        """The expression for a value of the parameter."""
        return _PARAMETER.sub(lambda _: repr(k), self.code)


def _of(takes: Kind, gives: Kind, *rows: tuple[Any, ...]) -> list[Primitive]:
    """Primitives of rows of an expression, ways to say it, and maybe choices."""
    return [
        Primitive(takes, gives, code, tuple(part for part in rest if isinstance(part, str)), rest[-1])
        if not isinstance(rest[-1], str)
        else Primitive(takes, gives, code, rest)
        for code, *rest in ((row[0], *row[1:]) for row in rows)
        for rest in (tuple(rest),)
    ]


_SEPARATORS = ("-", "/", "+", "_", "; ")
_LETTERS = ("a", "e", "i", "l", "n", "o", "r", "s", "t")

PRIMITIVES: tuple[Primitive, ...] = tuple(
    _of(
        "numbers",
        "numbers",
        ("[n for n in x if n % K == 0]", "Keep only the numbers that are divisible by {k}.", range(2, 6)),
        ("[n for n in x if n % K != 0]", "Remove every number that is divisible by {k}.", range(2, 6)),
        ("[n for n in x if n > K]", "Keep only the numbers greater than {k}.", range(-5, 16)),
        ("[n for n in x if n < K]", "Keep only the numbers less than {k}.", range(10, 40)),
        ("x[::2]", "Keep only every second number, beginning with the first.", "Keep the first number, the third, "
         "the "
         "fifth and so on, and drop the others."),
        ("x[1::2]", "Keep only every second number, beginning with the second.", "Keep the second number, the "
         "fourth, "
         "the sixth and so on, and drop the others."),
        ("[n + K for n in x]", "Add {k} to each number.", "Increase each number by {k}.", range(1, 10)),
        ("[n - K for n in x]", "Subtract {k} from each number.", "Decrease each number by {k}.", range(1, 10)),
        ("[n * K for n in x]", "Multiply each number by {k}.", range(2, 8)),
        ("[n * n for n in x]", "Square each number.", "Replace each number by its square."),
        ("[abs(n) for n in x]", "Replace each number by its absolute value."),
        ("sorted(x)", "Sort the numbers from smallest to largest.", "Put the numbers into ascending order."),
        ("sorted(x, reverse=True)", "Sort the numbers from largest to smallest.", "Put the numbers into descending "
         "order."),
        ("x[::-1]", "Reverse the order of the numbers.", "Put the numbers into the opposite order."),
        ("list(dict.fromkeys(x))", "Of numbers that are equal, keep only the first.", "Remove repeated numbers: of "
         "each, only its first occurrence stays."),
        ("[sum(x[: i + 1]) for i in range(len(x))]", "Replace each number by the sum of all numbers up to and "
         "including "
         "it.", "Replace the list by its running totals."),
        ("[b - a for a, b in zip(x, x[1:])]", "Replace the list by the differences of neighbours: each number minus "
         "the "
         "one before it, beginning with the second number."),
        ("x[:K]", "Keep only the first {k} numbers, or all where there are fewer.", range(3, 7)),
        ("x[K:]", "Drop the first {k} numbers, or all where there are fewer.", range(2, 5)),
        ("x[-K:]", "Keep only the last {k} numbers, or all where there are fewer.", range(2, 7)),
        ("x[K:] + x[:K]", "Move the first {k} numbers to the end, in their order; a list of at most {k} numbers "
         "stays as "
         "it is.", range(2, 6)),
        ("[max(n, K) for n in x]", "Replace each number less than {k} by {k}.", range(13)),
        ("[min(n, K) for n in x]", "Replace each number greater than {k} by {k}.", range(8, 30)),
        ("[sum(map(int, str(abs(n)))) for n in x]", "Replace each number by the sum of its decimal digits, without "
         "regard to its sign."),
        ("[n * (i + 1) for i, n in enumerate(x)]", "Multiply each number by its position in the list, where the "
         "first "
         "position is 1."),
        ("[n // 2 if n % 2 == 0 else n for n in x]", "Halve each even number, and leave the odd ones as they are."),
        ("[n % K for n in x]", "Replace each number by its remainder modulo {k}, which is never negative, as "
         "Python's % "
         "gives it.", range(3, 12)),
        ("[max(x[: i + 1]) for i in range(len(x))]", "Replace each number by the largest of the numbers up to and "
         "including it."),
        ("[a + b for a, b in zip(x, [*x[1:], 0])]", "Add to each number the one that follows it, as it was before "
         "this "
         "step; the last number stays as it is."),
        ("[n for n in x if x.count(n) == 1]", "Keep only the numbers that occur exactly once."),
        ("[n for i, n in enumerate(x) if i == 0 or n > x[i - 1]]", "Keep the first number, and each number that is "
         "greater than the one directly before it in the list as it was before this step; drop the others."),
    )
    + _of(
        "numbers",
        "number",
        ("sum(x)", "Take the sum of the numbers, or 0 where there are none.", "Add up the numbers; with none the sum "
         "is 0."),
        ("max(x, default=0)", "Take the largest of the numbers, or 0 where there are none."),
        ("min(x, default=0)", "Take the smallest of the numbers, or 0 where there are none."),
        ("len(x)", "Count the numbers.", "Take how many numbers there are."),
        ("max(x, default=0) - min(x, default=0)", "Take the largest number minus the smallest, or 0 where there are "
         "none."),
        ("len(set(x))", "Count how many different numbers there are."),
        ("sum(x[::2]) - sum(x[1::2])", "Take the first number minus the second plus the third minus the fourth and "
         "so "
         "on, or 0 where there are none."),
        ("max((len(list(g)) for _, g in groupby(x)), default=0)", "Take the length of the longest run of equal "
         "numbers "
         "that stand side by side, or 0 where there are none."),
        ("sum(b > a for a, b in zip(x, x[1:]))", "Count the numbers that are greater than the one directly before "
         "them."),
        ("(sorted(set(x))[-2:-1] or [0])[0]", "Take the second largest of the different values, or 0 where there are "
         "fewer "
         "than two."),
        ("max(sorted(set(x)), key=x.count, default=0)", "Take the number that occurs most often, the smallest of "
         "these "
         "where there are several, or 0 where there are no numbers."),
    )
    + _of(
        "numbers",
        "text",
        ("K.join(str(n) for n in x)", "Write the numbers one after another, with {k} between them.", _SEPARATORS),
    )
    + _of(
        "text",
        "text",
        ("x[::-1]", "Reverse the text.", "Write the characters of the text in the opposite order."),
        ("x.upper()", "Change all letters to upper case."),
        ("x.lower()", "Change all letters to lower case."),
        ("x.swapcase()", "Change upper-case letters to lower case and lower-case letters to upper case."),
        ("''.join(c for c in x if c not in 'aeiouAEIOU')", "Remove all vowels (a, e, i, o, u, of either case)."),
        ("''.join(c for c in x if c.isalpha())", "Remove all characters that are not letters, blanks too."),
        ("x.replace(' ', K)", "Replace each blank by {k}.", ("-", "_", ".", "/")),
        ("''.join(c * 2 for c in x)", "Write each character twice, one directly after the other."),
        ("''.join(chr((ord(c) - 97 + K) % 26 + 97) if 'a' <= c <= 'z' else c for c in x)", "Replace each lower-case "
         "letter by the one {k} places later in the alphabet, where a follows z; leave all other characters as they "
         "are.", range(2, 14)),
        ("x[::2]", "Keep only every second character, beginning with the first."),
        ("''.join(dict.fromkeys(x))", "Of characters that are equal, keep only the first; upper and lower case "
         "differ."),
        ("''.join(c + str(len(list(g))) for c, g in groupby(x))", "Replace each run of equal characters by the "
         "character "
         "followed by the length of the run, so that 'aab' becomes 'a2b1'; blanks are characters too."),
        ("' '.join(x.split()[::-1])", "Put the words, which are separated by blanks, into the opposite order, with a "
         "single blank between them."),
        ("' '.join(w[::-1] for w in x.split())", "Reverse the letters of each word, and leave the words, with a "
         "single "
         "blank between them, in their order."),
        ("x.replace(K, '')", "Remove every {k}, of lower case only.", _LETTERS),
        ("x[:K]", "Keep only the first {k} characters, or all where there are fewer.", range(6, 15)),
        ("x[K:] + x[:K]", "Move the first {k} characters to the end, in their order; a text of at most {k} "
         "characters "
         "stays as it is.", range(2, 6)),
    )
    + _of(
        "text",
        "words",
        ("x.split()", "Split the text at its blanks into a list of words.", "Make a list of the words, which are "
         "separated by blanks."),
    )
    + _of(
        "text",
        "number",
        ("len(x)", "Count the characters, blanks included."),
        ("sum(c in 'aeiouAEIOU' for c in x)", "Count the vowels (a, e, i, o, u, of either case)."),
        ("x.lower().count(K)", "Count how often the letter {k} occurs, in either case.", _LETTERS),
        ("len(set(x))", "Count how many different characters there are; upper and lower case differ, and a blank is "
         "a "
         "character."),
        ("sum(c.isupper() for c in x)", "Count the upper-case letters."),
        ("len(x.split())", "Count the words, which are separated by blanks."),
    )
    + _of(
        "text",
        "table",
        ("dict(Counter(x))", "Make a dict from each character, a blank too, to how often it occurs."),
    )
    + _of(
        "words",
        "words",
        ("sorted(x)", "Sort the words as Python does by default."),
        ("sorted(x, key=len)", "Sort the words by their length, the shortest first; words of one length stay in "
         "their "
         "order."),
        ("x[::-1]", "Reverse the order of the words.", "Put the words into the opposite order."),
        ("[w for w in x if len(w) > K]", "Keep only the words of more than {k} characters.", range(3, 6)),
        ("[w for w in x if len(w) <= K]", "Keep only the words of at most {k} characters.", range(4, 8)),
        ("[w[::-1] for w in x]", "Reverse the characters of each word."),
        ("[w.upper() for w in x]", "Change each word to upper case."),
        ("[w[:K] for w in x]", "Cut each word down to its first {k} characters; shorter ones stay as they are.",
         range(2, 6)),
        ("[w[-K:] for w in x]", "Cut each word down to its last {k} characters; shorter ones stay as they are.",
         range(2, 6)),
        ("list(dict.fromkeys(x))", "Of words that are equal, keep only the first."),
        ("[w for w in x if K in w.lower()]", "Keep only the words that have the letter {k}, in either case.",
         _LETTERS),
        ("[w for w in x if K not in w.lower()]", "Remove the words that have the letter {k}, in either case.",
         _LETTERS),
        ("x[::2]", "Keep only every second word, beginning with the first."),
        ("[w + str(len(w)) for w in x]", "Add to the end of each word the number of its characters, so that 'tea' "
         "becomes "
         "'tea3'."),
        ("x[K:] + x[:K]", "Move the first {k} words to the end, in their order; a list of at most {k} words stays "
         "as it "
         "is.", range(2, 5)),
        ("[w + K for w in x]", "Add {k} to the end of each word.", ("s", "!", "ing", "?", "-")),
    )
    + _of(
        "words",
        "text",
        ("K.join(x)", "Join the words to one text, with {k} between them.", _SEPARATORS),
        ("''.join(w[:1] for w in x)", "Join the first characters of all words to one text, without anything between "
         "them."),
        ("max(x, key=len, default='')", "Take the longest word, the first of these where there are several, the "
         "empty "
         "text where there are no words."),
        ("max(x, default='')", "Take the word that comes last in Python's default order, or the empty text where there "
         "are "
         "no words."),
    )
    + _of(
        "words",
        "numbers",
        ("[len(w) for w in x]", "Replace each word by the number of its characters."),
        ("[sum(c in 'aeiouAEIOU' for c in w) for w in x]", "Replace each word by the number of its vowels (a, e, i, "
         "o, u, "
         "of either case)."),
    )
    + _of(
        "words",
        "number",
        ("len(x)", "Count the words."),
        ("sum(len(w) for w in x)", "Count the characters of all words together."),
        ("len({w[:1] for w in x})", "Count how many different first characters the words have; upper and lower case "
         "differ."),
    )
    + _of(
        "words",
        "table",
        ("{w: len(w) for w in x}", "Make a dict from each word to the number of its characters."),
        ("dict(Counter(x))", "Make a dict from each word to how often it occurs."),
        ("dict(Counter(w[:1] for w in x))", "Make a dict from each first character of words to the number of words "
         "that "
         "begin with it; upper and lower case differ."),
    )
    + _of(
        "table",
        "table",
        ("{key: n for key, n in x.items() if n >= K}", "Keep only the entries of the dict whose value is at least "
         "{k}.",
         range(2, 5)),
        ("{key: n * K for key, n in x.items()}", "Multiply each value of the dict by {k}.", range(2, 6)),
        ("{key.upper(): n for key, n in sorted(x.items())}", "Change the keys of the dict to upper case; where two "
         "become "
         "equal, the value of the key that comes last in Python's default order stays."),
    )
    + _of(
        "table",
        "words",
        ("sorted(x)", "Make a list of the keys of the dict, sorted as Python does by default."),
        ("sorted(x, key=lambda key: (-x[key], key))", "Make a list of the keys of the dict, those with the largest "
         "values "
         "first; keys of one value in Python's default order."),
    )
    + _of(
        "table",
        "numbers",
        ("sorted(x.values())", "Make a list of the values of the dict, from smallest to largest."),
    )
    + _of(
        "table",
        "number",
        ("sum(x.values())", "Take the sum of the values of the dict, or 0 where it is empty."),
        ("max(x.values(), default=0)", "Take the largest value of the dict, or 0 where it is empty."),
        ("len(x)", "Count the entries of the dict."),
    )
    + _of(
        "number",
        "number",
        ("x * K", "Multiply the number by {k}.", range(2, 10)),
        ("x + K", "Add {k} to the number.", range(1, 20)),
        ("x % K", "Replace the number by its remainder modulo {k}, which is never negative, as Python's % gives "
         "it.", range(7, 20)),
        ("x * x", "Square the number."),
        ("sum(map(int, str(abs(x))))", "Replace the number by the sum of its decimal digits, without regard to its "
         "sign."),
        ("x // 2 if x % 2 == 0 else 3 * x + 1", "Halve the number where it is even, else multiply it by 3 and add "
         "1."),
    )
    + _of(
        "number",
        "text",
        ("format(abs(x), 'b')", "Write the number in binary, without a prefix and without its sign."),
        ("str(abs(x))[::-1]", "Write the decimal digits of the number in the opposite order, as text, without its "
         "sign."),
    )
    + _of(
        "number",
        "numbers",
        ("[int(d) for d in str(abs(x))]", "Make a list of the decimal digits of the number, without its sign."),
    )
)  # fmt: skip
"""All of them. Their order and number are part of what a seed picks."""

CONDITIONS: tuple[Primitive, ...] = tuple(
    _of(
        "numbers",
        "number",
        ("len(x) > K", "there are more than {k} numbers", range(3, 8)),
        ("sum(x) % 2 == 0", "the sum of the numbers is even"),
        ("sum(x) > K", "the sum of the numbers is greater than {k}", range(20, 90)),
        ("x != [] and x[0] > K", "there are numbers and the first is greater than {k}", range(5, 20)),
    )
    + _of(
        "text",
        "number",
        ("len(x) > K", "the text has more than {k} characters, blanks included", range(10, 25)),
        ("len(x) % 2 == 0", "the number of characters, blanks included, is even"),
    )
    + _of(
        "words",
        "number",
        ("len(x) > K", "there are more than {k} words", range(2, 5)),
        ("len(x) % 2 == 0", "the number of words is even"),
    )
)
"""What a step may depend on."""
