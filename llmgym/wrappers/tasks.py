"""Wrappers that choose the tasks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium

from llmgym.errors import ConfigError, TaskError
from llmgym.loading import FUNCTION, described, load
from llmgym.tasks import Task, TaskSet, stable_hash
from llmgym.wrappers.base import ToolWrapper

_TRIES = 10_000


class FilterTasks(ToolWrapper):
    """Draws only some of the tasks; `reset` with a `task_id` finds them all.

    Args:
        env: The environment.
        metadata: Value, or list of allowed values, of fields of the tasks' metadata.
        predicate: "module:function" of a task that says whether to keep it.

    Raises:
        ConfigError: The metadata is no mapping, or there is no such function.
    """

    def __init__(
        self, env: gymnasium.Env[Any, Any], metadata: dict[str, Any] | None = None, predicate: str | None = None
    ) -> None:
        super().__init__(env, metadata=metadata, predicate=predicate)
        if metadata is not None and not isinstance(metadata, dict):
            raise ConfigError(f"FilterTasks: metadata maps names to values; it is {metadata!r:.100}")
        keep = load(predicate, "FilterTasks: predicate", kind=FUNCTION) if predicate else None
        # The core draws tasks by itself, so the set is put into it.
        core: Any = self.unwrapped
        core.draw_from(FilteredTasks(core.tasks, metadata or {}, keep))


class FilteredTasks(TaskSet):
    """Those tasks of a set that have some metadata and that a function keeps."""

    def __init__(self, tasks: TaskSet, metadata: dict[str, Any], keep: Callable[[Task], Any] | None = None) -> None:
        """Filter a set; nothing is read yet."""
        self._all, self._metadata, self._keep = tasks, metadata, keep
        self._known: dict[tuple[str, int, str], list[int]] = {}

    def _keeps(self, task: Task) -> bool:
        for name, wanted in self._metadata.items():
            value = task.metadata.get(name)
            if value != wanted and not (isinstance(wanted, list) and value in wanted):
                return False
        if self._keep is None:
            return True
        try:
            return bool(self._keep(task))
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
