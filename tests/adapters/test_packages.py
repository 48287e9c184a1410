"""Packages that are there in another version than their adapter was made for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from llmgym.adapters import packages
from llmgym.errors import ConfigError, MissingExtraError


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    packages._clash.cache_clear()
    yield
    packages._clash.cache_clear()


def installed(folder: Path, name: str, version: str, *requires: str) -> None:
    (folder / name).mkdir()
    (folder / name / "__init__.py").touch()
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir()
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    info.joinpath("METADATA").write_text("\n".join([*lines, *(f"Requires-Dist: {each}" for each in requires)]) + "\n")


def expect() -> None:
    packages.expect_packages("AgentDojo", "agentdojo", "agentdojo")


def test_the_version_of_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(tmp_path, "agentdojo", "0.1.35")
    monkeypatch.syspath_prepend(tmp_path)
    expect()


def test_another_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(tmp_path, "agentdojo", "0.1.20")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError) as error:
        expect()
    said = "AgentDojo needs agentdojo==0.1.35, and 0.1.20 is installed: pip install 'llmgym[agentdojo]'"
    assert str(error.value) == said


def test_another_version_that_something_else_asks_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(tmp_path, "agentdojo", "0.1.20")
    installed(tmp_path, "rival", "7.0", "agentdojo<0.1.30")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=r"0\.1\.20 is installed, for rival 7\.0: .*python= of llmgym/Verifiers-v0"):
        expect()


def test_none(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MissingExtraError, match="agentdojo"):
        packages.expect_packages("AgentDojo", "agentdojo", "no_such_module")
