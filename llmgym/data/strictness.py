"""What the decoder passes over in texts that it skips, or says in words that mislead."""

from __future__ import annotations

import json

import numpy as np

_HALF = "a text has half of a character (a lone surrogate), which UTF-8 cannot write"


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
        return f"it is not UTF-8, at byte {error.start}"
    return None


def explained(data: bytes) -> str | None:
    """Why the decoder refuses a line, where its own words do not say so."""
    if (flaw := encoding_flaw(data)) is not None:
        return flaw
    if b"\\ud" in data or b"\\uD" in data:
        try:
            json.dumps(json.loads(data), ensure_ascii=False).encode()
        except UnicodeEncodeError:
            return _HALF
        except (ValueError, RecursionError):
            pass
    return None
