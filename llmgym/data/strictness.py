"""What the decoder passes over in texts that it skips, or says in words that mislead."""

from __future__ import annotations

import json

_HALF = "a text has half of a character (a lone surrogate), which UTF-8 cannot write"


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
