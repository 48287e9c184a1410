"""The generator of problems, over all kinds and levels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np

from llmgym.envs.draws import Draws
from llmgym.envs.mathematics import algebra, chances, integers, measures, stories
from llmgym.envs.mathematics.problem import Problem
from llmgym.errors import ConfigError
from llmgym.tasks import Task

Level = Literal["easy", "medium", "hard"]

#: Kinds of problems, with what makes one at a level; None where the numbers that came up allow none.
KINDS: Final[Mapping[str, Callable[[Draws, int], Problem | None]]] = {
    "story": stories.story,
    "equation": algebra.equation,
    "system": algebra.system,
    "quadratic": algebra.quadratic,
    "polynomial": algebra.polynomials,
    "sequence": algebra.sequence,
    "base": algebra.base,
    "number theory": integers.number_theory,
    "counting": chances.counting,
    "probability": chances.probability,
    "geometry": measures.geometry,
    "proportion": measures.proportion,
}
_TRIES = 1000


@dataclass(frozen=True)
class Problems:
    """Makes the task of a problem; see `Mathematics` for the arguments.

    Raises:
        ConfigError: An argument is unknown.
    """

    level: Level
    kinds: tuple[str, ...]

    def __post_init__(self) -> None:
        """Check the arguments."""
        if self.level not in get_args(Level):
            raise ConfigError(f"unknown level {self.level!r}; there is {', '.join(get_args(Level))}")
        if unknown := [kind for kind in self.kinds if kind not in KINDS]:
            raise ConfigError(f"unknown kind {unknown[0]!r}; there is {', '.join(KINDS)}")
        if not self.kinds:
            raise ConfigError(f"kinds needs at least one; there is {', '.join(KINDS)}")

    def __call__(self, rng: np.random.Generator) -> Task:
        """Make a task."""
        draws, level = Draws(rng), get_args(Level).index(self.level)
        kind = draws.pick(self.kinds)
        for _ in range(_TRIES):
            problem = KINDS[kind](draws, level)
            if problem and not problem.is_told:
                metadata = {"kind": kind, "form": problem.form}
                return Task(prompt=problem.text, answer=str(problem.answer), metadata=metadata)
        raise ConfigError(f"found no problem of the kind {kind!r} in {_TRIES} tries")
