"""What is pushed: a run folder, a file of rows, or an export, with the files that belong to it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmgym.data.output import manifest_of
from llmgym.data.remote.manifest import File, Kind, is_name
from llmgym.errors import ConfigError
from llmgym.rollout.description import FILE
from llmgym.rollout.folder import ROLLOUTS, SOURCES, SUMMARY
from llmgym.rollout.journal import lock_folder

_OF_A_RUN = (*SOURCES, SUMMARY, "verification.json")
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Item:
    """One of the things to push.

    Attributes:
        name: What it is called there.
        kind: What it is.
        path: Where it is here.
        files: Its files here, by their paths there.
        settings: The export's manifest; of others none.
    """

    name: str
    kind: Kind
    path: Path
    files: dict[str, Path]
    settings: dict[str, Any]

    @property
    def main(self) -> Path:
        """The file with its rows."""
        return self.path / ROLLOUTS if self.kind == "run" else self.path


def item_of(path: Path) -> Item:
    """What is at a path.

    Raises:
        ConfigError: Nothing that can be pushed.
    """
    name = path.resolve().name
    if not is_name(name):
        raise ConfigError(f"{path}: a name of letters, digits, and . _ - + = @ is needed there; give it another one")
    if path.is_dir():
        found = {f"{name}/{file}": path / file for file in _OF_A_RUN if (path / file).is_file()}
        if f"{name}/{FILE}" not in found or f"{name}/{ROLLOUTS}" not in found:
            raise ConfigError(f"{path} is no run folder: it has no {FILE} or no {ROLLOUTS}; name the files in it")
        return Item(name, "run", path, found, {})
    if not path.is_file():
        raise ConfigError(f"{path}: there is no such file")
    beside = manifest_of(path)
    files, settings = {name: path}, dict[str, Any]()
    if beside.is_file():
        files[beside.name] = beside
        settings = _settings(beside)
    kind: Kind = "export" if "recipe" in settings or path.suffix == ".parquet" else "rows"
    return Item(name, kind, path, files, settings)


def _settings(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from None
    return found if isinstance(found, dict) else {}


@contextmanager
def held(item: Item) -> Generator[None]:
    """Keep a run from going on while it is pushed.

    Raises:
        StoreError: It goes on.
    """
    if item.kind != "run" or not (item.path / "lock").exists():
        yield
        return
    lock = lock_folder(item.path)
    try:
        yield
    finally:
        os.close(lock)


def described_file(path: str, local: Path, *, derived: bool = False) -> File:
    """A file with its size and hash.

    Raises:
        ConfigError: It cannot be read.
    """
    digest, size = hashlib.sha256(), 0
    try:
        with local.open("rb", buffering=0) as file:
            while block := file.read(_BLOCK):
                digest.update(block)
                size += len(block)
    except OSError as error:
        raise ConfigError(f"cannot read {local}: {error.strerror}") from None
    return File(path, size, digest.hexdigest(), derived)
