"""Retries without their pauses."""

from __future__ import annotations

import pytest

from llmgym.rollout import runner


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "_BACKOFF_S", 0.0)
