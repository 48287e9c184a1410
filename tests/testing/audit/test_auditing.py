"""The audit finds each environment whose rewards are not true, and flags none that is sound."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmgym.env import ToolEnv
from llmgym.registry import register_envs
from llmgym.testing.audit import audit_env
from tests.testing.zoo import BROKEN, SOUND


@pytest.mark.slow
@pytest.mark.parametrize(("cls", "name"), BROKEN, ids=[cls.__name__ for cls, _ in BROKEN])
def test_a_broken_environment_is_found_for_its_own_reason(cls: type[ToolEnv], name: str) -> None:
    report = audit_env(f"zoo/{cls.__name__}-v0", num_tasks=12)
    assert name in {fault.name for fault in report.faults}


def test_the_checks_find_each_other_kind_of_fault() -> None:
    groups = {name.partition("/")[0] for _, name in BROKEN}
    assert groups == {"ceiling", "near", "blind", "acting", "verifier", "tasks"}


@pytest.mark.parametrize(("cls", "allow"), SOUND, ids=[cls.__name__ for cls, _ in SOUND])
def test_a_sound_environment_is_not_flagged(cls: type[ToolEnv], allow: dict[str, str]) -> None:
    report = audit_env(f"zoo/{cls.__name__}-v0", num_tasks=12, allow=allow)
    assert [(fault.name, fault.text, fault.examples) for fault in report.faults] == []


@pytest.mark.slow
def test_an_audit_with_little_time_looks_at_less_and_says_at_what() -> None:
    report = audit_env("zoo/Slow-v0", num_tasks=30, seconds=1)
    assert report.faults == ()
    oracle = next(row for row in report.rows if row.name == "ceiling/oracle")
    assert len(oracle.plays) < 60
    assert any("for want of time" in note for note in report.notes)


def test_an_environment_without_an_oracle_is_told_apart(tmp_path: Path) -> None:
    rows = tmp_path / "registry.yaml"
    rows.write_text(
        "environments:\n"
        "  - id: zoo/Unsolved-v0\n"
        "    entry_point: tests.testing.zoo:Sum\n"
        "    summary: A problem that nobody has solved.\n"
        "    domains: [math]\n"
        "    max_turns: 2\n"
        "    no_oracle: nobody knows the answers\n"
        "    tasks: {licence: CC0-1.0, origin: generated}\n"
    )
    register_envs(rows)
    report = audit_env("zoo/Unsolved-v0")
    assert (report.ceiling, report.rows, report.faults) == (None, (), ())
    assert "nobody knows the answers" in report.notes[0]


def test_a_model_plays_too() -> None:
    report = audit_env("zoo/Coin-v0", num_tasks=4, policy="script:tests.testing.zoo.says_yes")
    assert "groups without variance" in report.facts
    assert report.facts["groups without variance"] == "100%"
