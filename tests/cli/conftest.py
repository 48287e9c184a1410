"""What tests of the command line share."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    """A registry file with `Letters` as an environment of its own."""
    entry = {
        "id": "mine/Letters-v0",
        "entry_point": "tests.rollouts:Letters",
        "summary": "Answer a letter with its capital, which is a summary that is rather long " + "and goes on " * 12,
        "domains": ["spelling"],
        "max_turns": 4,
        "tasks": {"licence": "CC0-1.0", "origin": "the alphabet"},
    }
    file = tmp_path / "registry.yaml"
    file.write_text(yaml.safe_dump({"environments": [entry]}))
    return file
