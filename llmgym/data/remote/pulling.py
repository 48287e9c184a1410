"""Pulling: everything is fetched and checked beside its place, and then put there."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Sequence
from functools import reduce
from pathlib import Path

from llmgym.data.remote.attempts import FULL, RemoteError, Say
from llmgym.data.remote.folder import Folder
from llmgym.data.remote.item import described_file
from llmgym.data.remote.manifest import File, Manifest
from llmgym.errors import ConfigError
from llmgym.rollout.journal import FolderInUseError, lock_folder

#: Told how many bytes of how many have come.
Progress = Callable[[int, int], None]

WAITING = ".pull"
_BLOCK = 16 << 20  # bytes of a request


def pull(
    url: str,
    output: Path | str,
    names: Sequence[str] = (),
    *,
    force: bool = False,
    progress: Progress | None = None,
    say: Say = lambda _: None,
) -> list[Manifest]:
    """Fetch what was pushed, as it was.

    All of it arrives, or nothing: what has come is in the folder `.pull` until the rest is there, and the next pull
    goes on from it.

    Args:
        url: Where it was pushed to.
        output: The folder to put it into.
        names: Only these; all of it where there are none.
        force: Replace files that are there and are others.
        progress: Told how many bytes of how many have come.
        say: Told of what is tried again.

    Returns:
        The manifests.

    Raises:
        ConfigError: There is nothing of such a name, a file is there already, or cannot be written.
        RemoteError: It cannot be reached, or is not what its manifest says.
    """
    folder, output = Folder(url, say), Path(output)
    chosen = _chosen(folder, names)
    files = reduce(lambda found, manifest: found | manifest.pulled, chosen, dict[str, File]())
    missing = [file for file in files.values() if not _there(output / file.path, file)]
    taken = [output / file.path for file in missing if os.path.lexists(output / file.path)]
    blocked = [path for path in taken if path.is_dir()]
    if taken and (blocked or not force):
        more = f", and {len(taken) - 1} more" if len(taken) > 1 else ""
        advice = "choose another folder" if blocked else "--force replaces it"
        raise ConfigError(f"{(blocked or taken)[0]} is there already, and is another one{more}; {advice}")
    waiting = output / WAITING
    lock = _locked(waiting)
    try:
        _fetch(folder, missing, waiting, progress)
        _place(missing, output, waiting)
        shutil.rmtree(waiting)
    except OSError as error:
        if error.errno in FULL:
            raise ConfigError(
                f"{output}: {error.strerror}; what has come is in {waiting}: make room and repeat the command, or "
                "remove it"
            ) from error
        raise ConfigError(f"cannot write {error.filename or output}: {error.strerror or error}") from error
    finally:
        os.close(lock)
    return chosen


def _chosen(folder: Folder, names: Sequence[str]) -> list[Manifest]:
    there = folder.manifests()
    if not there:
        raise ConfigError(
            f"{folder.url}: nothing is there that `llmgym data push` wrote; what is private needs a token or a key"
        )
    for name in names:
        if name not in there:
            raise ConfigError(f"{folder.url} has no {name!r}; it has {', '.join(there)}")
    chosen = [there[name] for name in dict.fromkeys(names)] or list(there.values())
    for manifest in chosen:
        if not manifest.complete:
            raise RemoteError(f"{folder.url}/{manifest.name}: its push has not ended; repeat that first")
    return chosen


def _locked(waiting: Path) -> int:
    try:
        waiting.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot write {waiting}: {error.strerror}") from error
    try:
        return lock_folder(waiting)
    except FolderInUseError:
        raise ConfigError(f"{waiting.parent}: another pull is under way there; wait for it") from None


def _there(path: Path, file: File) -> bool:
    return path.is_file() and path.stat().st_size == file.size and described_file("", path).sha256 == file.sha256


def _held(waiting: Path, file: File) -> Path:
    """Where a file waits: another version of it waits elsewhere."""
    return waiting / hashlib.sha256(f"{file.path}\n{file.sha256}".encode()).hexdigest()


def _fetch(folder: Folder, files: Sequence[File], waiting: Path, progress: Progress | None) -> None:
    total = sum(file.size for file in files)
    here = sum(held.stat().st_size for file in files if (held := _held(waiting, file)).is_file())
    if (free := shutil.disk_usage(waiting).free) < total - here:
        raise ConfigError(
            f"{waiting.parent}: {(total - here) / 1e6:,.0f} MB are to come, and there is room for {free / 1e6:,.0f}"
        )
    done = 0
    for file in files:
        _fetch_one(
            folder, file, _held(waiting, file), lambda count, done=done: progress and progress(done + count, total)
        )
        done += file.size


def _fetch_one(folder: Folder, file: File, path: Path, moved: Callable[[int], object]) -> None:
    digest, size = hashlib.sha256(), 0
    with path.open("ab+", buffering=0) as target:
        target.seek(0)
        while block := target.read(_BLOCK):
            digest.update(block)
            size += len(block)
        while size < file.size:
            moved(size)
            block = folder.read(file.path, size, min(size + _BLOCK, file.size))
            if (written := target.write(block)) < len(block):  # the disk took some of it, and says why to the rest
                target.write(block[written:])
            digest.update(block)
            size += len(block)
        os.fsync(target.fileno())
    moved(size)
    if digest.hexdigest() != file.sha256:
        path.unlink()
        raise RemoteError(
            f"{folder.url}/{file.path} is not what its manifest says: repeat the command, if it was pushed again "
            "meanwhile; else it was damaged there, and `llmgym data push --force` sends it again"
        )


def _place(files: Sequence[File], output: Path, waiting: Path) -> None:
    for file in files:
        target = output / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        _held(waiting, file).replace(target)
