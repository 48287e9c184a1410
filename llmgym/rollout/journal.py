"""Files that survive any crash: a journal of whole lines, a file that is replaced, and the lock of a folder."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from llmgym.errors import StoreError

_BLOCK = 1 << 16


class FolderInUseError(StoreError):
    """Another process has the run folder."""


class Journal:
    """An append-only file of which every line is whole.

    Lines are written by one call, and a torn last line, which a killed process or a full disk leaves behind, is cut off
    when the file is opened.

    Attributes:
        path: The file.
        size: Its bytes.
    """

    def __init__(self, path: Path) -> None:
        """Open a file, making it where there is none, and repair it.

        Raises:
            StoreError: It cannot be opened or repaired.
        """
        self.path = path
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise StoreError(f"cannot open {path}: {error.strerror}") from error
        try:
            self.size = self._whole_size()
            if os.fstat(self._file).st_size != self.size:
                os.ftruncate(self._file, self.size)
        except OSError as error:
            os.close(self._file)
            raise StoreError(f"cannot repair {path}: {error.strerror}") from error

    def _whole_size(self) -> int:
        """Bytes up to the last newline."""
        end = os.fstat(self._file).st_size
        while end > 0:
            start = max(0, end - _BLOCK)
            newline = os.pread(self._file, end - start, start).rfind(b"\n")
            if newline >= 0:
                return start + newline + 1
            end = start
        return 0

    def cut(self, size: int) -> None:
        """Leave so many bytes, which end in a newline.

        Raises:
            StoreError: It cannot be written.
        """
        if size == self.size:
            return
        try:
            os.ftruncate(self._file, size)
        except OSError as error:
            raise self._unwritable(error) from error
        self.size = size

    def append(self, lines: bytes) -> int:
        """Write whole lines, all or none; returns the offset of the first.

        Raises:
            StoreError: The disk is full or gone.
        """
        rest = memoryview(lines)
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._file, self.size)
            raise self._unwritable(error) from error
        offset, self.size = self.size, self.size + len(lines)
        return offset

    def read(self, offset: int) -> bytes:
        """The line at an offset.

        Raises:
            StoreError: The file cannot be read, or has become shorter.
        """
        parts: list[bytes] = []
        while True:
            try:
                part = os.pread(self._file, _BLOCK, offset)
            except OSError as error:
                raise StoreError(f"cannot read {self.path}: {error.strerror}") from error
            if not part:
                raise StoreError(
                    f"{self.path} ends at byte {offset}, in the middle of a line: another program changed it"
                )
            if (end := part.find(b"\n") + 1) > 0:
                parts.append(part[:end])
                return b"".join(parts)
            parts.append(part)
            offset += len(part)

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


def lock_folder(path: Path) -> int:
    """Make a folder and keep other processes out of it, for as long as the descriptor that is given is open.

    Raises:
        StoreError: It cannot be made, or another process has it.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot make the run folder {path}: {error.strerror}") from error
    try:
        lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise StoreError(f"cannot write to the run folder {path}: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        if isinstance(error, BlockingIOError):
            raise FolderInUseError(f"{path} is in use: wait for the other run or choose another folder") from None
        raise StoreError(f"cannot lock {path}: {error.strerror}; choose a folder on another file system") from error
    return lock


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file by way of another one, so that it is never half written.

    The other one always has the same name, so that what a killed process left is replaced by the next; whoever writes
    has the folder's lock.

    Raises:
        StoreError: It cannot be written.
    """
    temporary = path.with_name(f".{path.name}.new")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise StoreError(f"cannot write {path}: {error.strerror}") from error
