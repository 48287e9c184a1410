"""Environments from elsewhere keep to what llmgym promises: a sample of them, and all by `make test-sweep`."""

from __future__ import annotations

from collections import defaultdict
from itertools import chain

import pytest

from llmgym.catalogue import EnvEntry
from llmgym.registry import list_envs
from llmgym.tasks import stable_hash
from llmgym.testing import check_text_env
from llmgym.testing.audit import audit_env

_SAMPLED = 2  # ids of an ecosystem that every run of the tests takes
_OUTSIDE = {"judge", "network"}


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


@pytest.mark.parametrize("entry", _sampled())
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.timeout(600)
def test_an_adapted_environment_conforms(entry: EnvEntry) -> None:
    _expect_here(entry)
    check_text_env(entry.id, num_tasks=6, seconds=1)


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
