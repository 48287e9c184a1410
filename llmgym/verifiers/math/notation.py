r"""Formulas as models write them, in LaTeX that `math-verify` reads as it is meant."""

from __future__ import annotations

import re

from llmgym.verifiers.text import folded

MAX_LENGTH, MAX_DEPTH, MAX_DIGITS = 500, 8, 60  # of a formula; of its brackets; of a number in it

_SYMBOLS = {
    "π": r"\pi ", "×": r"\times ", "·": r"\cdot ", "⋅": r"\cdot ", "÷": "/", "−": "-", "∞": r"\infty ", "∪": r"\cup ",
    "≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ", "±": r"\pm ", "≈": r"\approx ", "∈": r"\in ", "∅": r"\emptyset ",
    "θ": r"\theta ", "α": r"\alpha ", "β": r"\beta ", "°": r"^\circ ", "<=": r"\le ", ">=": r"\ge ",
    r"\leqslant": r"\le ", r"\geqslant": r"\ge ", r"\leq": r"\le ", r"\geq": r"\ge ", r"\neq": r"\ne ",
    r"\dfrac": r"\frac", r"\tfrac": r"\frac", r"\cfrac": r"\frac", r"\varnothing": r"\emptyset ", r"\lbrace": r"\{",
    r"\rbrace": r"\}", r"\lt": "<", r"\gt": ">", r"\%": "%", r"\$": "$", "**": "^", r"\div": "/",
    r"\textrm": r"\text", "~": " ", r"\varepsilon": r"\epsilon ", r"\varphi": r"\phi ",
}  # fmt: skip
_SYMBOL = re.compile("|".join(rf"{re.escape(symbol)}(?![a-z])" if symbol[-1].isalpha() else re.escape(symbol)
                              for symbol in sorted(_SYMBOLS, key=len, reverse=True)))  # fmt: skip
_RAISED = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-", strict=True))
_SUPERSCRIPT = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+")
_NOTHING = re.compile(
    r"\\(?:left|right|displaystyle|textstyle|[bB]ig[lr]?|q?quad|limits)(?![a-zA-Z])|(?<!\\)\\[!,;: ]|\{,\}"
)
_BETWEEN = re.compile(r"(?<=[A-Za-z0-9}])\\[,;: ](?=[A-Za-z]|\\(?:text|mathrm)\b)")  # "m\,s^{-1}"
_UPRIGHT = re.compile(r"\\(?:mathrm|text|rm|operatorname)\s?\{\s?(e|i|d|pi|sin|cos|tan|log|ln|exp)\s?\}")
_STYLED = re.compile(  # a number in another type
    r"\\(?:text|math|bold)(?:bf|tt|sf|it|rm|symbol)?\s?\{([^{}A-Za-z\\]*(?:\\frac\{[^{}A-Za-z]*\}\{[^{}A-Za-z]*\})?)\}"
)
_MATHS_IN_TEXT = re.compile(r"(\\text\{[^{}$]*)\$([^{}$]*)\$\}")  # \text{cm$^2$}
_FUNCTION = re.compile(r"(?<![\\a-zA-Z])(pi|sin|cos|tan|log|ln|exp|infty)(?![a-zA-Z])")
_ROOT = re.compile(
    r"(?:\\sqrt|(?<![\\a-zA-Z])sqrt|√)[ ]?"
    r"(?:\((?P<inner>[^()]*(?:\([^()]*\)[^()]*)*)\)|(?P<plain>[0-9]+(?:\.[0-9]+)?|[a-zA-Z](?![a-zA-Z])))"
)
_THOUSANDS = re.compile(r"(?<![0-9.,])[1-9][0-9]{0,2}(?:,[0-9]{3})+(?![0-9,])")
_SCIENTIFIC = re.compile(r"(?<![\w.])([0-9]+(?:\.[0-9]+)?)[eE]([+-]?[0-9]{1,3})(?![\w.])")
_MIXED = re.compile(
    r"(?<![\w.}/^])([0-9]{1,9}) ?"
    r"(?:\\frac\{([0-9]{1,9})\}\{([0-9]{1,9})\}|(?<= )([0-9]{1,9})/([0-9]{1,9})(?![\w.]))"
)
_TRIGONOMETRY = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)(?![a-z])")
_DEGREES = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s?\^(?:\s?\\circ(?![a-z])|\{\s?\\circ\s?\})")
_POWER = re.compile(r"\^\(([^()]*)\)|\^(-?[0-9]{2,})")
_MISREAD = re.compile(r"\\[lcdv]?dots|\.\.\.|…|\\pmod|[0-9]_")  # dots for what is left out, congruences, other bases
_WORD = re.compile(
    r"(?<![\\a-zA-Z])[a-zA-Z]{4,}|(?<![\\a-zA-Z])(?:and|the|not|for|any|all|are|per|nan|inf)(?![a-zA-Z])"
)
_COMMAND = re.compile(
    r"\\(?:text|mathrm|mathbf|textbf|mbox|mathbb|mathcal|begin|end|operatorname)\s?\{[^{}]*\}|_\{[^{}]*\}"
)
_DIGITS = re.compile(rf"[0-9]{{{MAX_DIGITS + 1},}}")


