"""The sets that environments draw tasks from.

A task is drawn by a hash of (environment, split, seed, episode): streams of different seeds are unrelated, and slots
with neighbouring seeds do not meet the same tasks, as they do where a task is picked by seed + index.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from llmgym.errors import ConfigError, TaskError
from llmgym.tasks.authors import made_by, named
from llmgym.tasks.hashing import stable_hash
from llmgym.tasks.reading import DUPLICATES, Duplicates, RowReader, Table, load_table
from llmgym.tasks.rows import task_from_row
from llmgym.tasks.shuffle import shuffled
from llmgym.tasks.sources import HuggingFaceSource, JSONLSource, RowSource
from llmgym.tasks.task import Task, lazy_copy

_HAND = 64  # tasks that one seed is dealt from a shuffle of a finite set
# The same for all tasks of a hand, or of a pass through a split.
_pass_key = lru_cache(maxsize=4096, typed=True)(stable_hash)


class TaskSet(ABC):
    """A set of tasks in splits. What it gives is an episode's own, which may change it."""

    splits: tuple[str, ...]

    @abstractmethod
    def size(self, split: str) -> int | None:
        """How many tasks a split has; None where a generator makes them without end."""

    @property
    def outcomes(self) -> int | None:
        """How many different tasks there are in all splits, at most; None where nobody knows."""
        sizes = [self.size(split) for split in self.splits]
        return None if None in sizes else sum(size for size in sizes if size)

    @abstractmethod
    def draw(self, split: str, seed: int, episode: int, *, scope: str = "") -> Task:
        """The task of one episode of a slot.

        Args:
            split: Name of the split.
            seed: Seed of the slot.
            episode: How many episodes the slot has had since that seed.
            scope: Name of the environment, so that environments over one set draw differently.
        """

    @abstractmethod
    def plan(self, split: str, seed: int, index: int, *, scope: str = "") -> Task:
        """The task at a place of a run: a finite split is gone through once before any comes again."""

    @abstractmethod
    def get(self, task_id: str) -> Task:
        """The task with an id.

        Raises:
            TaskError: No split has it.
        """

    @staticmethod
    def jsonl(
        path: str | Path, row: Callable[[dict[str, Any]], Task] | None = None, *, duplicates: Duplicates = "keep"
    ) -> RowTasks:
        """Tasks in the rows of a JSONL file.

        A row has `prompt` or `messages`, and may have `id`, `answer`, `metadata` and `split` ("train" where absent).
        Columns of other names go to `metadata`; `task_from_row` says more.

        Two rows with one id are an error, and so is one task in two splits, which would be trained on and tested.

        Args:
            path: The file; a relative path is looked for beside the module of the environment class that holds this
                set, then in the working directory.
            row: Makes the task of a row that has other columns.
            duplicates: What becomes of a row with the prompt, answer and metadata of an earlier one. "keep" keeps it,
                as another task, whose id ends in "-2" where the row has none; "drop" leaves it out, and where the two
                are in different splits the one in "train"; "refuse" is an error. The set counts them.
        """
        return RowTasks(JSONLSource(Path(path)), row, duplicates)

    @staticmethod
    def huggingface(
        path: str,
        name: str | None = None,
        *,
        splits: Sequence[str] = ("train", "test"),
        row: Callable[[dict[str, Any]], Task] | None = None,
        duplicates: Duplicates = "keep",
        **options: Any,
    ) -> RowTasks:
        """Tasks in the rows of a Hugging Face dataset; needs the extra `data`.

        Args:
            path: Dataset on the Hub, local folder, or a builder name such as "json".
            name: Configuration of the dataset.
            splits: Splits to load.
            row: Makes the task of a row; by default columns are read as `jsonl` does.
            duplicates: As in `jsonl`.
            **options: Passed to `datasets.load_dataset`, such as `data_files` or `revision`.
        """
        return RowTasks(HuggingFaceSource(path, name, tuple(splits), options), row, duplicates)

    @staticmethod
    def generated(make: Callable[[np.random.Generator], Task], *, outcomes: int | None = None) -> GeneratedTasks:
        """Tasks that a function makes from a random generator, without end.

        A task belongs to "test" or "train" by a hash of all of its content, so the splits share none.

        Args:
            make: Makes one task; its `id` is set from the draw. Must be picklable.
            outcomes: How many different tasks it can make at most, where these are few; the conformance kit compares.
        """
        return GeneratedTasks(make, outcomes)

    def has_rows_of(self, other: TaskSet) -> bool:
        """Whether another set is of the same rows, read in the same way, so that one of the two is enough."""
        return False

    def check_split(self, split: str) -> None:
        """Raise `TaskError` for a split that the set does not have."""
        if split not in self.splits:
            raise TaskError(f"unknown split {split!r}; there is {', '.join(self.splits) or 'none'}")


