"""Some of the tasks of a set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llmgym.errors import TaskError
from llmgym.loading import described
from llmgym.tasks.hashing import stable_hash
from llmgym.tasks.sets import TaskSet
from llmgym.tasks.task import Task, lazy_copy

_TRIES = 10_000


class FilteredTasks(TaskSet):
    """Those tasks of a set that have some metadata and that a function keeps."""

    def __init__(self, tasks: TaskSet, metadata: dict[str, Any], keep: Callable[[Task], Any] | None = None) -> None:
        """Filter a set; nothing is read yet."""
        self._all, self._metadata, self._keep = tasks, metadata, keep
        self._known: dict[tuple[str, int, str], list[int]] = {}

    def has_rows_of(self, other: TaskSet) -> bool:
        """See `TaskSet.has_rows_of`."""
        if not isinstance(other, FilteredTasks) or not self._all.has_rows_of(other._all):
            return False
        return self._metadata == other._metadata and self._keep is other._keep

    def _keeps(self, task: Task) -> bool:
        for name, wanted in self._metadata.items():
            value = task.metadata.get(name)
            if value != wanted and not (isinstance(wanted, list) and value in wanted):
                return False
        if self._keep is None:
            return True
        try:
            return bool(self._keep(lazy_copy(task)))
        except (Exception, SystemExit) as error:  # the predicate is the user's code
            raise TaskError(f"FilterTasks: the predicate failed for task {task.id}: {described(error)}") from error

    def _kept(self, split: str, seed: int = 0, scope: str = "") -> list[int]:
        """Places in the plan of a finite split whose tasks are kept."""
        key = (split, seed, scope)
        if key not in self._known:
            size = self._all.size(split) or 0
            places = [i for i in range(size) if self._keeps(self._all.plan(split, seed, i, scope=scope))]
            if not places:
                raise TaskError(f"FilterTasks: none of the {size} tasks of split {split!r} is kept")
            self._known[key] = places
        return self._known[key]

    @property
    def splits(self) -> tuple[str, ...]:  # type: ignore[override]
        """Those of the whole set."""
        return self._all.splits

    def size(self, split: str) -> int | None:
        """How many tasks of a split are kept."""
        return None if self._all.size(split) is None else len(self._kept(split))

    def draw(self, split: str, seed: int, episode: int, *, scope: str = "") -> Task:
        """See `TaskSet.draw`."""
        for turn in range(_TRIES):
            # The first try is the draw of the whole set, so that streams change only where they must.
            task = self._all.draw(split, stable_hash(seed, turn) >> 33 if turn else seed, episode, scope=scope)
            if self._keeps(task):
                return task
        raise TaskError(f"FilterTasks: none of {_TRIES} tasks drawn from split {split!r} is kept")

    def plan(self, split: str, seed: int, index: int, *, scope: str = "") -> Task:
        """See `TaskSet.plan`."""
        if self._all.size(split) is None:
            return self.draw(split, seed, index, scope=scope)
        places = self._kept(split, seed, scope)
        return self._all.plan(split, seed, places[index % len(places)], scope=scope)

    def get(self, task_id: str) -> Task:
        """See `TaskSet.get`; of the whole set."""
        return self._all.get(task_id)
