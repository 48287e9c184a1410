"""A hub that the real client talks to in this process, and no waiting between attempts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from llmgym.data.remote import attempts
from tests.data import rows
from tests.data.remote.hub import OWNER, FakeHub, fake_hub


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "WAITS_S", (0.0, 0.0))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    from huggingface_hub import constants

    with fake_hub() as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants._HF_DEFAULT_ENDPOINT, hub.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no_token"))
        monkeypatch.setenv("HF_TOKEN", OWNER)
        yield hub


@pytest.fixture(name="run")
def made_run(tmp_path: Path) -> Path:
    return rows.described_run(tmp_path / "first", {"a": [1.0, 0.0, None], "b": [1.0, 1.0]})
