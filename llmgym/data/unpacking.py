"""Files that hold rows otherwise than in lines: compressed, archives, or JSON documents over several lines.

Their lines are written out once, into the folder of the index, since rows are fetched by where they stand.
"""

from __future__ import annotations

import gzip
import json
import zipfile
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from llmgym.data.output import replacing
from llmgym.data.problems import UnreadableError
from llmgym.data.shapes import inspect_logs

_GZIP, _ZSTD, _ZIP = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PK\x03\x04"
_PIECE = 1 << 20
_SMALL = 1 << 12  # what is lost before a cut


def is_packed(path: Path) -> bool:
    """Whether the rows of a file have to be unpacked."""
    head = _head(path)
    return head.startswith((_GZIP, _ZSTD, _ZIP)) or _is_document(head)


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(4096)


def _is_document(head: bytes) -> bool:
    first = head.lstrip()
    return first.startswith(b"[") or first.partition(b"\n")[0].strip() == b"{"


def unpack(path: Path, target: Path) -> None:
    """Write the rows of a file as lines; of one that is cut off, what there is.

    Raises:
        UnreadableError: They cannot be unpacked; says why.
        ConfigError: They cannot be written.
    """
    with replacing(target, force=True) as temporary, temporary.open("wb") as file:
        file.writelines(_pieces(path))


def _pieces(path: Path) -> Iterator[bytes]:
    """What there is in a file, piece by piece."""
    head = _head(path)
    try:
        if head.startswith(_GZIP):
            with gzip.open(path) as source, suppress(EOFError):
                while piece := source.read1(_PIECE):  # `read` would give nothing of a piece that is cut off
                    yield piece
        elif head.startswith(_ZSTD):
            import pyarrow as pa

            with pa.CompressedInputStream(str(path), "zstd") as source, _to_the_cut():
                while piece := source.read(_SMALL):
                    yield piece
        else:
            for row in inspect_logs.archived(path) if head.startswith(_ZIP) else _documents(path):
                yield json.dumps(row, ensure_ascii=False).encode(errors="backslashreplace") + b"\n"
    except (zlib.error, zipfile.BadZipFile, ValueError, OSError) as error:
        raise UnreadableError(path, f"it cannot be unpacked: {error}") from None


@contextmanager
def _to_the_cut() -> Generator[None]:
    try:
        yield
    except OSError as error:
        if "Truncated" not in str(error):
            raise


def _documents(path: Path) -> Iterator[Any]:
    """The documents of a file one behind the other; of lists the elements, of logs the samples."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        decoder, at = json.JSONDecoder(), 0
        while (at := _next(text, at)) < len(text):
            found, at = decoder.raw_decode(text, at)
            if inspect_logs.is_log(found):
                yield from inspect_logs.samples(found)
            else:
                yield from found if isinstance(found, list) else [found]
    except json.JSONDecodeError as error:
        raise UnreadableError(path, f"line {error.lineno} is no JSON: {error.msg}") from None
    except (ValueError, RecursionError) as error:
        raise UnreadableError(path, f"it is no JSON: {error}") from None


def _next(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at
