"""The run folder: append-only files that survive any crash, and what is needed to go on with them."""

from __future__ import annotations

import fcntl
import os
import platform
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import msgspec
import orjson

import llmgym
from llmgym.errors import StoreError
from llmgym.trajectory import Trajectory, dump_row


class EpisodeRecord(msgspec.Struct, frozen=True):
    """The few numbers of a finished episode that a summary and a resumed run need."""

    id: str
    env_id: str
    group_id: str
    status: str
    reward: float | None
    timings: dict[str, float]
    num_turns: float = 0
    num_sampled_tokens: float = 0
    num_context_tokens: float = 0

    @classmethod
    def of(cls, trajectory: Trajectory) -> EpisodeRecord:
        """Take the numbers of a trajectory."""
        t = trajectory
        counts = [t.metrics.get(name, 0) for name in ("num_turns", "num_sampled_tokens", "num_context_tokens")]
        return cls(t.id, t.env_id, t.group_id, t.status, t.reward, t.timings, *counts)


class Journal:
    """An append-only JSONL file of which every line is whole.

    A line is written by one call, and a torn last line, which a killed process or a full disk
    leaves behind, is cut off when the file is opened.
    """

    def __init__(self, path: Path) -> None:
        """Open a file, making it where there is none, and repair it."""
        self.path = path
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise StoreError(f"cannot open {path}: {error.strerror}") from error
        self._size = self._whole_size()
        os.ftruncate(self._file, self._size)

    def _whole_size(self) -> int:
        """Bytes up to the last newline."""
        end = os.fstat(self._file).st_size
        while end > 0:
            start = max(0, end - (1 << 16))
            newline = os.pread(self._file, end - start, start).rfind(b"\n")
            if newline >= 0:
                return start + newline + 1
            end = start
        return 0

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """Yield each line with its offset."""
        offset = 0
        with self.path.open("rb") as file:
            for line in file:
                yield offset, line
                offset += len(line)

    def append(self, line: bytes) -> int:
        """Write a line, whole or not at all; returns its offset.

        Raises:
            StoreError: The disk is full or gone.
        """
        rest = memoryview(line)
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._file, self._size)
            raise self._unwritable(error) from error
        offset, self._size = self._size, self._size + len(line)
        return offset

    def read(self, offset: int) -> bytes:
        """The line at an offset."""
        with self.path.open("rb") as file:
            file.seek(offset)
            return file.readline()

    def sync(self) -> None:
        """Have the operating system put what was written on the disk.

        Raises:
            StoreError: It cannot.
        """
        try:
            os.fsync(self._file)
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> StoreError:
        return StoreError(
            f"cannot write {self.path}: {error.strerror}; what was written before is safe: "
            "make room and start the same command again"
        )

    def close(self) -> None:
        """Sync and close; raises as `sync` does."""
        try:
            self.sync()
        finally:
            os.close(self._file)


