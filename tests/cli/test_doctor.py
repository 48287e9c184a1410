from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from llmgym.cli import app
from llmgym.sandbox import LEVELS, Availability


@pytest.fixture(autouse=True)
def found(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [Availability("docker", "no engine answers", "start one"), *map(Availability, LEVELS[1:])]
    monkeypatch.setattr("llmgym.sandbox.survey", lambda: found)
    monkeypatch.setattr("llmgym.sandbox.control_groups", lambda: Availability("cgroups"))


def test_a_row_for_each_level() -> None:
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 0
    rows = [line.split(maxsplit=2) for line in result.stdout.splitlines()]
    assert rows[2][:2] == ["docker", "no"]
    assert "no engine answers" in rows[2][2]
    assert [row[:2] for row in rows[3:]] == [[name, "yes"] for name in (*LEVELS[1:], "cgroups")]


def test_json() -> None:
    result = CliRunner().invoke(app, ["doctor", "--json"])
    rows = json.loads(result.stdout)
    assert rows[0] == {"level": "docker", "reason": "no engine answers", "fix": "start one"}
    assert [row["level"] for row in rows] == [*LEVELS, "cgroups"]
