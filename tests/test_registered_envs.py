"""Every registered environment keeps to what llmgym promises of one."""

from __future__ import annotations

import pytest

from llmgym.catalogue import EnvEntry
from llmgym.registry import list_envs, register_envs
from llmgym.testing import check_text_env
from tests.walled import no_wall

register_envs()
_OUTSIDE = {"judge", "network"}


@pytest.mark.parametrize("entry", list_envs(), ids=lambda entry: entry.id)
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.timeout(300)
def test_a_registered_environment_conforms(entry: EnvEntry) -> None:
    if outside := _OUTSIDE.intersection(entry.needs):
        pytest.skip(f"needs {', '.join(sorted(outside))}")
    if "sandbox" in entry.needs and (why := no_wall()):
        pytest.skip(why)
    check_text_env(entry.id, seconds=60)


def test_there_are_environments() -> None:
    assert list_envs()
