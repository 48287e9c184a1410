from __future__ import annotations

import math
from typing import Any

import pytest

from llmgym.errors import ConfigError, EnvironmentFailure
from llmgym.sandbox import Limits, SandboxFailure


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("wall", 0),
        ("wall", math.nan),
        ("cpu", "5"),
        ("memory", 1.5),
        ("memory", 100),
        ("processes", -1),
        ("files", True),
    ],
)
def test_limits_that_make_no_sense(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=rf"Limits\({name}=\) must be .* it is {value!r}"):
        Limits(**{name: value})


def test_a_failure_of_the_sandbox_leaves_an_episode_unscored() -> None:
    failure = SandboxFailure("gone")
    assert isinstance(failure, EnvironmentFailure)
    assert failure.kind == "infrastructure"
