"""Tasks, and the sets that environments draw them from.

A task is drawn by a hash of (environment, split, seed, episode): streams of different seeds are
unrelated, and slots with neighbouring seeds do not meet the same tasks, as they do where a task is
picked by seed + index.
"""

from __future__ import annotations

import hashlib
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from functools import cached_property
from math import gcd
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
import orjson

from llmgym.errors import MissingExtraError, TaskError
from llmgym.messages import Message, user

_HAND = 64  # tasks that one seed is dealt from a shuffle of a finite set


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One problem for an environment.

    Attributes:
        id: Unique in its set; made from the content where a row has none.
        prompt: Opening text of the user, or the opening messages.
        answer: What the verifier compares with.
        metadata: Whatever else the environment needs.
    """

    id: str = ""
    prompt: str | list[Message] = ""
    answer: Any = None
    metadata: dict[str, Any] = {}

    @property
    def messages(self) -> list[Message]:
        """The opening messages, as fresh dicts."""
        return [user(self.prompt)] if isinstance(self.prompt, str) else [message.copy() for message in self.prompt]

    @property
    def content_hash(self) -> str:
        """Hash of prompt, answer and metadata: equal tasks have equal hashes, whatever their ids."""
        content = (self.prompt, self.answer, self.metadata)
        return f"{stable_hash(msgspec.json.encode(content, order='deterministic')):016x}"


def stable_hash(*parts: Any) -> int:
    """A 64-bit hash that is the same in every process."""
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        data = part if isinstance(part, bytes) else str(part).encode()
        digest.update(len(data).to_bytes(8, "little") + data)
    return int.from_bytes(digest.digest(), "little")


class TaskSet(ABC):
    """A set of tasks in splits."""

    splits: tuple[str, ...]

    @abstractmethod
    def size(self, split: str) -> int | None:
        """How many tasks a split has; None where a generator makes them without end."""

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
    def jsonl(path: str | Path, row: Callable[[dict[str, Any]], Task] | None = None) -> TaskSet:
        """Tasks in the rows of a JSONL file.

        A row has `prompt` or `messages`, and may have `id`, `answer`, `metadata` and `split`
        ("train" where absent). Columns of other names go to `metadata`.

        Args:
            path: The file; a relative path is looked for beside the module of the environment class
                that holds this set, then in the working directory.
            row: Makes the task of a row that has other columns.
        """
        return RowTasks(JSONLSource(Path(path)), row)

    @staticmethod
    def huggingface(
        path: str,
        name: str | None = None,
        *,
        splits: Sequence[str] = ("train", "test"),
        row: Callable[[dict[str, Any]], Task] | None = None,
        **options: Any,
    ) -> TaskSet:
        """Tasks in the rows of a Hugging Face dataset; needs the extra `data`.

        Args:
            path: Dataset on the Hub, local folder, or a builder name such as "json".
            name: Configuration of the dataset.
            splits: Splits to load.
            row: Makes the task of a row; by default columns are read as `jsonl` does.
            **options: Passed to `datasets.load_dataset`, such as `data_files` or `revision`.
        """
        return RowTasks(HuggingFaceSource(path, name, tuple(splits), options), row)

    @staticmethod
    def generated(make: Callable[[np.random.Generator], Task]) -> TaskSet:
        """Tasks that a function makes from a random generator, without end.

        A task belongs to "test" or "train" by a hash of its content, so the splits share none.

        Args:
            make: Makes one task; its `id` is set from the draw. Must be picklable.
        """
        return GeneratedTasks(make)

    def check_split(self, split: str) -> None:
        """Raise `TaskError` for a split that the set does not have."""
        if split not in self.splits:
            raise TaskError(f"unknown split {split!r}; there is {', '.join(self.splits) or 'none'}")


class GeneratedTasks(TaskSet):
    """Tasks made by a function; see `TaskSet.generated`."""

    splits = ("train", "test")
    _tries = 10_000

    def __init__(self, make: Callable[[np.random.Generator], Task]) -> None:
        """Keep the function."""
        self._make = make

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
            task = self._make(rng)
            # An eighth of all contents are test tasks, whatever seed they come from.
            if (int(task.content_hash[0], 16) < 2) == (split == "test"):
                return msgspec.structs.replace(task, id=f"{split}-{key:016x}")
        raise TaskError(f"{self._make} made no task for the split {split!r} in {self._tries} tries: too few contents")


class RowSource(Protocol):
    """Where rows come from; picklable, and `str` of it names it in error messages."""

    def rows(self) -> Iterable[tuple[str, dict[str, Any]]]:
        """Yield a name of the row's place, for error messages, and the row."""
        ...


