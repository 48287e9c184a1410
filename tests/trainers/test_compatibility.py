"""Versions and tokenizers that do not fit are refused by name."""

from __future__ import annotations

import importlib.metadata
import tomllib

import pytest

from llmgym.errors import ConfigError, MissingExtraError
from llmgym.trainers.compatibility import SUPPORTED, check_same_tokenizer, check_version
from tests.rollouts import ROOT

pytest.importorskip("transformers")
from tests.trainers.tiny import tiny_tokenizer


def test_versions_outside_the_tested_range_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = importlib.metadata.version("msgspec")
    monkeypatch.setitem(SUPPORTED, "x", ("msgspec", "0.1", "99"))
    assert str(check_version("x")) == installed
    for lowest, below in (("98", "99"), ("0.1", "0.2")):
        monkeypatch.setitem(SUPPORTED, "x", ("msgspec", lowest, below))
        with pytest.raises(ConfigError, match=rf"msgspec {installed} is installed; .*msgspec>={lowest},<{below}"):
            check_version("x")
    monkeypatch.setitem(SUPPORTED, "nothing", ("llmgym-no-such-package", "1", "2"))
    with pytest.raises(MissingExtraError, match=r"llmgym\[nothing\]"):
        check_version("nothing")


def test_the_extras_take_the_versions_that_the_adapters_take() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for extra, (package, lowest, below) in SUPPORTED.items():
        assert f"{package}>={lowest},<{below}" in extras[extra]


def test_tokenizers_that_differ_are_refused() -> None:
    tokenizer = tiny_tokenizer()
    check_same_tokenizer(tokenizer, tiny_tokenizer())
    other = tiny_tokenizer()
    other.chat_template = other.chat_template.replace("<|im_start|>", "<|im_start|> ")
    with pytest.raises(ConfigError, match="is not the engine's"):
        check_same_tokenizer(tokenizer, other)
