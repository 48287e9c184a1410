"""The generator: steps over odd operators, told as one expression or step by step."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from llmgym.envs.draws import Draws
from llmgym.envs.odd_operators.operators import RULES, SIGNS, Operator, apply, made, meaning
from llmgym.errors import ConfigError
from llmgym.tasks import Task

_TRIES = 1000
_USUAL = {"+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b, "/": lambda a, b: a / b}
_RANGE = "Numbers are whole, from 0 to {1}, and a {2} b need not be b {2} a."
_BEGIN_ONE = (
    "The sign {0} does not mean here what it usually does. " + _RANGE,
    "Forget what the sign {0} means elsewhere: here it means something else. " + _RANGE,
)
_BEGIN = (
    "The signs {0} do not mean here what they usually do. " + _RANGE,
    "Forget what the signs {0} mean elsewhere: here they mean something else. " + _RANGE,
)

#: A step: its sign, or two and the step whose result decides between them (the first where that is even), and what it
#: is applied to: a number, or the place of an earlier step, as a text such as "2".
Step = list[Any]


@dataclass(frozen=True)
class Problems:
    """Makes the task of a calculation; see `OddOperators` for the arguments.

    Raises:
        ConfigError: An argument is out of range.
    """

    steps: int
    operators: int
    digits: int
    tables: bool
    conditions: bool
    told: bool

    def __post_init__(self) -> None:
        """Check the arguments."""
        if not (1 <= self.steps <= 60 and 1 <= self.operators <= len(SIGNS) and 2 <= self.digits <= 6):
            raise ConfigError(
                f"steps is {self.steps}, operators is {self.operators} and digits is {self.digits}; 1 to 60, 1 to "
                f"{len(SIGNS)}, and 2 to 6"
            )

    def __call__(self, rng: np.random.Generator) -> Task:
        """Make a task."""
        d = Draws(rng)
        rules = RULES if self.tables else RULES[:-1]
        for _ in range(_TRIES):
            signs = [d.pick(SIGNS[:4]), *d.some(SIGNS, len(SIGNS))]
            signs = list(dict.fromkeys(signs))[: self.operators]
            operators = {sign: made(d, d.pick(rules)) for sign in signs}
            steps = self._steps(d, signs)
            results = carry_out(steps, operators, self.digits)
            prompt = self._prompt(d, steps, operators)
            if str(results[-1]) not in prompt and results[-1] not in _usual(steps, self.digits):
                return Task(
                    prompt=prompt,
                    answer=str(results[-1]),
                    metadata={"digits": self.digits, "operators": operators, "steps": steps},
                )
        raise ConfigError(f"found no problem with {self} in {_TRIES} tries; allow more digits")

    def _steps(self, d: Draws, signs: list[str]) -> list[Step]:
        steps = list[Step]()
        self._grow(d, signs, steps, self.steps)
        return steps

    def _grow(self, d: Draws, signs: list[str], steps: list[Step], size: int) -> int | str:
        """Add a tree of so many steps; gives its last one, or a number where it has none."""
        if not size:
            return d.whole(2, 10**self.digits - 1)
        left = d.whole(0, size - 1) if d.chance(0.3) else d.pick((0, size - 1))
        a, b = self._grow(d, signs, steps, left), self._grow(d, signs, steps, size - 1 - left)
        if self.conditions and steps and len(signs) > 1 and d.chance(0.3):
            sign: Any = [*d.some(signs, 2), str(d.whole(1, len(steps)))]
        else:
            sign = d.pick(signs)
        steps.append([sign, a, b])
        return str(len(steps))

    def _prompt(self, d: Draws, steps: list[Step], operators: dict[str, Operator]) -> str:
        signs = list(operators)
        listed = " and ".join([", ".join(signs[:-1]), signs[-1]] if len(signs) > 1 else signs)
        top = 10**self.digits - 1
        begin = d.pick(_BEGIN_ONE if len(signs) == 1 else _BEGIN)
        lines = [begin.format(listed, top, signs[0])]
        if self.told:
            lines += [meaning(sign, operator, self.digits) for sign, operator in operators.items()]
            lines.append("In these explanations, words and signs mean what they usually do.")
        if len(steps) == 1 or (not self.conditions and d.chance(0.5 if len(steps) < 8 else 0.2)):
            ask = d.pick(("What is {}?", "Calculate {}.", "What is the value of {}?"))
            return "\n".join([*lines, ask.format(expression(steps, str(len(steps)), outermost=True))])
        lines.append(
            d.pick(("Carry out these steps:", "Calculate step by step:", "Do this, one step after the other:"))
        )
        lines += [f"{at}. {_told(step)}" for at, step in enumerate(steps, 1)]
        ask = d.pick(("What is the result of the last step?", f"What does step {len(steps)} give?"))
        return "\n".join([*lines, ask])


def carry_out(steps: list[Step], operators: dict[str, Operator], digits: int) -> list[int]:
    """The results of all steps."""
    results = list[int]()
    for step in steps:
        a, b = (results[int(value) - 1] if isinstance(value, str) else value for value in step[1:])
        results.append(apply(operators[sign_of(step, results)], a, b, digits))
    return results


def sign_of(step: Step, results: list[int]) -> str:
    """The sign of a step, which results may decide."""
    if isinstance(step[0], str):
        return step[0]
    even, odd, decides = step[0]
    return odd if results[int(decides) - 1] % 2 else even


def expression(steps: list[Step], value: int | str, *, outermost: bool = False) -> str:
    """Steps as one expression in parentheses."""
    if not isinstance(value, str):
        return str(value)
    sign, a, b = steps[int(value) - 1]
    text = f"{expression(steps, a)} {sign} {expression(steps, b)}"
    return text if outermost else f"({text})"


def _told(step: Step) -> str:
    sign, *values = step
    a, b = (f"[step {value}]" if isinstance(value, str) else str(value) for value in values)
    if isinstance(sign, str):
        return f"{a} {sign} {b}"
    even, odd, decides = sign
    return f"if [step {decides}] is even: {a} {even} {b}; otherwise: {a} {odd} {b}"


def _usual(steps: list[Step], digits: int) -> set[Fraction]:
    """What comes out where signs mean what they usually do, as it is and with the last digits alone."""
    results = list[Fraction]()
    for step in steps:
        a, b = (results[int(value) - 1] if isinstance(value, str) else Fraction(value) for value in step[1:])
        signs = [step[0]] if isinstance(step[0], str) else step[0][:2]
        if not all(sign in _USUAL for sign in signs) or (not b and "/" in signs):
            return set()
        if len(signs) > 1:
            decides = results[int(step[0][2]) - 1]
            signs = [signs[int(decides % 2 != 0)]]
        value = _USUAL[signs[0]](a, b)
        if value.numerator.bit_length() > 5000:
            return set()
        results.append(value)
    last = results[-1]
    return {last, last % 10**digits, -last, Fraction(int(last))}
