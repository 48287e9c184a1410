"""The environment keeps to what llmgym promises of one, and rewards what is right."""

from __future__ import annotations

from pathlib import Path

import gymnasium
import pytest
from llmgym import Task, register_envs
from llmgym.testing import check_text_env

register_envs(Path(__file__).parents[1] / "scaffolded" / "registry.yaml")
TASK = Task(prompt="What is the largest of these numbers? 120, 1450, 300", answer=1450)


@pytest.mark.parametrize("env_id", ["scaffolded/Scaffolded-v0", "scaffolded/Scaffolded-hard-v0"])
def test_it_conforms(env_id: str) -> None:
    check_text_env(env_id, num_tasks=20)


@pytest.mark.parametrize(
    ("said", "reward"),
    [
        ("1450", 1),
        ("1,450.", 1),
        ("The answer is **1450**.", 1),
        ("1451", 0),
        ("145", 0),
        ("1450 or 300", 0),
        ("120, 1450, 300", 0),
        ("", 0),
    ],
)
def test_what_a_reply_earns(said: str, reward: float) -> None:
    env = gymnasium.make("scaffolded/Scaffolded-v0")
    env.reset(options={"task": TASK})
    assert env.step(said)[1] == reward
