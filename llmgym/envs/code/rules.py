"""Rules: steps in a row, which a program is to follow, and what shows that simpler programs do not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

import numpy as np

from llmgym.envs.code.primitives import CONDITIONS, PRIMITIVES, Kind, Primitive

_MOST = 10**12  # a number may grow to
_LONGEST = 300  # text, and lists
_SHARE = 1 / 3  # of tests that may have one result
_TRIES = 12  # for a step
_BLOCK = 512

_Part = TypeVar("_Part")
_Function = Callable[[Any], Any]


class Chance:
    """Numbers from a generator, drawn many at once: one by one they would be most of the time that a task takes."""

    def __init__(self, rng: np.random.Generator) -> None:
        """Draw from a generator."""
        self._rng = rng
        self._left: list[float] = []

    def below(self, limit: int) -> int:
        """A number from 0 to one less than the limit."""
        if not self._left:
            self._left = self._rng.random(_BLOCK).tolist()
        return int(self._left.pop() * limit)

    def pick(self, choices: Sequence[_Part]) -> _Part:
        """One of some choices."""
        return choices[self.below(len(choices))]


@dataclass(frozen=True, slots=True)
class Step:
    """A primitive with its parameter, or a choice of two by a condition.

    Attributes:
        takes: What goes in.
        gives: What comes out.
        run: It as a function.
        tell: Gives it in words, and as an expression of `x`.
        branches: The steps of which it does one or the other.
    """

    takes: Kind
    gives: Kind
    run: _Function
    tell: Callable[[Chance], tuple[str, str]]
    branches: tuple[Step, ...] = ()


def _step(chance: Chance, primitives: Sequence[Primitive]) -> Step:
    primitive = chance.pick(primitives)
    k = chance.pick(primitive.choices) if primitive.choices else None

    def tell(chance: Chance) -> tuple[str, str]:
        return chance.pick(primitive.said).format(k=repr(k)), primitive.source(k)

    return Step(primitive.takes, primitive.gives, _bound(primitive, k), tell)


def _bound(primitive: Primitive, k: Any) -> _Function:
    run = primitive.run
    return lambda x: run(x, k)


def _fork(chance: Chance, kind: Kind) -> Step:
    """A step that depends on a condition, and gives what it takes."""
    when = _step(chance, _conditions(kind))
    first, second = (_step(chance, _between(kind, kind)) for _ in range(2))

    def tell(chance: Chance) -> tuple[str, str]:
        (condition, test), (one, code), (other, else_code) = (step.tell(chance) for step in (when, first, second))
        said = f"If {condition}: {_inner(one)} Otherwise: {_inner(other)}"
        return said, f"({code}) if {test} else ({else_code})"

    return Step(kind, kind, lambda x: first.run(x) if when.run(x) else second.run(x), tell, (first, second))


def _inner(sentence: str) -> str:
    return sentence[0].lower() + sentence[1:]


@cache
def _between(takes: Kind, gives: Kind) -> tuple[Primitive, ...]:
    return tuple(p for p in PRIMITIVES if p.takes == takes and p.gives == gives)


@cache
def _away(takes: Kind, ends: tuple[Kind, ...]) -> tuple[Primitive, ...]:
    return tuple(p for p in PRIMITIVES if p.takes == takes and p.gives != takes and p.gives in ends)


@cache
def _conditions(kind: Kind) -> tuple[Primitive, ...]:
    return tuple(condition for condition in CONDITIONS if condition.takes == kind)


@cache
def _single(takes: Kind, gives: Kind) -> tuple[_Function, ...]:
    """All that one step can do."""
    return tuple(_bound(p, k) for p in _between(takes, gives) for k in p.choices or (None,))


def draw_rule(
    chance: Chance, kind: Kind, count: int, forks: bool, ends: tuple[Kind, ...], inputs: Sequence[Any]
) -> tuple[list[Step], list[Any]] | None:
    """Some steps in a row that make a rule which tests tell from simpler ones, and what they make of the inputs.

    Args:
        chance: Picks them.
        kind: What goes in.
        count: How many there are.
        forks: Whether one of them may depend on a condition.
        ends: What the last may give.
        inputs: The tests, the one that tells most first.

    Returns:
        None where what came up led nowhere.
    """
    steps: list[Step] = []
    values = list(inputs)
    fork = chance.below(min(count, 3)) if forks else -1
    for place in range(count):
        for _ in range(_TRIES):
            if place == fork and _conditions(kind):
                step = _fork(chance, kind)
            else:
                step = _step(chance, _choices(chance, kind, ends, last=place == count - 1))
            made = [step.run(values[0])]
            if made[0] != values[0] and _is_bounded(made[0]):
                made += map(step.run, values[1:])
                if all(map(_is_bounded, made)) and _varies(made):
                    break
        else:
            return None
        steps.append(step)
        values, kind = made, step.gives
    simpler = any(_passes(other, inputs, values) for other in _simpler(steps))
    return None if simpler or kind not in ends else (steps, values)


def _choices(chance: Chance, kind: Kind, ends: tuple[Kind, ...], *, last: bool) -> Sequence[Primitive]:
    """Steps to choose from: more often such as stay with a list or a text, since most others lead away from them."""
    stays = _between(kind, kind) if not last or kind in ends else ()
    away = _away(kind, ends if last else ("numbers", "number", "text", "words", "table"))
    return stays if not away or (stays and chance.below(3)) else away


def _is_bounded(value: Any) -> bool:
    if isinstance(value, int):
        return -_MOST <= value <= _MOST
    if len(value) > _LONGEST:
        return False
    return not isinstance(value, list) or not value or isinstance(value[0], str) or max(map(abs, value)) <= _MOST


def _varies(values: Sequence[Any]) -> bool:
    return max(Counter(map(repr, values)).values()) <= _SHARE * len(values)


def _simpler(steps: Sequence[Step]) -> Iterator[Sequence[_Function]]:
    """The rule less a step, or with one branch of a step alone, and whatever single step there is."""
    for place, step in enumerate(steps):
        for other in ([], *([branch] for branch in step.branches)):
            yield [one.run for one in (*steps[:place], *other, *steps[place + 1 :])]
    if len(steps) > 1:
        for function in _single(steps[0].takes, steps[-1].gives):
            yield (function,)


def _passes(functions: Sequence[_Function], inputs: Sequence[Any], outputs: Sequence[Any]) -> bool:
    try:
        for value, right in zip(inputs, outputs, strict=True):
            for function in functions:
                value = function(value)
            if value != right:
                return False
    except (AttributeError, LookupError, TypeError, ValueError):  # what is left of a rule may not fit together
        return False
    return True


def follow(steps: Sequence[Step], value: Any) -> Any:
    """What the steps make of a value."""
    for step in steps:
        value = step.run(value)
    return value
