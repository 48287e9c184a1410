"""How the chosen option is read out of a reply: the strict and lenient ways of multiple-choice benchmarks."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Mapping

from llmgym.envs.text import last_boxed

Options = Mapping[str, str]  # letter -> text

_LATEX_TEXT = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|mathit)\s?\{([^{}]*)\}")
_LABEL = re.compile(r"[(\[]?([A-Za-z])[)\]]?[.:,]?")
_LABEL_AND_TEXT = re.compile(r"[(\[]?(?:([A-Za-z])[)\].:]|([A-Z])(?:,|\s+[-–—=]))\s*\S", re.ASCII)
_ANSWER_LINE = re.compile(r"answer[*_`\s]{0,4}(?:is)?[*_`\s]{0,4}[:：]([^\n]*)", re.IGNORECASE)
_ANSWER_IS = re.compile(
    r"answer[*_`\s]{1,4}(?:is|would be|must be)[*_`:\s]{1,4}(?:option|choice)?([^\n.;]*)", re.IGNORECASE
)
_STANDALONE = re.compile(r"(?<![\w'’])[(\[]?([A-Z])[)\]]?(?![\w'’])")
_ARTICLE = re.compile(r"\s+[a-z]")  # follows the article "A" and the pronoun "I"


def extract(text: str, options: Options, grading: str) -> str | None:
    """Read the letter of the chosen option.

    Args:
        text: The reply.
        options: Text of each option by its letter.
        grading: A name in `GRADINGS`.

    Returns:
        A letter of `options`, or None where the reply makes no choice.
    """
    return GRADINGS[grading](text, options)


def extract_pattern(text: str, options: Options, pattern: re.Pattern[str]) -> str | None:
    """Read the choice out of the last match of a pattern: its first group, or all of it where it has none."""
    found = deque(pattern.finditer(text), maxlen=1)
    return choice(found[0][1 if pattern.groups else 0] or "", options) if found else None


def choice(text: str, options: Options) -> str | None:
    """Read text that names one option: "B", "(b)", "B. Paris", "**B**", or "Paris"."""
    text = _plain(text)
    if match := _LABEL.fullmatch(text):
        return _known(match[1].upper(), options)
    if named := _named(text, options):
        return named
    match = _LABEL_AND_TEXT.match(text)
    return _known((match[1] or match[2]).upper(), options) if match else None


def _boxed(text: str, options: Options) -> str | None:
    content = last_boxed(text)
    match = re.fullmatch(r"\(?([A-Z])\)?", _plain(content)) if content is not None else None
    return _known(match[1], options) if match else None


def _answer_line(text: str, options: Options) -> str | None:
    found = deque(_ANSWER_LINE.finditer(text), maxlen=1)
    if not found:
        return None
    rest = found[0][1]
    boxed = last_boxed(rest)
    return choice(rest if boxed is None else boxed, options)


def _lenient(text: str, options: Options) -> str | None:
    boxed = last_boxed(text)
    ways: tuple[Callable[[], str | None], ...] = (
        lambda: choice(boxed, options) if boxed is not None else None,
        lambda: _answer_line(text, options),
        lambda: _answer_is(text, options),
        lambda: choice(text, options),
        lambda: _last_standalone(text, options),
        lambda: _mentioned(text, options),
    )
    return next((letter for way in ways if (letter := way())), None)


def _answer_is(text: str, options: Options) -> str | None:
    found = deque(_ANSWER_IS.finditer(text), maxlen=1)
    return choice(found[0][1], options) if found else None


def _last_standalone(text: str, options: Options) -> str | None:
    last = None
    for match in _STANDALONE.finditer(text):
        bare = match[0] in ("A", "I") and _ARTICLE.match(text, match.end())
        last = last if bare or match[1] not in options else match[1]
    return last


def _mentioned(text: str, options: Options) -> str | None:
    """The one option whose text occurs in a reply, as whole words."""
    reply = f" {_normal(text)} "
    found = [letter for letter, option in options.items() if f" {_normal(option)} " in reply]
    return found[0] if len(found) == 1 else None


def _named(text: str, options: Options) -> str | None:
    found = [letter for letter, option in options.items() if _normal(option) == _normal(text)]
    return found[0] if len(found) == 1 else None


def _known(letter: str, options: Options) -> str | None:
    return letter if letter in options else None


def _plain(text: str) -> str:
    """Text without LaTeX commands, Markdown emphasis and quotes around it, and without a last period."""
    text = _LATEX_TEXT.sub(r"\1", text)
    return text.strip(" \t\r\n*_`$\"'“”").removesuffix(".").strip(" *_`$\"'“”")


def _normal(text: str) -> str:
    """Words in lower case without punctuation around them; "-5", "1/2" and "2.5" stay what they are."""
    return " ".join(word.strip(".,;:!?()[]\"'*_`$“”") for word in text.casefold().split())


GRADINGS: dict[str, Callable[[str, Options], str | None]] = {
    "boxed": _boxed,
    "answer": _answer_line,
    "lenient": _lenient,
}
