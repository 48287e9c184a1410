"""Codes of Mastermind: their tasks, their marks, and a solver."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from operator import eq
from typing import Any

import numpy as np

from llmgym.envs.games import phrase
from llmgym.errors import ConfigError
from llmgym.tasks import Task

COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white", "grey", "teal")
_PHRASINGS = (
    "Guess the secret code.",
    "I have chosen a secret code. Find it.",
    "Break this code.",
    "There is a secret row of colours. Which one is it?",
)


@dataclass(frozen=True, slots=True)
class Codes:
    """Makes tasks.

    Attributes:
        length: Places of a code.
        colours: Colours that a game has.
        guesses: Guesses that the player has.
    """

    length: int
    colours: int
    guesses: int

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not (2 <= self.length <= 6 and 2 <= self.colours <= len(COLOURS) and 1 <= self.guesses <= 30):
            raise ConfigError(
                f"length is {self.length}, colours is {self.colours} and guesses is {self.guesses}; 2 to 6, 2 to "
                f"{len(COLOURS)} and 1 to 30"
            )

    def __call__(self, rng: np.random.Generator) -> Task:
        """A code."""
        colours = [COLOURS[i] for i in sorted(rng.permutation(len(COLOURS))[: self.colours].tolist())]
        code = [colours[i] for i in rng.integers(self.colours, size=self.length).tolist()]
        return as_task(code, colours, self.guesses)


def as_task(code: Sequence[str], colours: Sequence[str], guesses: int, task_id: Any = "") -> Task:
    """The task of a code."""
    text = phrase(_PHRASINGS, " ".join([*code, *colours]))
    prompt = (
        f"{text} It has {len(code)} places, and each has one of these colours: {', '.join(colours)}. "
        f"You have {guesses} guesses."
    )
    metadata = {"colours": list(colours), "guesses": guesses}
    return Task(id=task_id, prompt=prompt, answer=list(code), metadata=metadata)


def marks(code: Sequence[str], guess: Sequence[str]) -> tuple[int, int]:
    """How many places of a guess are right, and how many more of its colours the code has elsewhere."""
    exact = _exact(code, guess)
    return exact, sum(min(code.count(colour), guess.count(colour)) for colour in set(guess)) - exact


def fits(code: Sequence[str], guess: Sequence[str], told: tuple[int, int]) -> bool:
    """Whether a guess is answered so where the code is this one."""
    return _exact(code, guess) == told[0] and marks(code, guess) == told  # the cheap part first: oracles try thousands


def _exact(code: Sequence[str], guess: Sequence[str]) -> int:
    return sum(map(eq, code, guess))


def candidates(colours: Sequence[str], length: int) -> Iterator[tuple[str, ...]]:
    """All codes, in an order in which the first guesses tell much: neighbouring colours in pairs."""
    for code in product(range(len(colours)), repeat=length):
        yield tuple(colours[(colour + place // 2) % len(colours)] for place, colour in enumerate(code))
