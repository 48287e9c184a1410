"""The lines of a file as bytes: where each stands, and how they are copied without a change."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

_BUFFER = 1 << 20


class Line(NamedTuple):
    """A line.

    Attributes:
        number: Which line of the file, from 1.
        position: The byte that it starts at.
        data: The line without its end.
        whole: Whether it has one.
    """

    number: int
    position: int
    data: bytes
    whole: bool


class Span(NamedTuple):
    """Where a line stands.

    Attributes:
        position: The byte that it starts at.
        length: Bytes, its end left out.
    """

    position: int
    length: int


def read_lines(path: Path, position: int = 0, number: int = 1) -> Iterator[Line]:
    """The lines from a byte on that are not blank; one that is being written comes too, as not whole.

    Args:
        path: The file.
        position: Where a line starts.
        number: Which line that is.
    """
    with path.open("rb", buffering=_BUFFER) as file:
        file.seek(position)
        for raw in file:
            whole = raw.endswith(b"\n")
            data = raw.rstrip(b"\r\n") if whole else raw
            if data and not data.isspace():
                yield Line(number, position, data, whole)
            position += len(raw)
            number += 1


def fetch(path: Path, spans: Iterable[Span]) -> Iterator[bytes]:
    """Lines by where they stand."""
    file = os.open(path, os.O_RDONLY)
    try:
        for span in spans:
            yield os.pread(file, span.length, span.position)
    finally:
        os.close(file)


def copy(path: Path, spans: Iterable[Span], target: IO[bytes]) -> None:
    """Write lines, as they are and each with one end, behind each other; neighbours go in one piece."""
    with path.open("rb", buffering=0) as source:
        for start, length in _runs(spans):
            data = os.pread(source.fileno(), length + 1, start)
            target.write(data if data[length:] == b"\n" else data[:length].rstrip(b"\r") + b"\n")


def _runs(spans: Iterable[Span]) -> Iterator[Span]:
    """Spans with those joined that stand behind each other with a plain line end between them."""
    start = end = -1
    for span in spans:
        if span.position == end + 1 and start >= 0 and span.position + span.length - start < _BUFFER:
            end = span.position + span.length
            continue
        if start >= 0:
            yield Span(start, end - start)
        start, end = span.position, span.position + span.length
    if start >= 0:
        yield Span(start, end - start)
