"""What adapters of installed packages share: versions, tasks that lie in a package, imports that leave no trace."""

from __future__ import annotations

import logging
import os
import random
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from typing import Any

import numpy as np
from packaging.requirements import Requirement

from llmgym.errors import ConfigError
from llmgym.loading import expect_modules
from llmgym.tasks import RowTasks


def expect_packages(feature: str, extra: str, *modules: str) -> None:
    """See, before any work is done, that what an extra brings is there, in the versions that it asks for.

    Raises:
        MissingExtraError: A module is not there.
        ConfigError: A package is there in another version; says which other package asks for that.
    """
    expect_modules(feature, extra, *modules)
    if clash := _clash(extra):
        raise ConfigError(f"{feature} {clash}")


@cache
def _clash(extra: str) -> str:
    """What is there in another version than an extra asks for; empty where nothing is."""
    for wanted in _requirements("llmgym", extra):
        try:
            found = metadata.version(wanted.name)
        except metadata.PackageNotFoundError:
            continue
        if wanted.specifier.contains(found, prereleases=True):
            continue
        said = f"needs {wanted.name}{wanted.specifier}, and {found} is installed"
        others = sorted(
            f"{dist.name} {dist.version}"
            for dist in metadata.distributions()
            for asked in _requirements(dist.name)
            if asked.name == wanted.name and dist.name != "llmgym" and str(asked.specifier)
        )
        if not others:
            return f"{said}: pip install 'llmgym[{extra}]'"
        return (
            f"{said}, for {', '.join(dict.fromkeys(others))}: where these cannot live in one environment, give one its "
            "own. A taskset of verifiers runs in another by python= of llmgym/Verifiers-v0, and a server is reached by "
            "its URL: docs/adapters.md"
        )
    return ""


def _requirements(package: str, extra: str = "") -> list[Requirement]:
    """What a package asks for, with an extra what it asks for with that beside what it always does."""
    try:
        found = [Requirement(line) for line in metadata.requires(package) or ()]
    except (metadata.PackageNotFoundError, ValueError):
        return []

    def holds(requirement: Requirement, extra: str) -> bool:
        return requirement.marker is None or requirement.marker.evaluate({"extra": extra})

    return [each for each in found if holds(each, extra) and not (extra and holds(each, ""))]


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
