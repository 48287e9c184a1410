"""Functions to write, run on inputs that are never shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from llmgym import Episode, Reward, Task, TaskSet, ToolEnv
from llmgym.sandbox import Sandbox
from llmgym.verifiers import code

Step = Callable[[list[int], int], list[int]]

# Steps of a function: what they are in words, in Python, and here.
_STEPS: tuple[tuple[str, str, Step], ...] = (
    (
        "leave out the numbers below {n}",
        "[each for each in numbers if each >= {n}]",
        lambda given, n: [x for x in given if x >= n],
    ),
    (
        "leave out the numbers that {n} divides",
        "[each for each in numbers if each % {n}]",
        lambda given, n: [x for x in given if x % n],
    ),
    ("add {n} to each number", "[each + {n} for each in numbers]", lambda given, n: [x + n for x in given]),
    ("multiply each number by {n}", "[each * {n} for each in numbers]", lambda given, n: [x * n for x in given]),
    ("put them in reverse order", "numbers[::-1]", lambda given, n: given[::-1]),
    ("sort them, the largest first", "sorted(numbers, reverse=True)", lambda given, n: sorted(given, reverse=True)),
    ("keep only the first {n} of them", "numbers[:{n}]", lambda given, n: given[:n]),
    ("drop the first of them", "numbers[1:]", lambda given, n: given[1:]),
)
_PHRASINGS = (
    "Write a Python function `change(numbers)` that takes a list of integers and returns a list.",
    "I need a Python function `change(numbers)`. It gets a list of integers, and returns another list.",
)
_BOX = Sandbox(least="landlock")  # the weakest wall that is good enough
_TESTS = 12
_SHOWN = 2


@dataclass(frozen=True)
class Functions:
    """Makes tasks: what it gives depends on the generator that it is given, and on nothing else.

    Attributes:
        steps: How many steps a function has.
    """

    steps: int

    def __call__(self, rng: np.random.Generator) -> Task:
        """Make a task: steps in words, two examples, and tests that no step is needless in."""
        while True:
            steps = [_STEPS[index] for index in rng.permutation(len(_STEPS))[: self.steps]]
            numbers = [int(number) for number in rng.integers(2, 6, self.steps)]
            inputs = [rng.integers(0, 20, int(rng.integers(0, 9))).tolist() for _ in range(_TESTS)]
            doing = [(step, number) for (_, _, step), number in zip(steps, numbers, strict=True)]
            outputs = [_run(doing, given) for given in inputs]
            shorter = [doing[:index] + doing[index + 1 :] for index in range(len(doing))]
            if all([_run(some, given) for given in inputs] != outputs for some in (*shorter, [])):
                break
        lines = [line.format(n=number) for (_, line, _), number in zip(steps, numbers, strict=True)]
        words = [word.format(n=number) for (word, _, _), number in zip(steps, numbers, strict=True)]
        parts = [_PHRASINGS[rng.integers(len(_PHRASINGS))], "Step by step:"]
        parts += [f"{place}. {word}" for place, word in enumerate(words, 1)]
        shown = sorted(zip(inputs, outputs, strict=True), key=lambda pair: -len(pair[0]))[:_SHOWN]
        parts += [f"`change({given})` is `{right}`." for given, right in shown]
        tests = {"fn_name": "change", "inputs": [[given] for given in inputs], "outputs": outputs}
        return Task(prompt="\n".join(parts), answer=_source(lines), metadata={"tests": tests})


def _run(steps: list[tuple[Step, int]], numbers: list[int]) -> list[int]:
    """What the steps make of numbers."""
    for step, number in steps:
        numbers = step(numbers, number)
    return numbers


def _source(lines: list[str]) -> str:
    return "\n".join(["def change(numbers):", *(f"    numbers = {line}" for line in lines), "    return numbers"])


class Scaffolded(ToolEnv):
    """Write a function of a few steps.

    ## Description

    A function on lists of integers, told in steps, with two examples. It is run in the sandbox, on twelve inputs.

    ## Actions

    One reply with the function, in a fence or alone.

    ## Observations

    The steps and the examples.

    ## Rewards

    1 where the function returns what is right for all inputs, else 0, as `llmgym.verifiers.code` compares it.

    ## Episode End

    With the first reply.

    ## Arguments

    - `steps` (3): how many steps a function has, 2 to 8.
    """

    system_prompt = "Reply with the function in a fenced block of Python."
    max_turns = 1
    sandbox = _BOX

    def __init__(self, *, steps: int = 3, tasks: TaskSet | str | None = None, **options: Any) -> None:
        """Make the environment.

        Args:
            steps: How many steps a function has.
            tasks: Other functions: rows with `prompt`, `answer` (a solution) and `tests` as generated ones have them.
            **options: Passed to `ToolEnv`.
        """
        super().__init__(tasks=TaskSet.generated(Functions(steps)) if tasks is None else tasks, **options)

    async def verify(self, episode: Episode) -> Reward:
        """Run the function on inputs that were not shown."""
        verdict = await code.acheck(episode.final_text, episode.task.metadata["tests"], sandbox=_BOX)
        return verdict.reward

    def oracle(self, task: Task) -> list[str]:
        """Give the solution."""
        return [f"```python\n{task.answer}\n```"]
