"""The environment keeps to what llmgym promises of one, and rewards what is right."""

from __future__ import annotations

from pathlib import Path

import gymnasium
import pytest
from llmgym import Task, register_envs
from llmgym.testing import check_text_env

register_envs(Path(__file__).parents[1] / "scaffolded" / "registry.yaml")
TASK = Task(prompt="Guess my number from 1 to 7.", answer=6, metadata={"low": 1, "high": 7})


@pytest.mark.parametrize("env_id", ["scaffolded/Scaffolded-v0", "scaffolded/Scaffolded-easy-v0"])
def test_it_conforms(env_id: str) -> None:
    check_text_env(env_id, num_tasks=20)


@pytest.mark.parametrize(
    ("said", "answers", "reward"),
    [
        (["4", "6"], ["Higher."], 1),
        (["My guess is 7.", "**6**"], ["Lower."], 1),
        (["What?", "6"], ["I see no number. Reply with one number."], 1),
        (["1", "2", "3"], ["Higher.", "Higher."], 0),
        (["1", "2", "6 or 7"], ["Higher.", "Higher.", "I see no number. Reply with one number."], 0),
    ],
)
def test_what_guesses_earn(said: list[str], answers: list[str], reward: float) -> None:
    env = gymnasium.make("scaffolded/Scaffolded-v0", max_turns=len(said))
    env.reset(options={"task": TASK})
    steps = [env.step(guess) for guess in said]
    assert [message["content"] for step in steps for message in step[0]] == answers
    assert steps[-1][1] == reward
