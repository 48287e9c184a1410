"""The lines of a file as bytes: where each stands, and how they are copied without a change."""

from __future__ import annotations

import codecs
import os
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from llmgym.data.problems import UnreadableError

_BUFFER = 1 << 20
_CHANGED = "it is shorter than when it was read, so it has been replaced or cut: run the command again"


class Line(NamedTuple):
    """A line.

    Attributes:
        number: Which line of the file, from 1.
        position: The byte that it starts at.
        data: The line without its end.
        end: How many bytes its end has; 0 where it has none, as it is torn or still being written.
    """

    number: int
    position: int
    data: bytes
    end: int


class Span(NamedTuple):
    """Where a line stands.

    Attributes:
        position: The byte that it starts at.
        length: Bytes, its end left out.
    """

    position: int
    length: int


def read_lines(path: Path, position: int = 0, number: int = 1) -> Iterator[Line]:
    """All lines from a byte on, blank ones and one that is being written included.

    Args:
        path: The file.
        position: Where a line starts.
        number: Which line that is.
    """
    with path.open("rb", buffering=_BUFFER) as file:
        file.seek(position)
        for at, raw in enumerate(file, number):
            if not position and raw.startswith(codecs.BOM_UTF8):
                raw, position = raw[3:], 3
            data = raw.rstrip(b"\r\n") if raw.endswith(b"\n") else raw
            yield Line(at, position, data, len(raw) - len(data))
            position += len(raw)


def fetch(path: Path, spans: Iterable[Span]) -> Iterator[bytes]:
    """Lines by where they stand.

    Raises:
        UnreadableError: The file does not have them any more.
    """
    with _opened(path) as file:
        for span in spans:
            yield _read(file, span, path)


def copy(path: Path, spans: Iterable[Span], target: IO[bytes]) -> None:
    """Write lines, as they are and each with one end, behind each other; neighbours go in one piece.

    Raises:
        UnreadableError: The file does not have them any more.
    """
    with _opened(path) as file:
        for run in _runs(spans):
            target.write(_read(file, run, path))
            target.write(b"\n")


def _runs(spans: Iterable[Span]) -> Iterator[Span]:
    """Spans with those joined that stand behind each other with a plain line end between them."""
    start = end = -1
    for position, length in spans:
        if position == end + 1 and start >= 0 and position + length - start < _BUFFER:
            end = position + length
            continue
        if start >= 0:
            yield Span(start, end - start)
        start, end = position, position + length
    if start >= 0:
        yield Span(start, end - start)


@contextmanager
def _opened(path: Path) -> Generator[int]:
    try:
        file = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise UnreadableError(path, error.strerror or str(error)) from error
    try:
        yield file
    finally:
        os.close(file)


def _read(file: int, span: Span, path: Path) -> bytes:
    data = os.pread(file, span.length, span.position)
    if len(data) != span.length:
        raise UnreadableError(path, _CHANGED)
    return data
