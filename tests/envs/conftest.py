from __future__ import annotations

from collections.abc import Iterator

import pytest

from llmgym.tasks import Task
from llmgym.tasks.sets import GeneratedTasks


@pytest.fixture(autouse=True, scope="module")
def _tasks_are_made_once() -> Iterator[None]:
    """Many policies play the tasks of the same seeds, and making these takes most of the time of a module.

    That a task is the same whenever it is made, the conformance kit sees.
    """
    made, make = dict[object, Task](), GeneratedTasks._generate

    def once(self: GeneratedTasks, split: str, key: int) -> Task:
        at = self._make, split, key
        if at not in made:
            made[at] = make(self, split, key)
        return made[at]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GeneratedTasks, "_generate", once)
        yield
