"""Environments from elsewhere keep to what llmgym promises: a sample of them, and all by `make test-sweep`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from llmgym.adapters import packages
from llmgym.catalogue import EnvEntry
from llmgym.errors import ConfigError, MissingExtraError
from llmgym.registry import list_envs, make_core
from llmgym.tasks import stable_hash
from llmgym.testing import check_text_env
from llmgym.testing.audit import audit_env
from tests.snippets import ROOT

_SAMPLED = 2  # ids of an ecosystem that every run of the tests takes
_OUTSIDE = {"judge", "network"}
_URL = "http://127.0.0.1:1"
# Arguments without which there is nothing to make; nothing is asked of them.
_WHERE: dict[str, dict[str, Any]] = {
    "mcp": {"server": _URL},
    "nemo-gym": {"url": _URL, "tasks": "rows.jsonl"},
    "openenv": {"url": _URL},
    "remote": {"url": _URL},
}


def _sampled() -> list[object]:
    by_ecosystem = defaultdict[str, list[EnvEntry]](list)
    for entry in list_envs(ecosystem=None):
        if entry.ecosystem:
            by_ecosystem[entry.ecosystem].append(entry)
    for entries in by_ecosystem.values():
        entries.sort(
            key=lambda entry: (entry.id == entry.base, stable_hash(entry.id))
        )  # one of each kind, not mixtures
    return [
        pytest.param(entry, id=entry.id, marks=[] if place < _SAMPLED else pytest.mark.sweep)
        for place, entry in chain.from_iterable(map(enumerate, by_ecosystem.values()))
    ]


def _expect_here(entry: EnvEntry) -> None:
    if not entry.installed:
        pytest.skip(f"needs {', '.join(entry.modules)}")
    if outside := _OUTSIDE.intersection(entry.needs):
        pytest.skip(f"needs {', '.join(sorted(outside))}")


@pytest.mark.slow
@pytest.mark.parametrize("entry", _sampled())
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.timeout(600)
def test_an_adapted_environment_conforms(entry: EnvEntry) -> None:
    _expect_here(entry)
    check_text_env(entry.id, num_tasks=6, seconds=1)


@pytest.mark.slow
@pytest.mark.parametrize("entry", _sampled())
@pytest.mark.timeout(600)
def test_the_rewards_of_an_adapted_environment_are_true(entry: EnvEntry) -> None:
    _expect_here(entry)
    report = audit_env(entry.id, num_tasks=6, seconds=10)
    assert [(fault.name, fault.text, fault.examples) for fault in report.faults] == []


def test_an_id_from_elsewhere_is_in_no_list_but_that_of_its_ecosystem() -> None:
    elsewhere = [entry for entry in list_envs(ecosystem=None) if entry.ecosystem]
    assert elsewhere
    assert not [entry for entry in list_envs() if entry.ecosystem]
    for name in {entry.ecosystem for entry in elsewhere}:
        assert list_envs(ecosystem=name) == [entry for entry in elsewhere if entry.ecosystem == name]


# --- packages -------------------------------------------------------------------------------------

#: Plays an episode, and says what of the process is not as it was.
_PLAYED = """
import logging, os, random, signal, sys, warnings
import numpy as np
from llmgym.registry import make_core

def seen():
    signals = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)]
    root = logging.getLogger()
    return {
        "random": random.getstate(), "numpy": [str(part) for part in np.random.get_state()], "signals": signals,
        "warnings": warnings.filters[:], "showwarning": warnings.showwarning, "variables": dict(os.environ),
        "logging": (root.level, root.handlers[:], logging.root.manager.disable), "excepthook": sys.excepthook,
        "folder": (os.getcwd(), sorted(os.listdir())), "recursion": sys.getrecursionlimit(),
    }

before = seen()
env = make_core(sys.argv[1])
env.reset(seed=0)
for message in env.oracle(env.task):
    *_, terminated, truncated, _ = env.step(message)
    if terminated or truncated:
        break
env.close()
after = seen()
print([name for name in before if before[name] != after[name]])
"""


def _mixtures() -> list[EnvEntry]:
    return [entry for entry in list_envs(ecosystem=None) if entry.ecosystem and entry.id == entry.base]


@pytest.mark.parametrize("entry", _mixtures(), ids=lambda entry: entry.id)
def test_a_process_is_as_it_was(entry: EnvEntry, tmp_path: Path) -> None:
    _expect_here(entry)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _PLAYED, entry.id], cwd=tmp_path, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)}, timeout=100, check=False,
    )  # fmt: skip
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr


def _extra(entry: EnvEntry) -> str:
    extra = next((need for need in entry.needs if need in _extras()), None)
    return extra or pytest.skip(f"the package of {entry.ecosystem} comes with llmgym, or lives in a worker")


def _extras() -> set[str]:
    return {*tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]}


@pytest.mark.parametrize("entry", _mixtures(), ids=lambda entry: entry.id)
def test_without_its_package_it_names_what_to_install(entry: EnvEntry, monkeypatch: pytest.MonkeyPatch) -> None:
    extra = _extra(entry)
    monkeypatch.setattr("llmgym.loading.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=rf"pip install 'llmgym\[{extra}\]'"):
        make_core(entry.id, **_WHERE.get(entry.ecosystem, {}))


@pytest.mark.parametrize("entry", _mixtures(), ids=lambda entry: entry.id)
def test_with_another_version_of_its_package_it_names_both(entry: EnvEntry, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = packages._requirements("llmgym", _extra(entry))[0]
    monkeypatch.setattr("llmgym.loading.find_spec", lambda name: name)
    monkeypatch.setattr("llmgym.adapters.packages.metadata.version", lambda name: "0.0.1")
    packages._clash.cache_clear()
    said = f"needs {wanted.name}{wanted.specifier}, and 0.0.1 is installed"
    try:
        with pytest.raises(ConfigError, match=re.escape(said)):
            make_core(entry.id, **_WHERE.get(entry.ecosystem, {}))
    finally:
        packages._clash.cache_clear()