def normalised(text: str, *, thousands: bool = True) -> str:
    r"""A formula without spacing and delimiters, in LaTeX's own words: "√3/2" as "\sqrt{3}/2".

    Args:
        text: The formula.
        thousands: Whether a comma before three digits separates thousands, rather than elements.
    """
    text = folded(text).strip().strip("$").strip()
    text = _SUPERSCRIPT.sub(lambda match: "^{" + "".join(_RAISED[char] for char in match[0]) + "}", text)
    text = _UPRIGHT.sub(_as_command, _NOTHING.sub("", _BETWEEN.sub(" ", text)))
    text = _SYMBOL.sub(lambda match: _SYMBOLS[match[0]], text)
    text = _MATHS_IN_TEXT.sub(r"\1\2}", _STYLED.sub(r"\1", text))
    for _ in range(3):  # roots within roots
        text = _ROOT.sub(lambda match: rf"\sqrt{{{match['inner'] or match['plain']}}}", text)
    if thousands:
        text = _THOUSANDS.sub(lambda match: match[0].replace(",", ""), text)
    text = _POWER.sub(lambda match: f"^{{{match[1] or match[2]}}}", text)
    return re.sub(" {2,}", " ", _FUNCTION.sub(r"\\\1 ", text)).strip().rstrip(".")


def spelt_out(text: str) -> str:
    """A normalised formula as the library reads it: "1 1/2", "1e6" and degrees of sines spelt out, and "x'" no "x"."""
    text = re.sub(r"(?<=[a-zA-Z])('+)", lambda match: f"_{{prime{len(match[1])}}}", text)
    if _TRIGONOMETRY.search(text) and r"\circ" not in (radians := _DEGREES.sub(r"(\\frac{\1\\pi}{180})", text)):
        text = radians  # of "x^\circ + 30^\circ" none is, since the library takes the sign for nothing
    text = _SCIENTIFIC.sub(r"\1\\cdot 10^{\2}", text)
    return _MIXED.sub(lambda match: rf"({match[1]}+\frac{{{match[2] or match[4]}}}{{{match[3] or match[5]}}})", text)


def _as_command(match: re.Match[str]) -> str:
    return match[1] if len(match[1]) == 1 else rf"\{match[1]} "


def excess(text: str) -> str:
    """What of a formula is more than is read; "" where nothing is."""
    if len(text) > MAX_LENGTH:
        return f"{len(text):,} characters; {MAX_LENGTH} are read"
    if _DIGITS.search(text):
        return f"a number of more than {MAX_DIGITS} digits"
    depth = deepest = 0
    for char in text:
        depth += (char in "([{") - (char in ")]}")
        deepest = max(deepest, depth)
    return f"brackets {deepest} deep; {MAX_DEPTH} are read" if deepest > MAX_DEPTH else ""


def is_formula(text: str) -> bool:
    """Whether text can be mathematics that is read as it is meant, and no prose."""
    return not (_MISREAD.search(text) or _WORD.search(_COMMAND.sub("", text)))
