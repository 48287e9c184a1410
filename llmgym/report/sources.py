"""Rows of runs and files as they come: read once, then only what was added since."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import msgspec

from llmgym.data.lines import Line, Span, fetch, read_lines
from llmgym.data.problems import BadRowsError, Problem, UnreadableError
from llmgym.data.shapes import Shape, rollouts, shape_of
from llmgym.data.strictness import encoding_flaw, explained
from llmgym.data.unpacking import is_packed, unpack
from llmgym.errors import LLMGymError
from llmgym.rollout.description import Description, read_description
from llmgym.rollout.folder import FAILURES, ROLLOUTS
from llmgym.rollout.retired import read_retired
from llmgym.trajectory import Trajectory

_BAD = (ValueError, KeyError, TypeError, RecursionError, LLMGymError, msgspec.DecodeError)


class Entry(NamedTuple):
    """A row, and what its line says of its task.

    Attributes:
        row: The row.
        group_id: The same for the repeats of a task.
        task_hash: Hash of the task's content; "" where that is not known.
    """

    row: Trajectory
    group_id: str
    task_hash: str

    @property
    def content(self) -> str:
        """The same for tasks of equal content, as in a run's summary."""
        return self.task_hash or self.group_id


class Source:
    """A run folder, or a file of rows, of which `episodes` gives what is new each time.

    Attributes:
        path: The folder or file, as it was named.
        rows: The file with the episodes.
        description: What the run is; None of a file.
        problems: Rows that were left out.
        torn: Whether the last line has no end: it is being written, or was cut.
        done: Bytes that were read.
    """

    def __init__(self, path: Path | str, *, skip_bad: bool = False) -> None:
        """Look whether it is there.

        Args:
            path: A run folder, or a file of rows of any shape that is read.
            skip_bad: Leave out rows that cannot be used; otherwise they are an error.

        Raises:
            UnreadableError: There is no such folder or file.
        """
        self.path = Path(path)
        self.rows = self.path / ROLLOUTS if self.path.is_dir() else self.path
        self._unpacked: TemporaryDirectory[str] | None = None
        self.description: Description | None = read_description(self.rows.parent) if self.is_run else None
        if not self.rows.is_file() and self.description is None:
            raise UnreadableError(self.rows, "there is no such file")
        if self.rows.is_file() and is_packed(self.rows):
            self._unpacked = TemporaryDirectory(prefix="llmgym-report-")
            self.rows = Path(self._unpacked.name) / self.rows.name
            unpack(self.path, self.rows)
        self.problems: list[Problem] = []
        self.torn, self.done = False, 0
        self._skip_bad = skip_bad
        self._last: Line | None = None
        self._shape: Shape | None = None
        self._seen: set[str] = set()
        self._failed: set[str] = set()
        self._pending: list[Entry] = []
        self._retired = read_retired(self.rows.parent) if self.is_run else Counter[tuple[str, str]]()
        self._left = Counter(self._retired)

    @property
    def _named(self) -> Path:
        return self.rows if self._unpacked is None else self.path

    @property
    def is_run(self) -> bool:
        """Whether the rows are those of a run's folder."""
        return self.rows.name == ROLLOUTS and self._unpacked is None

    @property
    def size(self) -> int:
        """Bytes that there are."""
        return self.rows.stat().st_size if self.rows.is_file() else 0

    def refresh(self) -> bool:
        """Look whether what was read no longer counts, and has to be read again from the start.

        So it is where rows were retired, the policy is known by now, or the file is another one.
        """
        if not self._is_as_it_was() or (self.is_run and read_retired(self.rows.parent) != self._retired):
            return True
        if self.description is None or not self.is_run:
            return False
        before, self.description = self.description, read_description(self.rows.parent) or self.description
        return before.confirmed != self.description.confirmed

    @property
    def made_good(self) -> bool:
        """Whether an episode that `failures` gave has a result by now."""
        return not self._failed.isdisjoint(self._seen)

    def _is_as_it_was(self) -> bool:
        """Whether the line that was read last is still there."""
        if self._last is None:
            return True
        _, position, data, _ = self._last
        try:
            return next(fetch(self.rows, [Span(position, len(data))])) == data
        except UnreadableError:
            return False

    def episodes(self) -> Iterator[list[Entry]]:
        """Episodes that are new: for each the rows of its agents.

        Raises:
            BadRowsError: A row cannot be used, and none may be left out.
            UnreadableError: The file cannot be read, or holds rows of no shape that is known.
        """
        if not self.size:
            return
        shape = self._shape = self._shape or shape_of(self.rows, self.path)
        self.torn = False
        for line in read_lines(self.rows, self.done, self._last.number + 1 if self._last else 1):
            entry = self._row(line, shape)
            if self.torn:
                return
            self.done, self._last = line.position + len(line.data) + line.whole, line
            if entry is None:
                continue
            if self._pending and self._pending[0].row.episode_id != entry.row.episode_id:
                yield from self._whole()  # what was filtered may lack agents
            self._pending.append(entry)
            if len(self._pending) >= entry.row.agents:
                yield from self._whole()
        if not self.is_run:  # a run may be about to write the others
            yield from self._whole()

    def _whole(self) -> Iterator[list[Entry]]:
        episode, self._pending = self._pending, []
        if episode and not self._takes_retired(episode):
            yield episode

    def failures(self) -> list[Entry]:
        """The last failure of each episode that has no result."""
        path = self.rows.parent / FAILURES
        if not self.is_run or not path.is_file():
            return []
        last: dict[str, Entry] = {}
        for line in read_lines(path):
            if not line.whole:
                break  # being written
            entry = self._loaded(line, self._shape or shape_of(path, path), path)
            if entry is not None and (entry.row.failure is not None or entry.row.episode_id not in last):
                last[entry.row.episode_id] = entry
        failed = [entry for entry in last.values() if entry.row.id not in self._seen]
        self._failed.update(entry.row.id for entry in failed)
        return failed

    def _row(self, line: Line, shape: Shape) -> Entry | None:
        if not line.data or line.data.isspace():
            return None
        if not line.whole:
            try:  # a file may end without a line end, and a line may be half written
                msgspec.json.decode(line.data)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                self.torn = True
                return None
        entry = self._loaded(line, shape, self._named)
        if entry is None:
            return None
        row = entry.row
        if shape is rollouts and row.id in self._seen and not self._retired:
            self._leave_out(self._named, line, "duplicate", f"a row before it has the id {row.id!r}")
            return None
        self._seen.add(row.id)
        return entry

    def _loaded(self, line: Line, shape: Shape, path: Path) -> Entry | None:
        reason = encoding_flaw(line.data)
        if reason is None:
            try:
                known = shape.decode(line.data)
                return Entry(shape.trajectory(line.data, f"{path}:{line.number}"), known.group_id, known.task_hash)
            except _BAD as error:
                reason = explained(line.data) or " ".join(str(error).split()).removeprefix(f"{path}:{line.number}: ")
        self._leave_out(path, line, "invalid", reason)
        return None

    def _leave_out(self, path: Path, line: Line, kind: Any, reason: str) -> None:
        problem = Problem(str(path), line.number, kind, reason)
        if not self._skip_bad:
            raise BadRowsError([problem])
        self.problems.append(problem)

    def _takes_retired(self, episode: Sequence[Entry]) -> bool:
        """Whether an episode no longer counts: the first so many of a task's content are those that were retired."""
        if not self._left:
            return False
        key = episode[0].row.episode_id, episode[0].task_hash
        if self._left[key] <= 0:
            return False
        self._left[key] -= 1
        self._seen.difference_update(entry.row.id for entry in episode)
        return True
