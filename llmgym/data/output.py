"""Files that are written whole or not at all, and never in the place of what they are made of."""

from __future__ import annotations

import gzip
import os
import secrets
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from llmgym.errors import ConfigError
from llmgym.files import naming
from llmgym.rollout.folder import SOURCES

_FRAME = 1 << 20


@contextmanager
def replacing(path: Path | str, *, force: bool = False, inputs: Iterable[Path | str] = ()) -> Generator[Path]:
    """A name to write a file under, which is put in its place when the block ends, and gone where it fails.

    Args:
        path: Where the file is to be.
        force: Whether one that is there already may be replaced.
        inputs: What it is made of; see `check_free`.

    Raises:
        ConfigError: There is one already, or it cannot be written.
    """
    with replacing_all([path], force=force, inputs=inputs) as (temporary,), naming(path):
        yield temporary


@contextmanager
def replacing_all(
    paths: Sequence[Path | str], *, force: bool = False, inputs: Iterable[Path | str] = ()
) -> Generator[list[Path]]:
    """Names to write files under, of which none is put in its place before all are complete.

    Args:
        paths: Where the files are to be.
        force: Whether those that are there already may be replaced.
        inputs: What they are made of; see `check_free`.

    Raises:
        ConfigError: There is one already, or one cannot be written.
    """
    check_free(*paths, force=force, inputs=inputs)
    places = {path.with_name(f".{path.name}.{secrets.token_hex(4)}"): path for path in map(Path, paths)}
    try:
        for path in places.values():
            with naming(path):
                path.parent.mkdir(parents=True, exist_ok=True)
        yield list(places)
        for temporary, path in places.items():
            with naming(path), temporary.open("rb+") as file:
                os.fsync(file.fileno())
        for temporary, path in places.items():
            with naming(path):
                temporary.replace(path)
    finally:
        for temporary in places:
            with suppress(OSError):  # it never was, or is in its place
                temporary.unlink()


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


def manifest_of(path: Path) -> Path:
    """Where what is said of a file is."""
    return path.with_name(f"{path.name}.manifest.json")


def check_free(*paths: Path | str, force: bool, inputs: Iterable[Path | str] = ()) -> None:
    """See that files may be written.

    Args:
        paths: Where they are to be.
        force: Whether those that are there already may be replaced.
        inputs: Files and run folders that they are made of, which they replace under no circumstances.

    Raises:
        ConfigError: One is there already, is an input, or can be no file.
    """
    sources = [
        file
        for source in map(Path, inputs)
        for file in ([source / name for name in SOURCES] if source.is_dir() else [source])
    ]
    for path in map(Path, paths):
        with naming(path):
            _check_free(path, sources, force=force)


def _check_free(path: Path, sources: Sequence[Path], *, force: bool) -> None:
    if path.is_dir():
        raise ConfigError(f"{path} is a folder; name a file")
    if path.exists() and not path.is_file():  # a file put in the place of /dev/null breaks much
        raise ConfigError(f"{path} is a device or a pipe; name a file")
    if path.exists() and any(source.exists() and path.samefile(source) for source in sources):
        raise ConfigError(f"{path} is the file that is read; write to another one")
    if not force and path.exists():
        raise ConfigError(f"{path} is there already; --force replaces it")
    folder = next(parent for parent in path.parents if parent.exists())
    if not folder.is_dir():
        raise ConfigError(f"{path} cannot be written: {folder} is a file, not a folder")
