"""Arithmetic problems: a tree of operations, told as a story, spoken, listed in steps, or written in symbols."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from llmgym.envs.calculator import stories
from llmgym.envs.calculator.arithmetic import OPERATIONS, Exact, apply
from llmgym.envs.calculator.expressions import Call, Expression, plan_of, size_of, value_of
from llmgym.errors import ConfigError, ToolError
from llmgym.tasks import Task
from llmgym.verifiers.numbers import decimal_places, final_number, format_number

_TRIES = 500
_MAX_VALUE = 10**9
_MAX_PLACES = 6
_SPOKEN_DEPTH = 2  # deeper phrases are listed in steps: nobody could read them

_OPENINGS = ("", "", "Please help me with this. ", "A quick question: ", "Here is a problem. ", "Solve this. ")
_ENDINGS = (
    "End your reply with the number.",
    "Finish your reply with the result as a number.",
    "Put the resulting number at the end of your reply.",
    "The last thing in your reply must be the number.",
    "Close with the number that you get.",
    "State the number last.",
)

# What one operation gives needs no working out in the reply, and small models lose it there.
_TERSE_ENDINGS = (
    "Answer with just the number.",
    "Reply with only the number.",
    "Give the number alone.",
    "Write just the number, nothing else.",
    "Say only the number.",
    "Your reply is to be the number and nothing else.",
)
_ASK = ("What is {}?", "Calculate {}.", "Work out {}.", "Compute {}.", "How much is {}?", "Find the value of {}.")
_SPOKEN = {
    "add": ("the sum of {} and {}", "{} plus {}"),
    "subtract": ("the result of subtracting {1} from {0}", "{} minus {}"),
    "multiply": ("the product of {} and {}", "{} times {}"),
    "divide": ("the result of dividing {} by {}", "{} divided by {}"),
    "power": ("the result of raising {} to the power of {}", "{} to the power of {}"),
    "negate": ("the negative of {}", "{} with its sign changed"),
}
_STEPS = {
    "add": ("Add {1} to {0}.", "Take the sum of {0} and {1}."),
    "subtract": ("Subtract {1} from {0}.", "Take {1} away from {0}."),
    "multiply": ("Multiply {0} by {1}.", "Take the product of {0} and {1}."),
    "divide": ("Divide {0} by {1}.",),
    "power": ("Raise {0} to the power of {1}.",),
    "negate": ("Change the sign of {0}.", "Negate {0}."),
}
_SYMBOLS = (
    {"add": "+", "subtract": "-", "multiply": "*", "divide": "/", "power": "^"},
    {"add": "+", "subtract": "−", "multiply": "×", "divide": "÷", "power": "^"},
)


@dataclass(frozen=True)
class Problems:
    """Makes tasks; see `Calculator` for what the fields mean."""

    depth: int
    steps: int
    max_operand: int
    decimals: int
    operations: tuple[str, ...]
    word_problems: bool

    def __post_init__(self) -> None:
        """Check the fields."""
        if unknown := [name for name in self.operations if name not in OPERATIONS]:
            raise ConfigError(f"unknown operation {unknown[0]!r}; there is {', '.join(OPERATIONS)}")
        if not set(self.operations) - {"negate"}:
            raise ConfigError("operations needs at least one that takes two numbers")
        if not (1 <= self.depth <= 12 and self.depth <= self.steps < min(2**self.depth, 65)):
            raise ConfigError(f"steps is {self.steps}; {self.depth} levels take {self.depth} to {2**self.depth - 1}")
        if not (5 <= self.max_operand <= 10**6 and 0 <= self.decimals <= 3):
            raise ConfigError(
                f"max_operand is {self.max_operand} and decimals is {self.decimals}; 5 to 1000000, and 0 to 3"
            )

    def __call__(self, rng: np.random.Generator) -> Task:
        """Make a task."""
        for _ in range(_TRIES):
            if problem := self._problem(rng):
                text, expression = problem
                answer = value_of(expression)
                prompt = f"{_pick(rng, _OPENINGS)}{text} {_pick(rng, _ENDINGS if self.steps > 1 else _TERSE_ENDINGS)}"
                if final_number(prompt) != answer:  # a parrot must not be right
                    return Task(prompt=prompt, answer=format_number(answer), metadata={"plan": plan_of(expression)})
        raise ConfigError(f"found no problem with {self} in {_TRIES} tries; allow more operations or larger operands")

    def _problem(self, rng: np.random.Generator) -> tuple[str, Expression] | None:
        """The text and tree of a problem; None where the numbers that came up allow none."""
        operations = frozenset(self.operations)
        if self.word_problems and rng.random() < 0.5 and stories.tellable(operations):
            return stories.tell(rng, self.steps, self.max_operand, operations)
        expression = self._tree(rng, self.steps, self.depth)
        if expression is None:
            return None
        if not self.word_problems or rng.random() < 0.4:
            return _pick(rng, _ASK).format(_in_symbols(expression, _SYMBOLS[rng.integers(2)])), expression
        if self.depth <= _SPOKEN_DEPTH:
            return _pick(rng, _ASK).format(_spoken(rng, expression)), expression
        return _listed(rng, expression), expression

    def _tree(self, rng: np.random.Generator, steps: int, depth: int) -> Expression | None:
        """A tree of so many operations, that deep; None where the numbers that came up allow none."""
        if not steps:
            return self._operand(rng)
        for operation in rng.permutation(self.operations):
            # The left side is as deep as it may be, the right one takes the steps that are left.
            most = 2 ** (depth - 1) - 1
            spare = 0 if operation in ("negate", "power") else min(most, steps - depth)
            if steps - 1 - spare > most:
                continue
            right_steps = int(rng.integers(max(0, steps - 1 - most), spare, endpoint=True))
            left = self._tree(rng, steps - 1 - right_steps, depth - 1)
            if left is None:
                continue
            arguments = self._arguments(rng, str(operation), left, right_steps, depth - 1)
            if arguments and (call := self._call(str(operation), arguments)):
                return call
        return None

    def _arguments(
        self, rng: np.random.Generator, operation: str, left: Expression, steps: int, depth: int
    ) -> tuple[Expression, ...] | None:
        """The arguments of an operation on `left`; a right side without steps is picked to suit it."""
        if operation == "negate":
            return (left,)
        if operation == "power":
            return left, Fraction(int(rng.integers(2, 4)))
        if steps:
            # As deep as its steps need at least, and at most as the left side.
            right = self._tree(rng, steps, int(rng.integers(steps.bit_length(), min(depth, steps), endpoint=True)))
            return None if right is None else (left, right)
        if operation == "divide":
            return self._division(rng, left)
        if operation == "subtract" and isinstance(left, Fraction) and "negate" not in self.operations:
            low, high = sorted((left, self._operand(rng)))
            return (high, low)
        return left, self._operand(rng)

    def _division(self, rng: np.random.Generator, left: Expression) -> tuple[Expression, ...] | None:
        if isinstance(left, Fraction):  # quotient and divisor are free
            divisor = Fraction(int(rng.integers(2, min(self.max_operand, 20), endpoint=True)))
            return Fraction(int(left) or 1) * divisor, divisor
        value = value_of(left)
        divisors = [d for d in range(2, min(self.max_operand, 50) + 1) if value % d == 0]
        return (left, Fraction(int(rng.choice(divisors)))) if value and divisors else None

    def _operand(self, rng: np.random.Generator) -> Fraction:
        scale = 10 ** int(rng.integers(1, self.decimals, endpoint=True)) if self.decimals and rng.random() < 0.3 else 1
        return Fraction(int(rng.integers(2, self.max_operand * scale, endpoint=True)), scale)

    def _call(self, operation: str, arguments: tuple[Expression, ...]) -> Call | None:
        try:
            value = apply(operation, *map(value_of, arguments))
        except ToolError:
            return None
        if not _presentable(value) or (value < 0 and "negate" not in self.operations):
            return None
        return Call(operation, arguments, value)


def _presentable(value: Exact) -> bool:
    places = decimal_places(value)
    return abs(value) <= _MAX_VALUE and places is not None and places <= _MAX_PLACES


def _pick(rng: np.random.Generator, choices: Sequence[str]) -> str:
    return choices[int(rng.integers(len(choices)))]


def _in_symbols(expression: Expression, symbols: dict[str, str], outermost: bool = True) -> str:
    if isinstance(expression, Fraction):
        return format_number(expression)
    parts = [_in_symbols(argument, symbols, outermost=False) for argument in expression.arguments]
    text = f"-{parts[0]}" if expression.operation == "negate" else f" {symbols.get(expression.operation)} ".join(parts)
    return text if outermost else f"({text})"


def _spoken(rng: np.random.Generator, expression: Expression, alone: bool = True) -> str:
    if isinstance(expression, Fraction):
        return format_number(expression)
    # "3 plus 4" is clear only where no other operation is near.
    forms = _SPOKEN[expression.operation]
    form = _pick(rng, forms) if alone and size_of(expression) == 1 else forms[0]
    return form.format(*(_spoken(rng, argument, alone=False) for argument in expression.arguments))


def _listed(rng: np.random.Generator, expression: Expression) -> str:
    """Numbered steps, each of which may use the results of earlier ones."""
    lines: list[str] = []

    def name(expression: Expression) -> str:
        if isinstance(expression, Fraction):
            return format_number(expression)
        parts = [name(argument) for argument in expression.arguments]
        lines.append(f"{len(lines) + 1}. {_pick(rng, _STEPS[expression.operation]).format(*parts)}")
        return f"the result of step {len(lines)}"

    name(expression)
    intro = _pick(rng, ("Follow these steps:", "Do the following, step by step:", "Carry out this calculation:"))
    ask = _pick(rng, ("What is the result of the last step?", "What number do you end up with?", "What comes out?"))
    return "\n".join([intro, *lines, ask])
