"""The lines of a run's files as they are, and as other programs leave them that wrote them again."""

from __future__ import annotations

import codecs
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from llmgym.errors import StoreError


class Line(NamedTuple):
    r"""A line that holds something.

    Attributes:
        number: Which line of the file, from 1.
        offset: The byte that it starts at, behind a byte order mark.
        data: The line without what ends it, "\n" or "\r\n".
    """

    number: int
    offset: int
    data: bytes


@contextmanager
def damaged_lines() -> Generator[None]:
    """Say of a line of a run folder that cannot be read what can be done about it.

    Raises:
        StoreError: As the block, which names file and line.
    """
    try:
        yield
    except StoreError as error:
        raise StoreError(f"{error}; take that line out to read the others") from None


def whole_lines(lines: Iterable[bytes], number: int = 1, offset: int = 0) -> Iterator[Line]:
    """Lines of which each has its end; blank ones are left out, and what stands behind the first that has none.

    Args:
        lines: As they stand in a file, with their ends.
        number: Which line of the file is the first of them.
        offset: Where it starts.
    """
    for place, line in enumerate(lines, number):
        if not line.endswith(b"\n"):
            return  # torn, or being written
        mark = len(codecs.BOM_UTF8) if offset == 0 and line.startswith(codecs.BOM_UTF8) else 0
        data = line[mark:].rstrip(b"\r\n")
        if data and not data.isspace():
            yield Line(place, offset + mark, data)
        offset += len(line)
