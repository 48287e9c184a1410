"""What adapters of installed packages share: tasks that lie in a package, and imports that leave no trace."""

from __future__ import annotations

import logging
import os
import random
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from llmgym.loading import expect_modules
from llmgym.tasks import RowTasks

_log = logging.getLogger(__name__)


def expect_package(feature: str, extra: str, package: str, tested: str, *modules: str) -> None:
    """See that a package is there, and say once where its version is none that was looked at.

    Args:
        feature: What needs it.
        extra: The extra that brings it.
        package: Its name on PyPI.
        tested: The version that was looked at, or how its versions begin.
        *modules: What must be importable.

    Raises:
        MissingExtraError: A module is not.
    """
    expect_modules(feature, extra, *modules)
    _tell_version(package, tested)


@cache
def _tell_version(package: str, tested: str) -> None:
    try:
        found = version(package)
    except PackageNotFoundError:  # modules that lie on the path
        return
    if not f"{found}.".startswith(f"{tested}."):
        _log.warning(
            "%s %s: its tasks and rewards were looked at in %s, and may be others here", package, found, tested
        )


@contextmanager
def generators_kept() -> Generator[None]:
    """Leave the generators of random numbers that all of a process shares, Python's and NumPy's, as they were."""
    numbers, arrays = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(numbers)
        np.random.set_state(arrays)


@contextmanager
def unchanged() -> Generator[None]:
    """Leave the state that all of a process shares as it was: random numbers, warnings, logging, the environment."""
    variables = dict(os.environ)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        with warnings.catch_warnings(), generators_kept():
            yield
    finally:
        root.handlers[:], root.level = handlers, level
        if dict(os.environ) != variables:
            os.environ.clear()
            os.environ.update(variables)


@dataclass(frozen=True)
class PackageRows:
    """Rows that a function makes of what a package holds.

    Attributes:
        make: Makes the rows; picklable.
        name: Names them in messages.
    """

    make: Callable[[], Iterable[Mapping[str, Any]]]
    name: str

    def rows(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the place and the row."""
        for number, row in enumerate(self.make(), 1):
            yield f"{self.name}:{number}", dict(row)

    def __str__(self) -> str:
        """The name."""
        return self.name


def package_tasks(make: Callable[[], Iterable[Mapping[str, Any]]], name: str) -> RowTasks:
    """The tasks of a package, loaded when first used; a task that repeats another one is left out of "train"."""
    return RowTasks(PackageRows(make, name), duplicates="drop")
