"""Which tasks and answers share wording with a set that they must not know, such as a benchmark."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from llmgym.data.dataset import Dataset
from llmgym.data.index import Progress
from llmgym.data.lines import Span
from llmgym.data.quality.excerpts import Excerpt, excerpt
from llmgym.data.quality.shingles import rare_limit, words
from llmgym.errors import ConfigError, TaskError
from llmgym.tasks import file_source

#: Words of a run that counts as the same wording; 13 is in use too.
RUN = 8


class Run(NamedTuple):
    """Words of a set.

    Attributes:
        text: The words.
        place: The first row that has them, such as "test.jsonl:3".
    """

    text: str
    place: str


class Reference:
    """The runs of words of a set, and which of its rows has each first.

    Attributes:
        path: The set.
        size: Words of a run.
    """

    def __init__(self, path: Path, size: int = RUN) -> None:
        """Read a file of tasks: all texts of its rows, whatever their columns are called.

        Args:
            path: A file as `llmgym.tasks.file_source` reads it.
            size: Words of a run.

        Raises:
            TaskError: The file or a row cannot be read.
            ConfigError: No text of it has so many words.
        """
        self.path, self.size = path, size
        self._runs: dict[str, Run] = {}
        for place, row in file_source(path).rows():
            if isinstance(row, TaskError):
                raise TaskError(f"{place}: {row}")
            for text in _texts(row):
                for run in _runs(text, size):
                    self._runs.setdefault(run, Run(run, place))
        if not self._runs:
            raise ConfigError(f"{path} has no text of {size} words or more; --run-length takes a shorter run")

    def found(self, text: str) -> list[Run]:
        """The runs that a text shares with the set, each once, in its order."""
        known = self._runs
        return list({id(run): run for words in _runs(text, self.size) if (run := known.get(words))}.values())


def _runs(text: str, size: int) -> Iterator[str]:
    found = words(text)
    return (" ".join(found[at : at + size]) for at in range(len(found) - size + 1))


def _texts(value: Any) -> Iterator[str]:
    """All texts in JSON data, names left out."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _texts(one)


class Hit(msgspec.Struct, frozen=True):
    """A row that shares wording with the set.

    Attributes:
        row: The row, as "file:line".
        task: Its group.
        where: "prompt", or "answer" for the last message of the policy.
        reference: The row of the set that has the first of the runs.
        runs: How many runs they share.
        text: The first of them.
    """

    row: str
    task: str
    where: str
    reference: str
    runs: int
    text: str


def contamination(data: Dataset, against: Reference, progress: Progress | None = None) -> list[Hit]:
    """Find rows that share wording with a set: in what a task asks, told once for a task, or in a final answer.

    What many tasks of an environment share is how it words its tasks, or how a policy its answers, and does not count:
    runs that more than 1% of its tasks have; of few tasks, more than ten or half of them. Nor does an answer that
    repeats its prompt.

    Args:
        data: The rows, measured.
        against: The set.
        progress: Told how many rows of how many have been read.
    """
    sizes = dict(data.query("select env_id, count(distinct group_id) from rows group by 1"))
    found = _Found(against, {name: rare_limit(size) for name, size in sizes.items()})
    ((total,),) = data.query("select count(*) from rows where unreadable is null")
    for number, (place, task, row) in enumerate(_rows(data)):
        found.add(place, task, row)
        if progress and number % 1000 == 0:
            progress(number, total)
    return found.hits()


class _Task(NamedTuple):
    env_id: str
    group_id: str
    agent: str


def _rows(data: Dataset) -> Iterator[tuple[str, _Task, Excerpt]]:
    """The rows, so many at a time, as a million would fill the memory."""
    names = "source, line, byte_position, byte_length, env_id, group_id, agent"
    query = f"select {names} from rows where unreadable is null order by source, byte_position"
    for columns in data.batches(query):
        rows = zip(*(column.tolist() for column in columns), strict=True)
        for source, own in itertools.groupby(rows, key=itemgetter(0)):
            index, batch = data.indexes[source], list(own)
            texts = index.fetch([Span(position, length) for _, _, position, length, *_ in batch])
            for (_, line, _, _, *task), text in zip(batch, texts, strict=True):
                place = f"{index.path}:{line}"
                yield place, _Task(*task), excerpt(index.shape, text, place)


class _Found:
    """What was found so far, before it is known which runs many tasks share."""

    def __init__(self, against: Reference, limits: Mapping[str, int]) -> None:
        self._against, self._limits = against, limits
        self._prompts: dict[_Task, list[Run]] = {}
        self._having: dict[tuple[str, str, str], set[str]] = {}  # of a run, tasks, up to one more than may have it
        self._candidates: list[tuple[str, _Task, str, list[Run]]] = []

    def add(self, place: str, task: _Task, row: Excerpt) -> None:
        """Look at a row."""
        if task not in self._prompts:
            self._prompts[task] = self._note(place, task, "prompt", self._against.found(row.prompt))
        replies = row.replies
        if replies:
            asked = {run.text for run in self._prompts[task]}
            answered = self._against.found(replies[-1]["content"])
            self._note(place, task, "answer", [run for run in answered if run.text not in asked])

    def _note(self, place: str, task: _Task, where: str, runs: list[Run]) -> list[Run]:
        for run in runs:
            having = self._having.setdefault((task.env_id, where, run.text), set())
            if len(having) <= self._limits[task.env_id]:
                having.add(task.group_id)
        if kept := [run for run in runs if self._is_rare(task, where, run)]:
            self._candidates.append((place, task, where, kept))
        return runs

    def _is_rare(self, task: _Task, where: str, run: Run) -> bool:
        return len(self._having[task.env_id, where, run.text]) <= self._limits[task.env_id]

    def hits(self) -> list[Hit]:
        """What is left when runs that many tasks share are taken out."""
        hits: list[Hit] = []
        for place, task, where, runs in self._candidates:
            rare = [run for run in runs if self._is_rare(task, where, run)]
            if rare:
                hits.append(Hit(place, task.group_id, where, rare[0].place, len(rare), rare[0].text))
        return hits
