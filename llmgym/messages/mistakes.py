"""What is wrong with JSON that a model wrote, said to the model: what, where, what stands there, what is right.

Such JSON is never repaired: two repairs of one text can mean two things, and who trains would not learn which.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable

import msgspec

from llmgym.messages.calls import read_object

_FORM = 'not a tool call; write {"name": <tool>, "arguments": {<arguments>}}'
_SHOWN = 20  # characters
_QUOTES = "'`\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f\u00ab\u00bb"
_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*+"|NaN|-?Infinity|-?\d[\d.eE+-]*+', re.DOTALL)
_WORD = re.compile(r"[A-Za-z]++")
_WORDS = {"True": "true", "False": "false", "None": "null", "undefined": "null"}
_NUMBERS = ("NaN", "Infinity", "-Infinity")
_TRAILING = "JSON takes no comma before a closing bracket"
_REASONS = {
    "Illegal trailing comma before end of object": _TRAILING,
    "Illegal trailing comma before end of array": _TRAILING,
    "Expecting property name enclosed in double quotes": "JSON takes a name in double quotes here",
    "Expecting ':' delimiter": "a colon is missing",
    "Expecting ',' delimiter": "a comma or a closing bracket is missing",
    "Expecting value": "a value is missing",
    "Invalid control character at": r"JSON writes a line break in a string as \n, a tab as \t",
    "Invalid \\escape": r"JSON writes a backslash in a string as \\",
    "Extra data": "something follows the JSON value",
}


def explain_call(text: str) -> str:
    """Say to a model what is wrong with a text that is no call: the `arguments` of one with an empty name."""
    if not text.strip():
        return f"{_FORM}: this one is empty"
    try:
        read_object(text)
    except msgspec.ValidationError as error:
        return f"{_FORM}: {error}"
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return f"{_FORM}: {explain_json(text)}"
    return f'{_FORM}: this one has no "name"'


def explain_json(text: str) -> str:
    """Say to a model what is wrong with a text that is no JSON."""
    try:
        json.loads(text, parse_int=str, parse_float=str, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        return _explain(text, error.pos, error.msg)
    except RecursionError:
        return "it is nested too deeply"
    except ValueError as error:
        constant = str(error)
        return _explain(text, _find(text, lambda token: token == constant), "")
    at = _find(text, _is_endless)
    if at < len(text):
        return f"a number is too large; at character {at} stands {text[at : at + _SHOWN]!r}"
    return "it holds half of a pair of surrogates, which is no character"


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _find(text: str, wanted: Callable[[str], bool]) -> int:
    """Where a number or constant stands, and not in a string; the end of the text where none does."""
    found = (token.start() for token in _TOKENS.finditer(text) if wanted(token[0]))
    return next(found, len(text))


def _is_endless(token: str) -> bool:
    return token[0] in "-0123456789" and math.isinf(float(token))


def _explain(text: str, at: int, problem: str) -> str:
    before = text[:at].rstrip()
    if problem.startswith("Unterminated string"):
        return f"the string that begins at character {at} has no closing quote: {text[at : at + _SHOWN]!r}"
    if at >= len(text):
        return f"the JSON ends too early, after {before[-_SHOWN:]!r}: a bracket or quote is missing"
    if text[at] in "}]" and before.endswith(","):  # before Python 3.13, which stands at the comma and says so
        at, reason = len(before) - 1, _TRAILING
    else:
        reason = _reason(text, at, problem)
    return f"{reason}; at character {at} stands {text[at : at + _SHOWN]!r}"


def _reason(text: str, at: int, problem: str) -> str:
    word = _WORD.match(text, at)
    if text.startswith(_NUMBERS, at):
        return "JSON has no NaN and no Infinity"
    if word and word[0] in _WORDS:
        return f"JSON writes {_WORDS[word[0]]} for {word[0]}"
    if problem.startswith("Expecting"):
        if text[at] in _QUOTES:
            return 'JSON takes straight double quotes, "'
        if text.startswith(("//", "/*", "#"), at):
            return "JSON has no comments"
    return _REASONS.get(problem, problem)
