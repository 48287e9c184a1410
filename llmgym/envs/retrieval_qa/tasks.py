"""Questions whose splits are about different worlds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from llmgym.errors import TaskError
from llmgym.tasks import Task, TaskSet


class WorldTasks(TaskSet):
    """Generated tasks, each split of which has a generator of its own."""

    def __init__(self, **made_by: Callable[[np.random.Generator], Task]) -> None:
        """Keep the generators, by split."""
        self.splits = tuple(made_by)
        self._sets = {split: TaskSet.generated(make) for split, make in made_by.items()}

    def size(self, split: str) -> None:
        """None: without end."""
        self.check_split(split)

    def draw(self, split: str, seed: int, episode: int, *, scope: str = "") -> Task:
        """See `TaskSet.draw`."""
        self.check_split(split)
        return self._sets[split].draw(split, seed, episode, scope=scope)

    def plan(self, split: str, seed: int, index: int, *, scope: str = "") -> Task:
        """See `TaskSet.plan`."""
        self.check_split(split)
        return self._sets[split].plan(split, seed, index, scope=scope)

    def get(self, task_id: str) -> Task:
        """Make the task of an id again."""
        split = task_id.partition("-")[0]
        if split not in self.splits:
            raise TaskError(f"unknown task {task_id!r}; ids look like 'train-00c0ffee00c0ffee'")
        return self._sets[split].get(task_id)
