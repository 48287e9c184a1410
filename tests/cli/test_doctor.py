from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from llmgym.cli import app
from llmgym.sandbox import LEVELS, Availability


@pytest.fixture(autouse=True)
def found(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [Availability("bubblewrap", "bwrap is not installed", "install it"), *map(Availability, LEVELS[1:])]
    monkeypatch.setattr("llmgym.sandbox.survey", lambda: found)


def test_a_row_for_each_level() -> None:
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 0
    rows = [line.split(maxsplit=2) for line in result.stdout.splitlines()]
    assert rows[2][:2] == ["bubblewrap", "no"]
    assert "bwrap is not installed" in rows[2][2]
    assert [row[:2] for row in rows[3:]] == [[level, "yes"] for level in LEVELS[1:]]


def test_json() -> None:
    result = CliRunner().invoke(app, ["doctor", "--json"])
    rows = json.loads(result.stdout)
    assert rows[0] == {"level": "bubblewrap", "reason": "bwrap is not installed", "fix": "install it"}
    assert [row["level"] for row in rows] == list(LEVELS)