class GeneratedTasks(TaskSet):
    """Tasks made by a function; see `TaskSet.generated`."""

    splits = ("train", "test")
    _tries = 10_000

    def __init__(self, make: Callable[[np.random.Generator], Task], outcomes: int | None = None) -> None:
        """Keep the function.

        Raises:
            ConfigError: It is none.
        """
        if not callable(make):
            raise ConfigError(f"TaskSet.generated takes a function of a numpy.random.Generator, not {make!r:.100}")
        self._make, self._outcomes = make, outcomes

    @property
    def outcomes(self) -> int | None:
        """As declared."""
        return self._outcomes

    def size(self, split: str) -> None:
        """None: without end."""
        self.check_split(split)

    def draw(self, split: str, seed: int, episode: int, *, scope: str = "") -> Task:
        """See `TaskSet.draw`."""
        self.check_split(split)
        return self._generate(split, stable_hash(scope, split, seed, episode))

    def plan(self, split: str, seed: int, index: int, *, scope: str = "") -> Task:
        """See `TaskSet.plan`."""
        return self.draw(split, seed, index, scope=scope)

    def get(self, task_id: str) -> Task:
        """Make the task of an id again."""
        split, _, key = task_id.rpartition("-")
        if split not in self.splits or len(key) != 16 or not set(key) <= set("0123456789abcdef"):
            raise TaskError(f"unknown task {task_id!r}; ids look like 'train-00c0ffee00c0ffee'")
        return self._generate(split, int(key, 16))

    def _generate(self, split: str, key: int) -> Task:
        rng = np.random.Generator(np.random.PCG64(key))
        for _ in range(self._tries):
            task = made_by(self._make, rng)
            # An eighth of all contents are test tasks, whatever seed they come from.
            if (int(task.content_hash[0], 16) < 2) == (split == "test"):
                msgspec.structs.force_setattr(task, "id", f"{split}-{key:016x}")
                return task
        raise TaskError(
            f"{named(self._make)} made no task for the split {split!r} in {self._tries} tries: too few contents; vary "
            "the prompt, the answer or the metadata"
        )


class RowTasks(TaskSet):
    """Tasks in rows; see `TaskSet.jsonl` and `TaskSet.huggingface`. Loaded when first used."""

    def __init__(self, source: RowSource, row: RowReader | None = None, duplicates: Duplicates = "keep") -> None:
        """Keep where the rows come from.

        Raises:
            ConfigError: There is no such choice for duplicates.
        """
        if duplicates not in DUPLICATES:
            raise ConfigError(f"duplicates must be one of {', '.join(DUPLICATES)}; it is {duplicates!r:.100}")
        self._source = source
        self._row = row or task_from_row
        self._duplicates: Duplicates = duplicates
        self._known: Table | None = None
        self._loading = threading.RLock()

    def __set_name__(self, owner: type, name: str) -> None:
        """Look for relative paths beside the module of the class that holds this set."""
        if isinstance(self._source, JSONLSource):
            self._source = self._source.beside(owner)

    def __reduce__(self) -> tuple[Any, ...]:
        """Leave the rows out: a worker process loads them itself."""
        return type(self), (self._source, self._row, self._duplicates)

    def __deepcopy__(self, memo: dict[int, Any]) -> RowTasks:
        """The same: `gymnasium.make` copies its arguments, and thousands of slots share one set."""
        return self

    def has_rows_of(self, other: TaskSet) -> bool:
        """See `TaskSet.has_rows_of`."""
        return type(other) is type(self) and other.__reduce__() == self.__reduce__()

    @property
    def _table(self) -> Table:
        if self._known is None:
            with self._loading:  # other threads wait, rather than load again
                if self._known is None:
                    self._known = load_table(self._source, self._row, self._duplicates)
        return self._known

    @property
    def splits(self) -> tuple[str, ...]:  # type: ignore[override]
        """The splits that have rows."""
        return tuple(self._table.splits)

    @property
    def duplicates(self) -> int:
        """How many rows repeat another one, kept or left out."""
        return self._table.duplicates

    def _tasks(self, split: str) -> list[Task]:
        self.check_split(split)
        return self._table.splits[split]

    def size(self, split: str) -> int:
        """How many tasks a split has."""
        return len(self._tasks(split))

    def draw(self, split: str, seed: int, episode: int, *, scope: str = "") -> Task:
        """See `TaskSet.draw`.

        Neighbouring seeds are dealt hands of one shuffle, so that their slots do not meet the same
        tasks; a seed that has played its hand is dealt one of another shuffle.
        """
        tasks = self._tasks(split)
        size = len(tasks)
        hand = min(_HAND, size)
        table, seat = divmod(int(seed), size // hand)
        deal, place = divmod(int(episode), hand)
        key = _pass_key(scope, split, table, deal)
        return lazy_copy(tasks[shuffled(key, size, seat * hand + place)])

    def plan(self, split: str, seed: int, index: int, *, scope: str = "") -> Task:
        """See `TaskSet.plan`."""
        tasks = self._tasks(split)
        deal, place = divmod(int(index), len(tasks))
        return lazy_copy(tasks[shuffled(_pass_key(scope, split, seed, deal), len(tasks), place)])

    def get(self, task_id: str) -> Task:
        """See `TaskSet.get`."""
        by_id = self._table.by_id
        if task_id not in by_id:
            raise TaskError(f"unknown task {task_id!r} in {self._source}; the first is {next(iter(by_id))!r}")
        return lazy_copy(by_id[task_id])
