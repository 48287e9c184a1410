"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from llmgym.errors import ConfigError


@contextmanager
def replacing(path: Path | str, *, force: bool = False) -> Generator[Path]:
    """A name to write a file under, which is put in its place when the block ends, and gone where it fails.

    Args:
        path: Where the file is to be.
        force: Whether one that is there already may be replaced.

    Raises:
        ConfigError: There is one already, or it cannot be written.
    """
    path = Path(path)
    check_free(path, force=force)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def check_free(path: Path | str, *, force: bool) -> None:
    """See that a file may be written.

    Raises:
        ConfigError: It is there already.
    """
    if Path(path).is_dir():
        raise ConfigError(f"{path} is a folder; name a file")
    if not force and Path(path).exists():
        raise ConfigError(f"{path} is there already; --force replaces it")
