"""Hashes that are the same in every process: which task is drawn, and what a task holds, are told by them."""

from __future__ import annotations

import hashlib
from typing import Any


def stable_hash(*parts: Any) -> int:
    """A 64-bit hash that is the same in every process."""
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        data = part if isinstance(part, bytes) else str(part).encode()
        digest.update(len(data).to_bytes(8, "little") + data)
    return int.from_bytes(digest.digest(), "little")


def content_digest(content: bytes) -> str:
    """The hash of a task's content, 16 hexadecimal digits."""
    return f"{stable_hash(content):016x}"
