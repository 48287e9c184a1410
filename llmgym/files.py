"""Files that people write, and files for other programs, with errors that say what is wrong."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from llmgym.errors import ConfigError

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_yaml(path: Path, error: type[ConfigError] = ConfigError) -> tuple[Any, str]:
    """Read a YAML file.

    Args:
        path: The file.
        error: What is raised where it cannot be read.

    Returns:
        Its data and its text.

    Raises:
        ConfigError: It cannot be read or is not YAML; names file and line.
    """
    try:
        text = path.read_text(encoding="utf-8")
        return yaml.load(text, _LOADER), text
    except OSError as cause:
        raise error(f"cannot read {path}: {cause.strerror}") from None
    except yaml.MarkedYAMLError as cause:
        line = cause.problem_mark.line + 1 if cause.problem_mark else 1
        raise error(f"{path}:{line}: not YAML: {cause.problem}") from None
    except (yaml.YAMLError, ValueError) as cause:  # ValueError: not UTF-8, or a date such as 2024-13-01
        raise error(f"{path}: not YAML: {cause}") from None


@contextmanager
def writing(path: str | Path) -> Generator[Path]:
    """Make the folder of a file that the block writes.

    Raises:
        ConfigError: It cannot be written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield path
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {os.strerror(error.errno) if error.errno else error}") from None
