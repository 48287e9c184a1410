"""Questions about a list of numbers, answered in one reply."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from llmgym import Episode, Reward, Task, TaskSet, ToolEnv
from llmgym.verifiers import numbers

_RANKS = ("largest", "second largest", "third largest")
_PHRASINGS = (
    "Here are some numbers: {numbers}. Which of them is the {rank}?",
    "Find the {rank} number of this list: {numbers}.",
    "{numbers}\n\nWhat is the {rank} of these numbers?",
)


@dataclass(frozen=True)
class Questions:
    """Makes tasks: what it gives depends on the generator that it is given, and on nothing else.

    Attributes:
        count: How many numbers a list has.
    """

    count: int

    def __call__(self, rng: np.random.Generator) -> Task:
        """Make a task. Its answer is known by construction, and no two numbers of it are equal."""
        drawn = [int(number) for number in rng.choice(np.arange(100, 1000), self.count, replace=False)]
        rank = int(rng.integers(len(_RANKS)))
        phrasing = _PHRASINGS[rng.integers(len(_PHRASINGS))]
        prompt = phrasing.format(numbers=", ".join(map(str, drawn)), rank=_RANKS[rank])
        return Task(prompt=prompt, answer=sorted(drawn, reverse=True)[rank])


class Scaffolded(ToolEnv):
    """Find the number of a rank in a list.

    ## Description

    A list of different numbers from 100 to 999, and a question for the largest, second or third largest of them.

    ## Actions

    One reply, which states a number.

    ## Observations

    The question.

    ## Rewards

    1 where the number that the reply states is the answer, else 0, as `llmgym.verifiers.numbers` reads it.

    ## Episode End

    With the first reply.

    ## Arguments

    - `count` (8): how many numbers a list has, at least 3.
    """

    system_prompt = "Answer with the number alone."
    max_turns = 1

    def __init__(self, *, count: int = 8, tasks: TaskSet | str | None = None, **options: Any) -> None:
        """Make the environment.

        Args:
            count: How many numbers a list has.
            tasks: Other questions: rows with `prompt` and `answer`.
            **options: Passed to `ToolEnv`.
        """
        super().__init__(tasks=TaskSet.generated(Questions(count)) if tasks is None else tasks, **options)

    def verify(self, episode: Episode) -> Reward:
        """Compare the number that the reply states with the answer."""
        return numbers.check(episode.final_text, episode.task.answer).reward

    def oracle(self, task: Task) -> list[str]:
        """State the answer."""
        return [str(task.answer)]
