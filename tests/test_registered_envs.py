"""Every registered environment keeps to what llmgym promises of one, and its rewards are true."""

from __future__ import annotations

import gymnasium
import pytest

from llmgym.catalogue import EnvEntry
from llmgym.env import ToolEnv
from llmgym.envs.games import Game
from llmgym.registry import list_envs, register_envs
from llmgym.testing import check_text_env
from llmgym.testing.audit import audit_env
from tests.walled import no_wall

register_envs()
_ENTRIES = list_envs()
_BASES = [entry for entry in _ENTRIES if entry.id == entry.base]
_LONG = {"llmgym/Files-v0", "llmgym/Math-v0", "llmgym/Shell-v0", "llmgym/Tiles2048-v0"}  # more than three seconds
_MARKED = [
    pytest.param(entry, marks=[pytest.mark.slow] if entry not in _BASES or entry.id in _LONG else [], id=entry.id)
    for entry in _ENTRIES
]
_OUTSIDE = {"judge", "network"}


def _expect_here(entry: EnvEntry) -> None:
    if outside := _OUTSIDE.intersection(entry.needs):
        pytest.skip(f"needs {', '.join(sorted(outside))}")
    if "sandbox" in entry.needs and (why := no_wall()):
        pytest.skip(why)


@pytest.mark.parametrize("entry", _MARKED)
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.timeout(300)
def test_a_registered_environment_conforms(entry: EnvEntry) -> None:
    _expect_here(entry)
    # A variant differs in its tasks, and shares the code that most checks are about.
    check_text_env(entry.id, num_tasks=10, seconds=0.3 if entry in _BASES else 0.1)


@pytest.mark.slow
@pytest.mark.parametrize("entry", _BASES, ids=lambda entry: entry.id)
@pytest.mark.timeout(300)
def test_the_rewards_of_a_registered_environment_are_true(entry: EnvEntry) -> None:
    _expect_here(entry)
    report = audit_env(entry.id, num_tasks=4, seconds=30)  # `benchmarks/audit.py` plays more
    assert [(fault.name, fault.text, fault.examples) for fault in report.faults] == []


@pytest.mark.parametrize("entry", [entry for entry in _ENTRIES if "game" in entry.domains], ids=lambda entry: entry.id)
def test_a_game_can_be_played_one_move_in_a_message(entry: EnvEntry) -> None:
    core = gymnasium.make(entry.id).unwrapped
    assert isinstance(core, ToolEnv)
    for seed in range(50 if isinstance(core, Game) and core.max_turns > 1 else 0):
        core.reset(seed=seed)
        assert core.moves_left <= core.max_turns  # which the task tells


def test_what_the_registry_allows_has_a_reason() -> None:
    assert _BASES
    assert [entry.id for entry in _ENTRIES for reason in entry.allow.values() if len(reason.split()) < 3] == []
