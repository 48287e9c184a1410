"""The audit finds each environment whose rewards are not true, and flags none that is sound."""

from __future__ import annotations

import pytest

from llmgym.env import ToolEnv
from llmgym.testing.audit import audit_env
from tests.testing.zoo import BROKEN, SOUND


@pytest.mark.parametrize(("cls", "name"), BROKEN, ids=[cls.__name__ for cls, _ in BROKEN])
def test_a_broken_environment_is_found_for_its_own_reason(cls: type[ToolEnv], name: str) -> None:
    report = audit_env(f"zoo/{cls.__name__}-v0")
    assert name in {fault.name for fault in report.faults}


@pytest.mark.parametrize(("cls", "allow"), SOUND, ids=[cls.__name__ for cls, _ in SOUND])
def test_a_sound_environment_is_not_flagged(cls: type[ToolEnv], allow: dict[str, str]) -> None:
    report = audit_env(f"zoo/{cls.__name__}-v0", allow=allow)
    assert [(fault.name, fault.text, fault.examples) for fault in report.faults] == []
