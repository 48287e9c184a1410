"""Episodes that have ended and wait for the last of their group, which decides what they earn: a file for each."""

from __future__ import annotations

import hashlib
from contextlib import closing, suppress
from pathlib import Path

from llmgym.errors import StoreError
from llmgym.records import dump_row, load_row
from llmgym.rollout.journal import Journal
from llmgym.trajectory import Trajectory

FOLDER = "waiting"


class Waiting:
    """The folder `waiting` of a run; whoever writes has the run's lock."""

    def __init__(self, run: Path) -> None:
        """Name it; it is made when it is needed.

        Args:
            run: The run folder.
        """
        self._path = run / FOLDER

    def add(self, group: str, trajectory: Trajectory) -> None:
        """Keep an episode for good until its group is dropped.

        Args:
            group: Name of the group, and of the visit to its task.
            trajectory: The episode.

        Raises:
            UnstorableError: A row cannot hold it.
            StoreError: It cannot be written.
        """
        self.add_line(group, dump_row(trajectory))

    def add_line(self, group: str, line: bytes) -> None:
        """The same for an episode that another process has made a line of.

        Raises:
            StoreError: It cannot be written.
        """
        try:
            self._path.mkdir(exist_ok=True)
        except OSError as error:
            raise StoreError(f"cannot make {self._path}: {error.strerror}") from error
        with closing(Journal(self._file(group))) as journal:
            journal.append(line)

    def read(self, group: str) -> list[Trajectory]:
        """The episodes of a group that wait.

        Raises:
            StoreError: A line was damaged.
        """
        file = self._file(group)
        return [load_row(line, f"{file}:{number}") for number, line in enumerate(self.lines(group), 1)]

    def lines(self, group: str) -> list[bytes]:
        """The same as lines."""
        file = self._file(group)
        if not file.exists():
            return []
        with closing(Journal(file)):  # which cuts off what a crash left half written
            return file.read_bytes().splitlines(keepends=True)

    def drop(self, group: str) -> None:
        """Forget a group whose episodes are stored."""
        self._file(group).unlink(missing_ok=True)
        with suppress(OSError):  # there are others
            self._path.rmdir()

    def _file(self, group: str) -> Path:
        return self._path / f"{hashlib.sha256(group.encode()).hexdigest()[:24]}.jsonl"
