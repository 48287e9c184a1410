"""What is at a remote place: a manifest beside each thing, written last, that a pull trusts and nothing else."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Any, Literal

import msgspec

from llmgym.data.remote.attempts import RemoteError

#: The name of the manifest of `first` is `first.pushed.json`.
SUFFIX = ".pushed.json"

Kind = Literal["run", "rows", "export"]

_NAME = re.compile(r"\w[\w.+=@ -]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class File(msgspec.Struct, frozen=True):
    """A file.

    Attributes:
        path: Where it is, from the manifest's folder.
        size: Bytes.
        sha256: Of them.
        derived: Whether it was made of the others, for those who load it there; it is not pulled.
    """

    path: str
    size: int
    sha256: str
    derived: bool = False


class Manifest(msgspec.Struct, frozen=True):
    """A run folder, a file of rows, or an export.

    Attributes:
        name: Of the folder or file.
        kind: Which of these.
        files: All of them that have arrived.
        complete: Whether that is all of them.
        table: The file that `load_dataset` takes; "" where there is none.
        facts: What the card says of it.
        format: Version of this.
    """

    name: str
    kind: Kind
    files: tuple[File, ...]
    complete: bool = True
    table: str = ""
    facts: dict[str, Any] = {}
    format: Literal[1] = 1

    def dump(self) -> bytes:
        """It as JSON."""
        return msgspec.json.format(msgspec.json.encode(self)) + b"\n"

    @property
    def pulled(self) -> dict[str, File]:
        """The files that are given back, by path."""
        return {file.path: file for file in self.files if not file.derived}


def load(data: bytes, source: str) -> Manifest:
    """Read a manifest, which anybody may have written.

    Raises:
        RemoteError: It is none, or names a file that has no place below the folder.
    """
    try:
        found = msgspec.json.decode(data, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RemoteError(f"{source} was not written by `llmgym data push`, or only half: {error}; remove it") from None
    if not source.endswith(f"/{found.name}{SUFFIX}") or not is_name(found.name):
        raise RemoteError(f"{source} is of another name: {found.name!r}")
    paths = [file.path for file in found.files]
    for file in found.files:
        parts = PurePosixPath(file.path).parts
        inside = "/".join(parts) == file.path and all(map(is_name, parts))
        own = file.derived or parts[:1] == (found.name,) or file.path == f"{found.name}.manifest.json"
        if not (inside and own) or file.size < 0 or not _SHA256.fullmatch(file.sha256):
            raise RemoteError(f"{source} names a file that can be none of its own: {file.path!r}")
    if len({path.casefold() for path in paths}) < len(paths):
        raise RemoteError(f"{source} names a file twice")
    return found


def is_name(text: str) -> bool:
    """Whether something may be called so, here and there: no way up, nothing hidden."""
    return _NAME.fullmatch(text) is not None