class RowTasks(TaskSet):
    """Tasks in rows; see `TaskSet.jsonl` and `TaskSet.huggingface`. Loaded when first used.

    An episode gets a copy of its task, which it may change.
    """

    def __init__(self, source: RowSource, row: Callable[[dict[str, Any]], Task] | None = None) -> None:
        """Keep where the rows come from."""
        self._source = source
        self._row = row or task_from_row

    def __set_name__(self, owner: type, name: str) -> None:
        """Look for relative paths beside the module of the class that holds this set."""
        if isinstance(self._source, JSONLSource):
            self._source = self._source.beside(owner)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the rows out: a worker process loads them itself."""
        return {"_source": self._source, "_row": self._row}

    def __deepcopy__(self, memo: dict[int, Any]) -> RowTasks:
        """The same: `gymnasium.make` copies its arguments, and thousands of slots share one set."""
        return self

    @cached_property
    def _tasks(self) -> dict[str, list[Task]]:
        tasks: dict[str, list[Task]] = {}
        ids: dict[str, str] = {}
        contents: dict[str, tuple[str, str]] = {}
        for place, row in self._source.rows():
            split = row.pop("split", "train")
            if not isinstance(split, str):
                raise TaskError(f"{place}: a split is named by text, this one is {split!r}")
            task = self._task(place, row)
            if (first := ids.setdefault(task.id, place)) != place:
                raise TaskError(f"{place}: the id {task.id!r} is that of {first}")
            other, first = contents.setdefault(task.content_hash, (split, place))
            if other != split:
                raise TaskError(f"{place}: split {split!r} repeats the task of split {other!r} at {first}")
            tasks.setdefault(split, []).append(task)
        if not tasks:
            raise TaskError(f"{self._source} has no tasks")
        return tasks

    def _task(self, place: str, row: dict[str, Any]) -> Task:
        columns = ", ".join(row)
        try:
            task = self._row(row)
            return task if task.id else msgspec.structs.replace(task, id=task.content_hash)
        except KeyError as error:
            raise TaskError(f"{place}: column {error} is missing; there is {columns}") from None
        except Exception as error:  # `row` is the caller's code
            raise TaskError(f"{place}: {error}") from error

    @cached_property
    def _by_id(self) -> dict[str, Task]:
        return {task.id: task for tasks in self._tasks.values() for task in tasks}

    @property
    def splits(self) -> tuple[str, ...]:  # type: ignore[override]
        """The splits that have rows."""
        return tuple(self._tasks)

    def size(self, split: str) -> int:
        """How many tasks a split has."""
        self.check_split(split)
        return len(self._tasks[split])

    def draw(self, split: str, seed: int, episode: int, *, scope: str = "") -> Task:
        """See `TaskSet.draw`.

        Neighbouring seeds are dealt hands of one shuffle, so that their slots do not meet the same
        tasks; a seed that has played its hand is dealt one of another shuffle.
        """
        size = self.size(split)
        hand = min(_HAND, size)
        table, seat = divmod(seed, size // hand)
        deal, place = divmod(episode, hand)
        key = stable_hash(scope, split, table, deal)
        return deepcopy(self._tasks[split][_shuffled(key, size, seat * hand + place)])

    def plan(self, split: str, seed: int, index: int, *, scope: str = "") -> Task:
        """See `TaskSet.plan`."""
        size = self.size(split)
        deal, place = divmod(index, size)
        return deepcopy(self._tasks[split][_shuffled(stable_hash(scope, split, seed, deal), size, place)])

    def get(self, task_id: str) -> Task:
        """See `TaskSet.get`."""
        if task_id not in self._by_id:
            raise TaskError(f"unknown task {task_id!r} in {self._source}; the first is {next(iter(self._by_id))!r}")
        return deepcopy(self._by_id[task_id])


def _shuffled(key: int, size: int, place: int) -> int:
    """Where `place` lies in a keyed shuffle of range(size), in constant time and memory.

    An affine map with a multiplier prime to the size is one to one.
    """
    multiplier = key % size
    while gcd(multiplier, size) != 1:
        multiplier += 1
    return (multiplier * place + (key >> 32)) % size


def task_from_row(row: Mapping[str, Any]) -> Task:
    """Read a row with the standard columns; see `TaskSet.jsonl`."""
    columns = dict(row)
    prompt = columns.pop("prompt", None)
    messages = columns.pop("messages", None)
    if (prompt is None) == (messages is None):
        raise ValueError(f"a row needs either `prompt` or `messages`; it has {', '.join(row) or 'no column'}")
    fields = {name: columns.pop(name) for name in ("id", "answer") if name in columns}
    fields["metadata"] = (columns.pop("metadata", None) or {}) | columns
    if isinstance(fields.get("id"), int):
        fields["id"] = str(fields["id"])
    if messages is not None:  # Arrow gives every message the fields of all, as nulls
        prompt = [{key: value for key, value in message.items() if value is not None} for message in messages]
    return msgspec.convert({"prompt": prompt, **fields}, Task)


class JSONLSource(msgspec.Struct, frozen=True):
    """Rows of a JSONL file, numbered for error messages."""

    path: Path
    folder: Path | None = None

    def beside(self, owner: type) -> JSONLSource:
        """The same, looked for beside the module of a class first."""
        try:
            return JSONLSource(self.path, Path(inspect.getfile(owner)).parent)
        except (OSError, TypeError):  # a class of an interactive session has no file
            return self

    def rows(self) -> Iterable[tuple[str, dict[str, Any]]]:
        """Yield "file:line" and the row of each line that is not blank."""
        path = self.folder / self.path if self.folder and (self.folder / self.path).exists() else self.path
        try:
            lines = path.read_bytes().splitlines()
        except OSError as error:
            raise TaskError(f"cannot read tasks: {error}") from None
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = orjson.loads(line)
            except ValueError as error:
                raise TaskError(f"{path}:{number}: not JSON: {error}") from None
            if not isinstance(row, dict):
                raise TaskError(f"{path}:{number}: a row is a JSON object, this is a {type(row).__name__}")
            yield f"{path}:{number}", row

    def __str__(self) -> str:
        """The path."""
        return str(self.path)


class HuggingFaceSource(msgspec.Struct, frozen=True):
    """Rows of a Hugging Face dataset."""

    path: str
    name: str | None
    splits: tuple[str, ...]
    options: dict[str, Any]

    def rows(self) -> Iterable[tuple[str, dict[str, Any]]]:
        """Yield a name for error messages and the row, with its split."""
        try:
            import datasets
        except ImportError:
            raise MissingExtraError(f"the dataset {self.path!r}", "data") from None
        for split in self.splits:
            try:
                rows = datasets.load_dataset(self.path, self.name, split=split, **self.options)
            except Exception as error:  # the library raises many kinds
                raise TaskError(f"cannot load split {split!r} of dataset {self.path!r}: {error}") from error
            for number, row in enumerate(rows):
                yield f"{self.path}/{split}:{number}", {**row, "split": split}

    def __str__(self) -> str:
        """The dataset."""
        return self.path


lazy_copy = deepcopy
