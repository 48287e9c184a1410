"""What decoders pass over in texts that they skip, and would break whatever reads the row whole."""

from __future__ import annotations

import json

_HALF = "a text has half of a character (a lone surrogate), which UTF-8 cannot write"


def flaw(data: bytes) -> str | None:
    """What is wrong with the texts of a line."""
    if not data.isascii():
        try:
            data.decode()
        except UnicodeDecodeError as error:
            return f"it is not UTF-8, at byte {error.start}"
    if b"\\ud" in data or b"\\uD" in data:  # both halves stand behind each other in what is fine
        try:
            json.dumps(json.loads(data), ensure_ascii=False).encode()
        except UnicodeEncodeError:
            return _HALF
        except (ValueError, RecursionError):  # no JSON, which the decoder says better
            return None
    return None
