"""Operators with meanings of their own: what they give, and how that is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from llmgym.envs.draws import Draws

#: Signs that operators have.
SIGNS: Final = ("+", "-", "*", "/", "#", "@", "&", "%")

# Each rule is told with these names for its numbers, of which the row of an operator has the values.
_RULES: Final[Mapping[str, tuple[str, ...]]] = {
    "linear": ("{p} times a, plus {q} times b, plus {r}", "{p}a + {q}b + {r}"),
    "distance": ("{p} times the distance between a and b, plus {r}",),
    "product": ("a times b, plus {p} times a, plus {r}", "ab + {p}a + {r}"),
    "extremes": ("{p} times the larger of a and b, plus {q} times the smaller", "{p} max(a, b) + {q} min(a, b)"),
    "digits": ("{p} times the sum of the digits of a, plus {q} times b, plus {r}",),
}
RULES: Final = (*_RULES, "table")

Operator = dict[str, Any]


def made(d: Draws, rule: str) -> Operator:
    """An operator of a rule, with numbers of chance."""
    if rule == "table":
        return {"rule": rule, "table": ["".join(str(int(n)) for n in row) for row in d.rng.integers(0, 10, (10, 10))]}
    return {"rule": rule, "p": d.whole(2, 9), "q": d.whole(2, 9), "r": d.whole(1, 99), "told": d.whole(0, 7)}


def apply(operator: Operator, a: int, b: int, width: int) -> int:
    """What an operator makes of two numbers of at most so many digits; a number of such, too."""
    if operator["rule"] == "table":
        pairs = zip(f"{a:0{width}d}", f"{b:0{width}d}", strict=True)
        return int("".join(operator["table"][int(x)][int(y)] for x, y in pairs))
    p, q, r = operator["p"], operator["q"], operator["r"]
    value = {
        "linear": p * a + q * b + r,
        "distance": p * abs(a - b) + r,
        "product": a * b + p * a + r,
        "extremes": p * max(a, b) + q * min(a, b),
        "digits": p * sum(map(int, str(a))) + q * b + r,
    }[operator["rule"]]
    return value % 10**width


def meaning(sign: str, operator: Operator, width: int) -> str:
    """What an operator means, in words that mean what they usually do."""
    if operator["rule"] != "table":
        forms = _RULES[operator["rule"]]
        told = forms[operator["told"] % len(forms)].format(**operator)
        return f"a {sign} b is the remainder of ({told}) when divided by {10**width}."
    rows = [f"{at} | {' '.join(row)}" for at, row in enumerate(operator["table"])]
    return (
        f"a {sign} b is made digit by digit, of numbers written with {width} digits (leading zeros included): each "
        "digit of the result stands in the row of the digit of a and in the column of the digit of b of this table:\n"
        + "\n".join(["  | 0 1 2 3 4 5 6 7 8 9", *rows])
    )


def fault(operators: Any) -> str:
    """What is wrong with operators that somebody else made; "" where nothing is."""
    if not isinstance(operators, Mapping) or not operators:
        return "operators are an object of signs and what they mean"
    for sign, operator in operators.items():
        rule = operator.get("rule") if isinstance(operator, Mapping) else None
        if rule not in RULES:
            return f"the operator {sign!r:.20} has no rule of {', '.join(RULES)}"
        if rule == "table":
            table = operator.get("table")
            if not (isinstance(table, Sequence) and len(table) == 10 and all(_is_row(row) for row in table)):
                return f"the table of {sign!r:.20} is ten texts of ten digits"
        elif not all(type(operator.get(name, 0 if name == "told" else None)) is int for name in ("p", "q", "r")):
            return f"the operator {sign!r:.20} needs whole numbers p, q and r"
    return ""


def _is_row(row: Any) -> bool:
    return isinstance(row, str) and len(row) == 10 and row.isascii() and row.isdigit()
