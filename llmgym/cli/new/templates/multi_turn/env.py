"""Guess a number; each guess is answered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from llmgym import Episode, Message, Reward, Task, TaskSet, ToolEnv
from llmgym.verifiers import numbers

_PHRASINGS = (
    "I am thinking of a whole number from {low} to {high}. Guess it.",
    "Guess my number. It is a whole one from {low} to {high}.",
    "My number lies between {low} and {high}, both included. Which is it?",
)


@dataclass(frozen=True)
class Secrets:
    """Makes tasks: what it gives depends on the generator that it is given, and on nothing else.

    Attributes:
        size: How many numbers the secret may be.
    """

    size: int

    def __call__(self, rng: np.random.Generator) -> Task:
        """Make a task: a range, and a secret in it."""
        low = int(rng.integers(1, 5000))
        high = low + self.size - 1
        prompt = _PHRASINGS[rng.integers(len(_PHRASINGS))].format(low=low, high=high)
        return Task(prompt=prompt, answer=int(rng.integers(low, high + 1)), metadata={"low": low, "high": high})


class Scaffolded(ToolEnv):
    """Guess a number from "higher" and "lower".

    ## Description

    The secret is a whole number of a range that is told. Each guess is answered by "Higher." or "Lower.", and there
    are just as many guesses as halving the range again and again takes.

    ## Actions

    Replies that state a number each.

    ## Observations

    The range; then the answer to each guess.

    ## Rewards

    1 where a guess is the secret, else 0.

    ## Episode End

    With the secret, or with the last guess; truncates after `max_turns` messages.

    ## Arguments

    - `size` (500): how many numbers the secret may be, at least 2.
    """

    system_prompt = "Reply with one number, and nothing else."
    max_turns = 14

    def __init__(self, *, size: int = 500, tasks: TaskSet | str | None = None, **options: Any) -> None:
        """Make the environment.

        Args:
            size: How many numbers the secret may be.
            tasks: Other secrets: rows with `prompt`, `answer`, `low` and `high`.
            **options: Passed to `ToolEnv`.
        """
        super().__init__(tasks=TaskSet.generated(Secrets(size)) if tasks is None else tasks, **options)

    def setup(self, task: Task) -> None:
        """Begin an episode: its state is made here, anew for each."""
        self.found = False
        self.left = (task.metadata["high"] - task.metadata["low"] + 1).bit_length()

    def respond(self, message: Message) -> str | None:
        """Answer a guess; None ends the episode."""
        stated = numbers.final_number(message["content"])
        if stated is None:
            return "I see no number. Reply with one number."  # costs a turn, and no guess
        self.left -= 1
        assert self.task is not None
        self.found = stated == self.task.answer
        if self.found or not self.left:
            return None
        return "Higher." if stated < self.task.answer else "Lower."

    def verify(self, episode: Episode) -> Reward:
        """Pay for the secret."""
        return Reward(found=float(self.found))

    def oracle(self, task: Task) -> Iterator[Message | str]:
        """Halve the range with each guess."""
        low, high = task.metadata["low"], task.metadata["high"]
        while True:
            guess = (low + high) // 2
            yield str(guess)
            low, high = (guess + 1, high) if guess < task.answer else (low, guess - 1)
