"""The run folder: append-only files that survive any crash, and what is needed to go on with them."""

from __future__ import annotations

import os
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, KeysView, Sequence
from contextlib import ExitStack, closing
from itertools import accumulate
from pathlib import Path
from typing import Any

import msgspec

from llmgym.errors import StoreError
from llmgym.records import (
    FORMAT,
    EpisodeRecord,
    FailureRecord,
    dump_with_record,
    failure_of,
    is_trainable,
    load_row,
    read_failure,
)
from llmgym.redaction import redact
from llmgym.rollout import retired
from llmgym.rollout.description import FILE, Description, as_json, check_same, read_description
from llmgym.rollout.folder import FAILURES, ROLLOUTS, SUMMARY, add_failure, read_failures, still_failed
from llmgym.rollout.index import Entry, Index
from llmgym.rollout.journal import Journal, lock_folder, write_atomically
from llmgym.rollout.retired import Key, read_retired, retired_lines
from llmgym.rollout.waiting import Waiting
from llmgym.trajectory import Trajectory


class RunStore:
    """A run folder: `run.json`, `rollouts.jsonl`, `failures.jsonl`, `retired.jsonl`, `summary.json`, `waiting`.

    Attributes:
        path: The folder.
        description: What the run is.
        waiting: Episodes whose groups decide what they earn.
    """

    def __init__(
        self, path: str | Path, identity: dict[str, Any], config: dict[str, Any], fsync_seconds: float
    ) -> None:
        """Open a folder to start or resume a run.

        Args:
            path: The folder; made where there is none.
            identity: What makes two runs the same, as far as it is known before the policy runs. The ids of
                `environments` in it are those that rows may have.
            config: Whole configuration, for the record.
            fsync_seconds: How often finished episodes are forced onto the disk; 0 for each at once.

        Raises:
            StoreError: The folder holds another run, is in use, was damaged, or cannot be written.
        """
        if str(path) in ("", "."):
            raise StoreError("the run folder has no name of its own: was a variable not set?")
        try:
            self.path = Path(path).absolute()  # an environment may change the working directory
        except OSError as error:
            raise StoreError(f"cannot make the run folder {path}: no working directory: {error.strerror}") from error
        self.waiting = Waiting(self.path)
        self._fsync_seconds = fsync_seconds
        self._dirty = False
        self._lost: StoreError | None = None
        self._closed = threading.Event()
        with ExitStack() as stack:
            stack.callback(os.close, lock_folder(self.path))
            self.description = self._describe(as_json(identity))
            self._rollouts = stack.enter_context(closing(Journal(self.path / ROLLOUTS)))
            self._failures = stack.enter_context(closing(Journal(self.path / FAILURES)))
            self._retired = stack.enter_context(closing(Journal(self.path / retired.FILE)))
            self._index = self._read()
            self._failed = read_failures(self.path / FAILURES)
            self.description.starts(config)
            self.description.write(self.path)
            self._open = stack.pop_all()
        if fsync_seconds:
            threading.Thread(target=self._sync_often, name="llmgym-fsync", daemon=True).start()

    @property
    def records(self) -> dict[str, EpisodeRecord]:
        """Finished episodes by id, those of earlier sessions included, without those that were retired."""
        return self._index.records

    @property
    def failed(self) -> list[FailureRecord]:
        """Episodes without a result, the last failure of each."""
        return still_failed(self._failed, self.records)

    @property
    def failures(self) -> Counter[str]:
        """How many episodes have no result, by kind."""
        return Counter(failure.kind for failure in self.failed)

    def _describe(self, identity: dict[str, Any]) -> Description:
        """The description that is there, if it is that of this run, or a new one."""
        known = read_description(self.path)
        if known is not None:
            check_same(self.path, known.identity, identity)
            return known
        for name in (ROLLOUTS, FAILURES, retired.FILE, SUMMARY):
            file = self.path / name
            if file.exists() and file.stat().st_size:
                raise StoreError(
                    f"{self.path} has a {name} and no run.json, so that nobody knows of which run: put run.json back, "
                    "or choose another folder"
                )
        return Description(format=FORMAT, identity=identity)

    def _read(self) -> Index:
        """Index what is there; what a crash left half written is cut off."""
        index = Index(self._rollouts.path, read_retired(self.path), self.description.env_ids)
        index.read()
        self._rollouts.cut(index.size)
        if index.missing:  # the disk has lost them, or a person has taken them out
            self._retired.append(retired_lines(index.missing.elements(), None))
            index.missing.clear()
        return index

    @property
    def has_history(self) -> bool:
        """Whether earlier sessions finished any episode."""
        return bool(self.records or self._index.retired)

    def forget(self) -> None:
        """Leave the folder to any run, where this one has nothing in it yet."""
        if len(self.description.sessions) == 1 and not (self.has_history or self._failed):
            (self.path / FILE).unlink(missing_ok=True)

    def confirm(self, identity: dict[str, Any] | None, planned: int | None = None) -> None:
        """Say the rest of what makes two runs the same, which is known only once the policy runs.

        Args:
            identity: Compared with what the folder has, or added to it; None where the policy need not run.
            planned: Episodes that the run is to hold, for the record; None where there is no end.

        Raises:
            StoreError: It differs, or cannot be written.
        """
        if identity is not None:
            identity = as_json(identity)
            if self.description.confirmed is not None:
                check_same(self.path, self.description.confirmed, identity)
            self.description.confirmed = identity
        self.description.planned = planned
        self.description.write(self.path)

    def append(self, *trajectories: Trajectory) -> None:
        """Store an episode, a trajectory for each of its agents: a finished one for good, a failure for the record.

        Raises:
            UnstorableError: A row cannot hold it.
            StoreError: It is there already, not all of its agents are given, it cannot be written, or the last ones
                could not; the episodes before are safe.
        """
        self._raise_lost()
        rows = [dump_with_record(trajectory) for trajectory in trajectories]
        lines = [line for line, _ in rows]
        if all(trajectory.finished for trajectory in trajectories):
            if len(rows) == 1 and rows[0][1].agents == 1:
                self._index.check_new(rows[0][1], str(self._rollouts.path))
                self._write(lines[0], [(rows[0][1], 0)])
            else:
                self._write(b"".join(lines), self._checked(lines))
            return
        self._failures.append(b"".join(lines))
        for trajectory in trajectories:
            add_failure(self._failed, failure_of(trajectory))

    def append_lines(self, lines: Sequence[bytes]) -> None:
        """Store finished episodes as lines that `dump_row` made; all of them or none.

        Raises:
            StoreError: A line is no such row or its episode is there already, an episode has not all of its agents, or
                they cannot be written.
        """
        self._raise_lost()
        self._write(b"".join(lines), self._checked(lines))

    def append_rows(self, records: Sequence[EpisodeRecord], sizes: Sequence[int], lines: bytes) -> None:
        """Store finished episodes that another process has made lines of, in one write that looks at none of them.

        Args:
            records: The record of each line, as `dump_with_record` gave it; the agents of an episode come together.
            sizes: Bytes of each line.
            lines: All lines, one after the other.

        Raises:
            StoreError: An episode is there already, or they cannot be written; then none is.
        """
        self._raise_lost()
        for record in records:
            self._index.check_new(record, str(self._rollouts.path))
        self._write(lines, list(zip(records, accumulate(sizes, initial=0), strict=False)))

    def append_failures(self, lines: Sequence[bytes]) -> None:
        """Note failures that another process has made lines of.

        Raises:
            StoreError: A line is no such row, or they cannot be written.
        """
        self._raise_lost()
        failures = [read_failure(line, f"a line for {self._failures.path}") for line in lines]
        self._failures.append(b"".join(lines))
        for failure in failures:
            add_failure(self._failed, failure)

    def _write(self, lines: bytes, entries: list[Entry]) -> None:
        """Write lines whose records may be there; the records' offsets are counted from the first."""
        offset = self._rollouts.append(lines)
        self._index.add([(record, offset + start) for record, start in entries])
        if self._fsync_seconds:
            self._dirty = True
        else:
            self._rollouts.sync()

    def _checked(self, lines: Sequence[bytes]) -> list[Entry]:
        """The records of lines that may be appended, and where they start."""
        batch = Index(self._rollouts.path, Counter(), self.description.env_ids)
        start = 0
        for number, line in enumerate(lines, 1):
            place = f"line {number} of {len(lines)} for {self._rollouts.path}"
            self._index.check_new(batch.take_line(line, start, place), place)
            start += len(line)
        batch.check_whole(f"the last line for {self._rollouts.path}")
        return [(record, batch.offsets[row]) for row, record in batch.records.items()]

    def retire(self, ids: Iterable[str], why: str) -> None:
        """Leave episodes out from now on, since their tasks have changed or are gone; the ids may be stored again.

        Args:
            ids: Of rows; all agents of their episodes are left out.
            why: For a person.

        Raises:
            StoreError: A row is not there, or it cannot be written.
        """
        self._raise_lost()
        self._rollouts.sync()  # what is retired is on the disk first
        keys = self._index.keys(ids)
        self._retired.append(retired_lines(keys, why))
        self._retired.sync()
        self._index.retire(keys)

    @property
    def retired(self) -> dict[Key, EpisodeRecord]:
        """Episodes that were left out, by id and hash of the task's content."""
        return {key: entries[0][0] for key, entries in self._index.retired.items()}

    @property
    def retired_keys(self) -> KeysView[Key]:
        """Id and hash of the task's content of those that were left out."""
        return self._index.retired.keys()

    def restore(self, keys: Iterable[Key]) -> None:
        """Take episodes back that were left out, since their tasks are again what they were.

        Raises:
            StoreError: There is no such episode, another of its id is there, or it cannot be written.
        """
        self._raise_lost()
        keys = list(dict.fromkeys(keys))
        self._index.check_restorable(keys)
        self._retired.append(retired_lines(keys, None))
        self._retired.sync()
        self._index.restore(keys)

    def load(self, row_id: str) -> Trajectory:
        """Read a finished episode back.

        Raises:
            StoreError: There is none of that id, or its line was damaged.
        """
        return load_row(self.line(row_id), f"{row_id} of {self._rollouts.path}")

    def line(self, row_id: str) -> bytes:
        """The line of a finished episode.

        Raises:
            StoreError: There is none of that id, or it cannot be read.
        """
        if row_id not in self._index.offsets:
            raise StoreError(f"{self._rollouts.path} has no {row_id}")
        return self._rollouts.read(self._index.offsets[row_id])

    def counted(self) -> Iterator[EpisodeRecord]:
        """A record of each finished episode: of a game that of the agent as which it counts, see `groups.counted`.

        Raises:
            StoreError: A line cannot be read.
        """
        games: dict[str, list[EpisodeRecord]] = defaultdict(list)
        for record in self.records.values():
            if record.agents == 1:
                yield record
            else:
                games[record.episode_id].append(record)
        for shares in games.values():
            yield next((share for share in shares if is_trainable(self.line(share.id))), shares[0])

    def write_summary(self, summary: dict[str, Any]) -> None:
        """Write `summary.json`."""
        write_summary(self.path, summary)

    def _raise_lost(self) -> None:
        if self._lost is not None:
            raise self._lost

    def _sync_often(self) -> None:
        while not self._closed.wait(min(self._fsync_seconds, threading.TIMEOUT_MAX)):
            if self._dirty:
                self._dirty = False
                try:
                    self._rollouts.sync()
                except StoreError as error:  # told to the next episode, since this thread has nobody to tell
                    self._lost = error

    def close(self) -> None:
        """Sync, close, and let others have the folder."""
        if not self._closed.is_set():
            self._closed.set()
            self._open.close()


def write_summary(path: Path, summary: dict[str, Any]) -> None:
    """Write `summary.json` into a run folder.

    Raises:
        StoreError: It cannot be written.
    """
    write_atomically(path / SUMMARY, msgspec.json.format(msgspec.json.encode(redact(summary))))
