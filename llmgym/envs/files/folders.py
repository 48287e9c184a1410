"""What a folder has become: its files, and those in its archives, compared with what they should be."""

from __future__ import annotations

import io
import tarfile
import zlib
from collections.abc import Mapping
from typing import Any

from llmgym.envs.files.job import Archive
from llmgym.verifiers import Verdict, state

MAX_FILE = 2_000_000  # bytes of a file that are read
_MAX_MEMBERS = 1000


def compare(
    found: Mapping[str, bytes | None], goal: Mapping[str, str | Archive], before: Mapping[str, str | Archive]
) -> Verdict:
    """Whether a folder is as it should be; line ends at the end of a file do not count.

    Args:
        found: Contents by path; None for what is no file, such as a link, or too large.
        goal: What should be there, and nothing else.
        before: What was there.
    """
    read = {
        path: _files_in(content or b"") if isinstance(goal.get(path), dict) else _text(content)
        for path, content in found.items()
    }
    return state.check(_table(read), _table(goal), before=_table(before), keys="path")


def _table(files: Mapping[str, Any]) -> dict[str, Any]:
    """The files as a table; those in an archive are rows of their own."""
    rows = []
    for path, content in files.items():
        within = content.items() if isinstance(content, dict) else [("", content)]
        rows += [
            {"path": f"{path}:{name}", "text": said if said is None else said.rstrip("\n")} for name, said in within
        ]
    return {"files": rows}


def _text(content: bytes | None) -> str | None:
    return None if content is None else content.decode("utf-8", "backslashreplace")


def _files_in(packed: bytes) -> Archive | None:
    """The files in a gzipped tar; None where it is none, or much larger than it should be."""
    unpacker = zlib.decompressobj(wbits=31)
    try:
        plain = unpacker.decompress(packed, MAX_FILE)
        if not unpacker.eof:
            return None
        with tarfile.open(fileobj=io.BytesIO(plain), mode="r:") as members:
            found: Archive = {}
            for member in members:
                if len(found) > _MAX_MEMBERS or not (member.isfile() or member.isdir()):
                    return None
                if member.isfile() and (file := members.extractfile(member)) is not None:
                    found[member.name.removeprefix("./")] = _text(file.read(MAX_FILE)) or ""
            return found
    except (zlib.error, tarfile.TarError, OSError, ValueError, EOFError):
        return None
