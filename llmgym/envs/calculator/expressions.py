"""Trees of operations, with their values."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from llmgym.envs.calculator.arithmetic import Exact, apply
from llmgym.verifiers.numbers import format_number


@dataclass(frozen=True, slots=True)
class Call:
    """An operation on numbers or on results of other operations, and its value."""

    operation: str
    arguments: tuple[Expression, ...]
    value: Exact


Expression = Fraction | Call


def call(operation: str, *arguments: Expression) -> Call:
    """Make a tree of an operation and its arguments."""
    return Call(operation, arguments, apply(operation, *map(value_of, arguments)))


def value_of(expression: Expression) -> Exact:
    """The value of a tree."""
    return expression.value if isinstance(expression, Call) else expression


def size_of(expression: Expression) -> int:
    """How many operations a tree has."""
    return 1 + sum(map(size_of, expression.arguments)) if isinstance(expression, Call) else 0


def plan_of(expression: Expression) -> Any:
    """A tree as JSON: a number as text, an operation as the list of its name and arguments."""
    if isinstance(expression, Call):
        return [expression.operation, *map(plan_of, expression.arguments)]
    return format_number(expression)
