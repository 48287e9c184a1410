"""Files that are written whole or not at all."""

from __future__ import annotations

import gzip
import os
import secrets
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from llmgym.errors import ConfigError

_FRAME = 1 << 20


@contextmanager
def replacing(path: Path | str, *, force: bool = False) -> Generator[Path]:
    """A name to write a file under, which is put in its place when the block ends, and gone where it fails.

    Args:
        path: Where the file is to be.
        force: Whether one that is there already may be replaced.

    Raises:
        ConfigError: There is one already, or it cannot be written.
    """
    path = Path(path)
    check_free(path, force=force)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def lines_into(path: Path, name: Path | str) -> Generator[IO[bytes]]:
    """A file for lines, compressed where its name ends so.

    Args:
        path: What it is called while it is written.
        name: What it will be called.
    """
    match Path(name).suffix:
        case ".gz":
            with gzip.open(path, "wb", compresslevel=6) as file:
                yield file  # pyright: ignore[reportReturnType] -- what is used of it is there
        case ".zst":
            with path.open("wb") as target:
                frames = _Frames(target)
                yield frames  # pyright: ignore[reportReturnType]
                frames.end()
        case _:
            with path.open("wb") as file:  # without a buffer a disk that is full would take a part and not say so
                yield file


class _Frames:
    """Zstandard, a frame for each megabyte, so that what is cut off loses no more."""

    def __init__(self, target: IO[bytes]) -> None:
        import pyarrow as pa

        self._target, self._codec = target, pa.Codec("zstd", compression_level=3)
        self._pieces: list[bytes] = []
        self._size = 0

    def write(self, data: bytes | memoryview) -> int:
        self._pieces.append(bytes(data))  # what is behind a view is used again
        self._size += len(data)
        if self._size >= _FRAME:
            self.end()
        return len(data)

    def end(self) -> None:
        """Write what there is yet."""
        if self._pieces:
            self._target.write(self._codec.compress(b"".join(self._pieces), asbytes=True))
            self._pieces, self._size = [], 0


def check_free(path: Path | str, *, force: bool) -> None:
    """See that a file may be written.

    Raises:
        ConfigError: It is there already, or is no file.
    """
    path = Path(path)
    if path.is_dir():
        raise ConfigError(f"{path} is a folder; name a file")
    if path.exists() and not path.is_file():  # a file put in the place of /dev/null breaks much
        raise ConfigError(f"{path} is a device or a pipe; name a file")
    if not force and path.exists():
        raise ConfigError(f"{path} is there already; --force replaces it")
