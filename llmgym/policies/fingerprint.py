"""What tells the weights in a folder from those that were there before, without reading gigabytes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import BinaryIO

_WEIGHTS = ("*.safetensors", "*.bin", "*.gguf", "*.pt", "*.pth")
_PIECE = 1024  # bytes of each tensor, or of each of so many places of a file in another format
_PLACES = 256
_HEADER = 1 << 27  # a header beyond this is no header


def fingerprint(folder: str | Path) -> str | None:
    """Hash a model folder's configuration, and a piece of each tensor of its weights.

    A checkpoint that was trained further and written over the last one has another hash, also where part of its layers
    were frozen; one that was copied has the same.

    Args:
        folder: The folder.

    Returns:
        A hash; None where there is no folder, or no weights in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        return None
    files = sorted({path for pattern in _WEIGHTS for path in folder.glob(pattern)})
    if not files:
        return None
    digest = hashlib.blake2b(digest_size=8)
    for path in [*sorted(folder.glob("*.json")), *files]:
        digest.update(path.name.encode())
        with path.open("rb") as file:
            if path.suffix == ".json":
                digest.update(file.read())
            else:
                _add_weights(digest, file, path)
    return digest.hexdigest()


def _add_weights(digest: hashlib.blake2b, file: BinaryIO, path: Path) -> None:
    size = path.stat().st_size
    digest.update(size.to_bytes(8, "little"))
    offsets = _tensors(file) if path.suffix == ".safetensors" else None
    for offset in offsets or range(0, size, max(1, size // _PLACES)):
        file.seek(offset)
        digest.update(file.read(_PIECE))


def _tensors(file: BinaryIO) -> list[int] | None:
    """Where the tensors of a safetensors file start, after its header; None where that cannot be read."""
    length = int.from_bytes(file.read(8), "little")
    if not 0 < length < _HEADER:
        return None
    try:
        header = json.loads(file.read(length))
        spans = [entry["data_offsets"] for name, entry in header.items() if name != "__metadata__"]
        # From the middle of each: what is trained least, such as rare rows of an embedding, is often at an end.
        return [8 + length + (start + end) // 2 // 8 * 8 for start, end in spans]
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
