"""Tasks of other people's generators, whose splits share nothing but what is said to be shared."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import msgspec
import numpy as np

from llmgym.errors import TaskError
from llmgym.tasks import Task, stable_hash
from llmgym.tasks.sets import GeneratedTasks

_TEST_SHARE = 8  # one in so many is for testing

#: Draws a task for a split; None where what was drawn belongs to the other one.
Draw = Callable[[np.random.Generator, str], Task | None]


class SplitTasks(GeneratedTasks):
    """Generated tasks whose generator tells by what they are about, not by all they hold, which split they belong to.

    A key that tasks are made from would make any two of them different, and so put one question into both splits.
    """

    _tries = 1_000

    def __init__(self, draw: Draw, what: str) -> None:
        """Keep the generator.

        Args:
            draw: Draws a task.
            what: What it draws from, for messages.
        """
        super().__init__(partial(_drawn, draw, "train"))
        self._draw, self._what = draw, what

    def _generate(self, split: str, key: int) -> Task:
        rng = np.random.Generator(np.random.PCG64(key))
        for _ in range(self._tries):
            task = self._draw(rng, split)
            if task is not None:
                msgspec.structs.force_setattr(task, "id", f"{split}-{key:016x}")
                return task
        raise TaskError(f"{self._what} gives no task for the split {split!r} in {self._tries} tries")


def _drawn(draw: Draw, split: str, rng: np.random.Generator) -> Task:
    while (task := draw(rng, split)) is None:
        pass
    return task


def split_of(*about: object) -> str:
    """The split of what a task is about: "test" for an eighth of all."""
    return "train" if stable_hash("split", *about) % _TEST_SHARE else "test"
