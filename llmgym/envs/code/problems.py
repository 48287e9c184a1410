"""Programming problems: a rule in words, examples of it, hidden tests, and a program that follows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from llmgym.envs.code.primitives import Kind
from llmgym.envs.code.rules import Chance, Step, draw_rule, follow
from llmgym.envs.vocabulary import GIVEN_NAMES, PLACES, THINGS
from llmgym.errors import ConfigError
from llmgym.tasks import Task

#: A function is called with its argument, a program reads standard input.
Form = Literal["function", "program"]

_TRIES = 500
_WORDS = (*THINGS, *THINGS, *GIVEN_NAMES, *PLACES)
_STARTS: tuple[Kind, ...] = ("numbers", "text", "words")
_FUNCTIONS = ("solve", "transform", "convert", "process", "compute", "apply_rules", "evaluate", "work_out")
_A: dict[Kind, str] = {
    "numbers": "a list of integers",
    "number": "an integer",
    "text": "a string",
    "words": "a list of strings",
    "table": "a dict from strings to integers",
}
_READS: dict[Kind, tuple[str, str]] = {
    "numbers": ("one line of integers separated by blanks, which may be empty", "[int(n) for n in input().split()]"),
    "text": ("one line of text, which may be empty", "input()"),
    "words": ("one line of words separated by blanks, which may be empty", "input().split()"),
}
_PRINTS: dict[Kind, tuple[str, str]] = {
    "numbers": ("the resulting numbers on one line, separated by blanks", "print(*x)"),
    "number": ("the resulting number", "print(x)"),
    "text": ("the resulting text", "print(x)"),
    "words": ("the resulting words, one on each line", "print(*x, sep='\\n')"),
}
_IMPORTS = {"Counter(": "from collections import Counter", "groupby(": "from itertools import groupby"}
_BEGINS = (
    "It follows these rules, in this order:",
    "Do this, step by step:",
    "The steps, in their order:",
    "This is what it has to do, one step after the other:",
)
_BEGINS_ONE = ("This is the rule:", "It does one thing:", "What to do:")
_ENDS = (
    "Reply with the whole {form} in a Python code block.",
    "Answer with one Python code block that has the complete {form}.",
    "Put the finished {form} into a ```python block.",
)


@dataclass(frozen=True)
class Problems:
    """Makes problems.

    Attributes:
        steps: Steps of a rule.
        form: What is to be written.
        forks: Whether a step may depend on a condition.
        examples: Examples in the prompt.
        tests: Hidden tests.
    """

    steps: int
    form: Form
    forks: bool
    examples: int
    tests: int

    def __post_init__(self) -> None:
        """Refuse what cannot be.

        Raises:
            ConfigError: An argument is out of range.
        """
        if self.form not in ("function", "program"):
            raise ConfigError(f"form is 'function' or 'program', not {self.form!r}")
        for name, low, high in (("steps", 1, 8), ("examples", 1, 5), ("tests", 8, 40)):
            if not low <= (value := getattr(self, name)) <= high:
                raise ConfigError(f"{name} is {value!r}; it must be from {low} to {high}")

    def __call__(self, rng: np.random.Generator) -> Task:
        """Make one."""
        chance = Chance(rng)
        ends: tuple[Kind, ...] = tuple(_PRINTS if self.form == "program" else _A)
        for _ in range(_TRIES):
            kind = chance.pick(_STARTS)
            shown, hidden = self._inputs(chance, kind)
            rule = draw_rule(chance, kind, self.steps, self.forks, ends, hidden)
            if rule is None:
                continue
            seen = [follow(rule[0], value) for value in shown]
            if all(seen) and all(value not in seen[:place] for place, value in enumerate(seen)):
                return self._task(chance, rule[0], list(zip(shown, seen, strict=True)), hidden, rule[1])
        raise RuntimeError(f"no problem of {self.steps} steps came up in {_TRIES} tries")

    def _inputs(self, chance: Chance, kind: Kind) -> tuple[list[Any], list[Any]]:
        """Different ones to show and to hide; of the hidden, one is large, one is small, and one is empty."""
        sizes = [14, *(2 + chance.below(9) for _ in range(self.tests - 3)), 1, 0]
        hidden = [_input(chance, kind, size) for size in sizes]
        shown: list[Any] = []
        while len(shown) < self.examples:
            value = _input(chance, kind, 4 + chance.below(4))
            if value not in hidden and value not in shown:
                shown.append(value)
        return shown, hidden

    def _task(
        self,
        chance: Chance,
        steps: Sequence[Step],
        examples: list[tuple[Any, Any]],
        inputs: list[Any],
        outputs: list[Any],
    ) -> Task:
        name = chance.pick(_FUNCTIONS) if self.form == "function" else None
        kinds = steps[0].takes, steps[-1].gives
        told = [step.tell(chance) for step in steps]
        listed = "\n".join(f"{place}. {said}" for place, (said, _) in enumerate(told, 1))
        rule = f"{chance.pick(_BEGINS)}\n{listed}" if len(told) > 1 else f"{chance.pick(_BEGINS_ONE)} {told[0][0]}"
        given, seen = [value for value, _ in examples], [value for _, value in examples]
        if name is None:
            answer, shown = _as_texts(inputs, outputs, kinds), _as_texts(given, seen, kinds)
            what = f"Write a Python program that reads {_READS[kinds[0]][0]}, and prints {_PRINTS[kinds[1]][0]}."
        else:
            answer = {"fn_name": name, "inputs": [[value] for value in inputs], "outputs": outputs}
            shown = {"fn_name": name, "inputs": [[value] for value in given], "outputs": seen}
            head = f"{name}({kinds[0]})"
            what = f"Write a Python function `{head}` that takes {_A[kinds[0]]} and returns {_A[kinds[1]]}."
        prompt = f"{what} {rule}\n\n{example_text(shown)}\n\n{chance.pick(_ENDS).format(form=self.form)}"
        solution = _source(name, [code for _, code in told], kinds)
        return Task(prompt=prompt, answer=answer, metadata={"examples": shown, "solution": solution})


def example_text(examples: dict[str, Any]) -> str:
    """Examples as a prompt shows them."""
    pairs = zip(examples["inputs"], examples["outputs"], strict=True)
    if name := examples.get("fn_name"):
        lines = [f"{name}({', '.join(map(repr, given))}) returns {right!r}" for given, right in pairs]
        return "\n".join(["For example:", *lines])
    blocks = [f"Input:\n{given.rstrip()}\nOutput:\n{right.rstrip()}" for given, right in pairs]
    return "\n\n".join([f"Example{'s' * (len(blocks) > 1)}:", *blocks])


def _input(chance: Chance, kind: Kind, size: int) -> Any:
    if kind == "numbers":
        numbers = [chance.below(52) - 12 for _ in range(size)]
        return [numbers[i - 1] if i and chance.below(5) == 0 else n for i, n in enumerate(numbers)]
    words = [chance.pick(_WORDS) for _ in range((size + 1) // 2 if kind == "text" else size)]
    words = [words[i // 2] if i and chance.below(7) == 0 else word for i, word in enumerate(words)]
    return " ".join(words) if kind == "text" else words


def _as_texts(inputs: Sequence[Any], outputs: Sequence[Any], kinds: tuple[Kind, Kind]) -> dict[str, Any]:
    reads = [f"{value if kinds[0] == 'text' else ' '.join(map(str, value))}\n" for value in inputs]
    separator = "\n" if kinds[1] == "words" else " "
    prints = [f"{separator.join(map(str, x)) if isinstance(x, list) else x}\n" for x in outputs]
    return {"inputs": reads, "outputs": prints}


def _source(name: str | None, codes: Sequence[str], kinds: tuple[Kind, Kind]) -> str:
    """A program of the steps' expressions."""
    lines = [f"x = {code}" for code in codes]
    imports = [line for used, line in _IMPORTS.items() if any(used in code for code in lines)]
    if name is None:
        body = [f"x = {_READS[kinds[0]][1]}", *lines, _PRINTS[kinds[1]][1]]
    else:
        body = [f"def {name}(x):", *(f"    {line}" for line in lines), "    return x"]
    return "\n".join([*imports, *([""] if imports else []), *body])
