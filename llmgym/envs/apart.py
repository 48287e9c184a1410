"""Generated tasks whose splits are about different things, not only worded differently."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np

from llmgym.tasks import Task
from llmgym.tasks.authors import made_by
from llmgym.tasks.sets import GeneratedTasks


class ApartTasks(GeneratedTasks):
    """Generated tasks, each split of which has a generator of its own, which gives no content of another."""

    def __init__(
        self, *, train: Callable[[np.random.Generator], Task], test: Callable[[np.random.Generator], Task]
    ) -> None:
        """Keep the generators.

        Args:
            train: Makes a task for training.
            test: Makes one for testing.
        """
        super().__init__(train)
        self._makers = {"train": train, "test": test}

    def _generate(self, split: str, key: int) -> Task:
        task = made_by(self._makers[split], np.random.Generator(np.random.PCG64(key)))
        msgspec.structs.force_setattr(task, "id", f"{split}-{key:016x}")
        return task
