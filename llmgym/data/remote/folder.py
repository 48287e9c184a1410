"""A folder behind a URL, by fsspec: of S3, of the Hub, of another disk."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from llmgym.data.remote.attempts import RemoteError, Say, attempt
from llmgym.data.remote.manifest import SUFFIX, Manifest, load
from llmgym.errors import ConfigError, MissingExtraError
from llmgym.loading import expect_modules
from llmgym.redaction import redact_text

#: Told how many more bytes have gone over.
Moved = Callable[[int], None]

_FORMS = "hf://datasets/OWNER/NAME, s3://BUCKET/FOLDER, file:///FOLDER, or another URL of fsspec"


class Folder:
    """A remote folder.

    Attributes:
        url: Where it is, as messages name it.
    """

    def __init__(self, url: str, say: Say) -> None:
        """Know where it is; nothing is asked yet.

        Args:
            url: Where.
            say: Told of what is tried again.

        Raises:
            ConfigError: It is no URL, or of no kind that is known.
            MissingExtraError: What reads it is not installed.
        """
        scheme = url.partition("://")[0] + "://"
        expect_modules(scheme, "data", "fsspec", *(["huggingface_hub"] if scheme == "hf://" else []))
        from fsspec.core import url_to_fs
        from fsspec.implementations.local import LocalFileSystem

        self.url = redact_text(url).rstrip("/")
        self._say = say
        if "://" not in url:
            raise ConfigError(f"{self.url} is no URL: {_FORMS}")
        try:
            self._fs, root = url_to_fs(url)
        except ImportError as error:
            if scheme in ("s3://", "s3a://"):
                raise MissingExtraError(scheme, "s3") from error
            raise ConfigError(f"{self.url}: {error}") from None
        except Exception as error:  # noqa: BLE001 -- whatever a file system says to a URL
            raise ConfigError(f"{self.url}: {error}; name {_FORMS}") from None
        self._root = root.rstrip("/")
        # Else each block of a file would be asked for with some megabytes behind it, twice.
        self._reading = {"cache_type": "none"} if scheme == "hf://" else {}
        self._is_disk = isinstance(self._fs, LocalFileSystem)
        if self._is_disk:
            self._fs.auto_mkdir = True

    def manifests(self) -> dict[str, Manifest]:
        """Of all that was pushed there, by name.

        Raises:
            RemoteError: It cannot be read.
        """
        names: list[str] = attempt(f"reading {self.url}", self._names, self._say)
        found = (load(self.read(name), f"{self.url}/{name}") for name in sorted(names) if name.endswith(SUFFIX))
        return {manifest.name: manifest for manifest in found}

    def _names(self) -> list[str]:
        self._fs.invalidate_cache()
        try:
            return [path.rpartition("/")[2] for path in self._fs.ls(self._root, detail=False)]
        except FileNotFoundError:
            return []

    def read(self, path: str, start: int | None = None, end: int | None = None) -> bytes:
        """A file, or some bytes of it.

        Raises:
            RemoteError: It is not there, or cannot be read.
        """
        try:
            return self._do("reading", path, partial(self._block, self._at(path), start, end))
        except FileNotFoundError:
            raise RemoteError(f"{self.url}/{path} is not there") from None

    def _block(self, path: str, start: int | None, end: int | None) -> bytes:
        data = self._fs.cat_file(path, start=start, end=end, **self._reading)
        if start is not None and end is not None and len(data) != end - start:
            raise ConnectionError(f"{len(data)} bytes came, and not {end - start}")
        return data

    def size(self, path: str) -> int | None:
        """Of a file, in bytes; None where it is not there."""
        try:
            return self._do("looking at", path, lambda: self._fs.info(self._at(path))["size"])
        except FileNotFoundError:
            return None

    def write(self, path: str, data: bytes) -> None:
        """Write a small file; on a disk it is put in its place when it is whole, as elsewhere a put is by itself."""
        self._send(path, partial(self._write, self._at(path), data))

    def _write(self, path: str, data: bytes) -> None:
        if not self._is_disk:
            self._fs.pipe_file(path, data)
            return
        temporary = f"{path}.new"
        try:
            self._fs.pipe_file(temporary, data)
            os.replace(temporary, path)
        finally:
            Path(temporary).unlink(missing_ok=True)

    def put(self, path: str, local: Path, moved: Moved) -> None:
        """Write a file."""
        from fsspec.callbacks import Callback

        class Told(Callback):
            def relative_update(self, inc: int = 1) -> None:
                nonlocal gone
                gone += inc
                moved(inc)

        gone = 0

        def send() -> None:
            nonlocal gone
            moved(-gone)  # of an attempt before
            gone = 0
            self._fs.put_file(str(local), self._at(path), callback=Told())

        self._send(path, send)
        moved(local.stat().st_size - gone)

    def _send(self, path: str, call: Callable[[], Any]) -> None:
        try:
            self._do("sending", path, call)
        except FileNotFoundError as error:
            raise RemoteError(f"sending {self.url}/{path}: {error}; make the folder or bucket first") from None
        self._fs.invalidate_cache()

    def remove(self, path: str) -> None:
        """Remove a file that may be there."""
        if self.size(path) is not None:
            self._do("removing", path, lambda: self._fs.rm_file(self._at(path)))

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}"

    def _do(self, what: str, path: str, call: Callable[[], Any]) -> Any:
        return attempt(f"{what} {self.url}/{path}", call, self._say)
