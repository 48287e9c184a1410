"""Rows read as tasks, and compared with one another: what is wrong with a file, and what is in it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import msgspec

from llmgym.errors import LLMGymError, TaskError
from llmgym.loading import described, place_of
from llmgym.tasks.authors import PASSED, blame, checked, named
from llmgym.tasks.files import file_source
from llmgym.tasks.frozen import frozen
from llmgym.tasks.hashing import content_digest
from llmgym.tasks.rows import task_from_row
from llmgym.tasks.sources import JSONLSource, Placed, RowSource
from llmgym.tasks.task import Task, content_of

TRAIN = "train"  # the split of rows that name none
_log = logging.getLogger("llmgym.tasks")

RowReader = Callable[[dict[str, Any]], Task]
#: What becomes of rows that hold the same as an earlier one.
Duplicates = Literal["keep", "drop", "refuse"]
DUPLICATES: tuple[str, ...] = get_args(Duplicates)


class Problem(NamedTuple):
    """What is wrong with a row.

    Attributes:
        place: The row, such as "tasks.jsonl:3".
        reason: What is wrong with it.
    """

    place: str
    reason: str

    def __str__(self) -> str:
        """Both in a line."""
        return f"{self.place}: {self.reason}"


class Table(NamedTuple):
    """The tasks of a source.

    Attributes:
        splits: Tasks by split, in order.
        by_id: Tasks by id.
        duplicates: Rows that repeat another one, kept or dropped.
    """

    splits: dict[str, list[Task]]
    by_id: dict[str, Task]
    duplicates: int


def validate_rows(
    source: RowSource | str | Path, read_row: RowReader = task_from_row, *, duplicates: Duplicates = "keep"
) -> Iterator[Problem]:
    """Name every row that would keep a source from being loaded, where `TaskSet.jsonl` stops at the first.

    Args:
        source: A source, or the path of a file, as in `file_source`.
        read_row: Makes the task of a row, such as an environment's `read_row`.
        duplicates: As in `TaskSet.jsonl`.

    Raises:
        TaskError: The source cannot be read at all.
    """
    found = file_source(source) if isinstance(source, str | Path) else source
    yield from Reading(found, read_row, duplicates).problems()


def load_table(source: RowSource, read_row: RowReader, duplicates: Duplicates) -> Table:
    """Read all rows of a source.

    Raises:
        TaskError: A row is wrong, or there is none; names the first.
    """
    reading = Reading(source, read_row, duplicates)
    for problem in reading.problems():
        raise TaskError(str(problem))
    if reading.duplicates:
        what = "are left out" if duplicates == "drop" else 'are kept; duplicates="drop" leaves them out'
        _log.warning("%s: %d of %d rows repeat another one, and %s", source, reading.duplicates, reading.seen, what)
    return reading.table()


class _Entry:
    """A row that was read."""

    __slots__ = ("content", "named", "place", "split", "task")

    def __init__(self, place: str, split: str, task: Task, content: int) -> None:
        self.place, self.split, self.content, self.named = place, split, content, task.id != ""
        self.task: Task | None = task  # None where it is dropped


class Reading:
    """One pass through a source.

    Attributes:
        seen: Rows so far, good or bad.
        duplicates: How many of them repeat another.
    """

    def __init__(self, source: RowSource, read_row: RowReader, duplicates: Duplicates = "keep") -> None:
        """Nothing is read yet."""
        self._source, self._read_row, self._choice = source, read_row, duplicates
        # JSON that this package itself reads as tasks is settled.
        self._is_settled = read_row is task_from_row and type(source) is JSONLSource
        self._entries: list[_Entry] = []
        self._ids: dict[str, _Entry] = {}  # those that rows have
        self._contents: dict[int, _Entry] = {}
        self.seen = self.duplicates = 0

    def problems(self) -> Iterator[Problem]:
        """Read the rows, and tell what is wrong with them."""
        for place, row in self._rows():
            self.seen += 1
            try:
                self._add(place, row)
            except TaskError as error:
                yield Problem(place, str(error))
        if not self.seen:
            yield Problem(str(self._source), "there are no rows")

    @property
    def places(self) -> list[str]:
        """Where the rows stand that are tasks."""
        return [entry.place for entry in self._entries if entry.task is not None]

    def table(self) -> Table:
        """The rows that are tasks."""
        splits: dict[str, list[Task]] = {}
        by_id: dict[str, Task] = {}
        for entry in self._entries:
            task = entry.task
            if task is None:
                continue
            if not entry.named:
                number, name = 1, task.id
                while task.id in by_id or task.id in self._ids:
                    number += 1
                    msgspec.structs.force_setattr(task, "id", f"{name}-{number}")
            by_id[task.id] = task
            splits.setdefault(entry.split, []).append(task)
        return Table(splits, by_id, self.duplicates)

    # --- one row ----------------------------------------------------------------------------------

    def _rows(self) -> Iterable[Placed]:
        try:
            yield from self._source.rows()
        except LLMGymError:
            raise
        except Exception as error:  # a source may be anybody's
            raise TaskError(f"{self._source} cannot be read: {described(error)}") from error

    def _add(self, place: str, row: dict[str, Any] | TaskError) -> None:
        if isinstance(row, TaskError):
            raise row
        split = TRAIN
        if "split" in row:
            given = row["split"]
            row = {name: value for name, value in row.items() if name != "split"}
            if given is not None and not isinstance(given, str):
                raise TaskError(f"a split is named by text, this one is {given!r:.100}")
            split = given or split
        task = self._task(row)
        content = content_of(task)
        entry = _Entry(place, split, task, hash(content))
        if not entry.named:
            msgspec.structs.force_setattr(task, "id", content_digest(content))
        elif (first := self._ids.setdefault(task.id, entry)) is not entry and (
            self._choice != "drop" or first.content != entry.content
        ):
            raise TaskError(f"the id {task.id!r} is that of {first.place}")
        for name in ("prompt", "answer", "metadata"):
            msgspec.structs.force_setattr(task, name, frozen(getattr(task, name)))
        self._entries.append(entry)
        first = self._contents.setdefault(entry.content, entry)
        if first is not entry:
            self._compare(entry, first)

    def _task(self, row: dict[str, Any]) -> Task:
        try:
            task = self._read_row(row)
        except PASSED:
            raise
        except KeyError as error:
            key, place = error.args[0] if error.args else None, place_of(error)
            if isinstance(key, str) and key not in row:
                where = f", at {place} in {named(self._read_row)}" if place else ""
                said = f"column {key!r} is missing; there is {', '.join(row)}{where}"
            else:
                said = blame(self._read_row, error)
            raise TaskError(said) from error
        except (Exception, SystemExit) as error:  # the reader may be an author's
            raise TaskError(blame(self._read_row, error)) from error
        return task if self._is_settled else checked(self._read_row, task)

    def _compare(self, entry: _Entry, first: _Entry) -> None:
        """Decide about a row that holds the same as an earlier one."""
        shared = first.split != entry.split
        if self._choice == "drop":
            self.duplicates += 1
            if shared and first.split == TRAIN:  # so that a split for testing stays what it was
                first.task = None
                self._contents[entry.content] = entry
            else:
                entry.task = None
        elif shared:
            out = TRAIN if first.split == TRAIN else entry.split
            raise TaskError(
                f"split {entry.split!r} repeats the task of split {first.split!r} at {first.place}; "
                f'duplicates="drop" leaves it out of {out!r}'
            )
        elif self._choice == "refuse":
            raise TaskError(f"the row repeats the one at {first.place}")
        else:
            self.duplicates += 1
