"""What the decoder passes over in texts that it skips, or says in words that mislead."""

from __future__ import annotations

import re

import msgspec
import numpy as np

from llmgym.tasks.json_lines import read_leniently

_HALF = "a text has half of a character (a lone surrogate)"
_ESCAPES = re.compile(rb"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|(\\u[dD][89a-fA-F]..)|\\.")  # pairs, halves, and others


def is_utf8(block: bytearray) -> bool:
    """Whether lines are, all of them: as Arrow sees it, which makes no text of them."""
    if block.isascii():
        return True
    import pyarrow as pa

    ends = pa.py_buffer(np.array([0, len(block)], np.int64))
    try:
        pa.Array.from_buffers(pa.large_utf8(), 1, [None, ends, pa.py_buffer(block)]).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def encoding_flaw(data: bytes) -> str | None:
    """What is wrong with a line whose texts nobody has looked at."""
    if data.isascii():
        return None
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return f"it is not UTF-8, at column {error.start + 1}; save the file as UTF-8"
    return None


def explained(data: bytes) -> str | None:
    """Why the decoder refuses a line, where, and what to give; None for one that is JSON."""
    if (flaw := encoding_flaw(data)) is not None:
        return flaw
    try:
        msgspec.json.decode(data)
    except (ValueError, RecursionError):
        return _flaw(data)
    return None


def _flaw(data: bytes) -> str | None:
    try:
        read_leniently(data)
    except ValueError as error:
        return str(error)
    except RecursionError:
        return None
    half = next((found for found in _ESCAPES.finditer(data) if found[1]), None)
    if half is None:
        return None
    column = len(data[: half.start()].decode()) + 1
    return f"{_HALF} at column {column}; give the whole character, or \\ufffd in its place"
