"""The lines of a file as bytes: where each stands, and how they are copied without a change."""

from __future__ import annotations

import codecs
import os
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import IO, NamedTuple

from llmgym.data.problems import UnreadableError

_BUFFER = 1 << 20
_BLOCK = 1 << 21
_RUN = 1 << 18
_END = 0x0A
_CHANGED = "it is shorter than when it was read, so it has been replaced or cut: run the command again"


class Line(NamedTuple):
    r"""A line.

    Attributes:
        number: Which line of the file, from 1.
        position: The byte that it starts at.
        data: The line without its end, which is "\n" alone: a "\r" before it is white space, and copied with the line.
        whole: Whether it has an end; else it is torn, or still being written.
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
    """All lines from a byte on, blank ones and one that is being written included.

    Args:
        path: The file.
        position: Where a line starts.
        number: Which line that is.
    """
    for start, block in read_blocks(path, position):
        for line in lines_of(block, start, number):
            yield line
            number = line.number + 1


def read_blocks(path: Path, position: int = 0) -> Iterator[tuple[int, bytearray]]:
    """The same as they stand, with their ends, some hundred at once: where the first starts, and their bytes.

    These are good until the next are asked for, which are read to the same place.
    """
    size, block = _BLOCK, bytearray()
    with path.open("rb", buffering=0) as file:
        while file.seek(position) >= 0:
            block += bytes(max(0, size - len(block)))  # is read into and cut without a copy
            del block[size:]
            count = file.readinto(block)
            end = block.rfind(b"\n", 0, count) + 1 if count == size else count
            if not count:
                return
            if not end:  # a line that is longer
                size *= 2
                continue
            del block[end:]
            if not position and block.startswith(codecs.BOM_UTF8):
                del block[: len(codecs.BOM_UTF8)]
                position = len(codecs.BOM_UTF8)
            yield position, block
            position, size = position + len(block), _BLOCK


def starts_of(block: bytearray) -> list[int]:
    """Where the lines of a block start, and where the last one ends."""
    starts, find = [0], block.find
    at = find(_END) + 1
    while at:
        starts.append(at)
        at = find(_END, at) + 1
    if starts[-1] < len(block):
        starts.append(len(block))
    return starts


def lines_of(block: bytearray, position: int, number: int) -> Iterator[Line]:
    """The lines of a block."""
    for at, (start, end) in enumerate(pairwise(starts_of(block)), number):
        whole = block[end - 1] == _END
        yield Line(at, position + start, bytes(block[start : end - whole]), whole)


def fetch(path: Path, spans: Iterable[Span]) -> Iterator[bytes]:
    """Lines by where they stand.

    Raises:
        UnreadableError: The file does not have them any more.
    """
    with _opened(path) as file:
        for run, members in _gathered(spans):
            data = _read(file, *run, path)
            for position, length in members:
                start = position - run.position
                yield data[start : start + length]


def copy(path: Path, spans: Iterable[Span], target: IO[bytes]) -> None:
    """Write lines, as they are and each with one end, behind each other; neighbours go in one piece.

    Raises:
        UnreadableError: The file does not have them any more.
    """
    held = memoryview(bytearray(_BUFFER))  # is read into, so that no piece has memory of its own
    size = 0
    with _opened(path) as file:
        for position, length in _runs(spans):
            if size + length >= len(held):
                target.write(held[:size])
                size = 0
            if length >= len(held):
                held = memoryview(bytearray(length + 1))
            end = size + length
            if os.preadv(file, [held[size:end]], position) != length:
                raise UnreadableError(path, _CHANGED)
            held[end] = _END
            size = end + 1
    target.write(held[:size])


def _runs(spans: Iterable[Span]) -> Iterator[tuple[int, int]]:
    """Positions and lengths of spans, with those joined that stand behind each other."""
    start = end = -1
    for position, length in spans:
        if position == end + 1 and start >= 0 and position + length - start < _BUFFER:
            end = position + length
            continue
        if start >= 0:
            yield start, end - start
        start, end = position, position + length
    if start >= 0:
        yield start, end - start


def _gathered(spans: Iterable[Span]) -> Iterator[tuple[Span, list[Span]]]:
    """What to read at once, and the spans in it: those that stand behind each other, as far as they are short."""
    members: list[Span] = []
    start = end = 0
    for span in spans:
        if members and (span.position != end + 1 or end - start >= _RUN):
            yield Span(start, end - start), members
            members = []
        if not members:
            start = span.position
        members.append(span)
        end = span.position + span.length
    if members:
        yield Span(start, end - start), members


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


def _read(file: int, position: int, length: int, path: Path) -> bytes:
    data = os.pread(file, length, position)
    if len(data) != length:
        raise UnreadableError(path, _CHANGED)
    return data
