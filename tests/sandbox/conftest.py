"""Sandboxes at each level that this machine has; tests of one that it lacks are skipped, with the reason."""

from __future__ import annotations

import pytest

from llmgym.sandbox import LEVELS, Level, Sandbox
from llmgym.sandbox.levels import probe


def at(level: Level) -> Sandbox:
    """A sandbox at a level, which must be there."""
    found = probe(level)
    if not found.available:
        pytest.skip(f"{level} is not there: {found.reason}")
    return Sandbox(level=level)


@pytest.fixture(params=LEVELS)
def box(request: pytest.FixtureRequest) -> Sandbox:
    """A sandbox at each level."""
    return at(request.param)


@pytest.fixture(params=[level for level in LEVELS if level != "process"])
def walled(request: pytest.FixtureRequest) -> Sandbox:
    """A sandbox at each level that hides files and has no network."""
    return at(request.param)


@pytest.fixture(params=["bubblewrap", "namespaces"])
def apart(request: pytest.FixtureRequest) -> Sandbox:
    """A sandbox at each level with namespaces."""
    return at(request.param)