class RunStore:
    """A run folder: `run.json`, `rollouts.jsonl`, `failures.jsonl`, `summary.json`.

    Attributes:
        path: The folder.
        records: Finished episodes by id, those of earlier sessions included.
    """

    def __init__(self, path: Path, identity: dict[str, Any], config: dict[str, Any], fsync_seconds: float) -> None:
        """Open a folder to start or resume a run.

        Args:
            path: The folder; made where there is none.
            identity: What makes two runs the same: environments, policy, sampling, seed.
            config: Whole configuration, for the record.
            fsync_seconds: How often finished episodes are forced onto the disk; 0 for each at once.

        Raises:
            StoreError: The folder holds another run, is in use, or cannot be written.
        """
        self.path = path
        self.records: dict[str, EpisodeRecord] = {}
        self._offsets: dict[str, int] = {}
        self._fsync_seconds = fsync_seconds
        self._dirty = False
        self._lost: StoreError | None = None
        self._closed = threading.Event()
        with ExitStack() as stack:
            stack.callback(os.close, _lock(path))
            self._describe(identity, config)
            self._rollouts = stack.enter_context(closing(Journal(path / "rollouts.jsonl")))
            self._failures = stack.enter_context(closing(Journal(path / "failures.jsonl")))
            self._read_records()
            self._open = stack.pop_all()
        if fsync_seconds:
            threading.Thread(target=self._sync_often, name="llmgym-fsync", daemon=True).start()

    def _describe(self, identity: dict[str, Any], config: dict[str, Any]) -> None:
        """Check `run.json` against this run, and write it."""
        file = self.path / "run.json"
        now = datetime.now(UTC).isoformat(timespec="seconds")
        sessions: list[str] = []
        if file.exists():
            try:
                known = orjson.loads(file.read_bytes())
                sessions, before = known["sessions"], known["identity"]
            except (ValueError, KeyError, TypeError, OSError) as error:
                raise StoreError(f"{file} is not the description of a run: {error}; choose another folder") from None
            identity = orjson.loads(orjson.dumps(identity))
            if different := [key for key in identity if before.get(key) != identity[key]]:
                changes = "; ".join(f"{key} was {before.get(key)!r}, is {identity[key]!r}" for key in different)
                raise StoreError(f"{self.path} holds another run ({changes}): choose another folder")
        run = {"identity": identity, "config": config, "versions": _versions(), "sessions": [*sessions, now]}
        write_atomically(file, orjson.dumps(run, option=orjson.OPT_INDENT_2))

    def _read_records(self) -> None:
        decoder = msgspec.json.Decoder(EpisodeRecord)
        for number, (offset, line) in enumerate(self._rollouts.lines(), 1):
            try:
                record = decoder.decode(line)
            except msgspec.DecodeError as error:
                raise StoreError(f"{self._rollouts.path}:{number}: not a rollout: {error}") from None
            self.records[record.id], self._offsets[record.id] = record, offset

    def append(self, trajectory: Trajectory) -> None:
        """Store an episode: a finished one for good, a failure for the record.

        Raises:
            StoreError: It cannot be written, or the last ones could not; the episodes before are safe.
        """
        if self._lost is not None:
            raise self._lost
        line = dump_row(trajectory)
        if not trajectory.finished:
            self._failures.append(line)
            return
        self._offsets[trajectory.id] = self._rollouts.append(line)
        self.records[trajectory.id] = EpisodeRecord.of(trajectory)
        if self._fsync_seconds:
            self._dirty = True
        else:
            self._rollouts.sync()

    def load(self, episode_id: str) -> Trajectory:
        """Read a finished episode back."""
        return Trajectory.from_row(orjson.loads(self._rollouts.read(self._offsets[episode_id])))

    def write_summary(self, summary: dict[str, Any]) -> None:
        """Write `summary.json`."""
        write_atomically(self.path / "summary.json", orjson.dumps(summary, option=orjson.OPT_INDENT_2))

    def _sync_often(self) -> None:
        while not self._closed.wait(self._fsync_seconds):
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


def _lock(path: Path) -> int:
    """Make the folder and keep other processes out of it, for as long as the descriptor is open."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise StoreError(f"cannot make the run folder {path}: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        if isinstance(error, BlockingIOError):
            raise StoreError(f"{path} is in use: wait for the other run or choose another folder") from None
        raise StoreError(f"cannot lock {path}: {error.strerror}; choose a folder on another file system") from error
    return lock


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file by way of a temporary one, so that it is never half written.

    Raises:
        StoreError: It cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns()}")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StoreError(f"cannot write {path}: {error.strerror}") from error


def read_rollouts(path: Path) -> Iterator[Trajectory]:
    """Read the finished episodes of a run folder, or of a `rollouts.jsonl`, one by one.

    Raises:
        StoreError: There is no such file, or a line is not a rollout.
    """
    file = path / "rollouts.jsonl" if path.is_dir() else path
    try:
        with file.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if not line.endswith(b"\n"):
                    return  # being written, or torn
                try:
                    yield Trajectory.from_row(orjson.loads(line))
                except (ValueError, KeyError, TypeError) as error:
                    raise StoreError(f"{file}:{number}: not a rollout: {error}") from None
    except OSError as error:
        raise StoreError(f"cannot read {file}: {error.strerror}") from error


def _versions() -> dict[str, str]:
    """What the run was made with."""
    found = {"python": platform.python_version(), "llmgym": llmgym.__version__}
    for package in ("gymnasium", "torch", "transformers", "renderers", "vllm"):
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found
