"""The environment keeps to what llmgym promises of one, and rewards what is right."""

from __future__ import annotations

from pathlib import Path

import gymnasium
import pytest
from llmgym import Task, assistant, register_envs, tool_call
from llmgym.testing import check_text_env

register_envs(Path(__file__).parents[1] / "scaffolded" / "registry.yaml")
TASK = Task(prompt="Drive the robot to the flag.", metadata={"floor": ["R#.", "..F", "#.."]})


@pytest.mark.parametrize("env_id", ["scaffolded/Scaffolded-v0", "scaffolded/Scaffolded-hard-v0"])
def test_it_conforms(env_id: str) -> None:
    check_text_env(env_id, num_tasks=20)


@pytest.mark.parametrize(
    ("moves", "said", "reward"),
    [
        (["down", "right", "right"], "The robot is at the flag.", 1),
        (["up", "down", "right", "right"], "The robot is at the flag.", 1),
        (["right"], "The robot has fallen into a pit.", 0),
        (["left"], "There is a wall. The robot stays where it is.", 0),
        (["down"], "The robot is in row 2, column 1.", 0),
    ],
)
def test_what_moves_earn(moves: list[str], said: str, reward: float) -> None:
    env = gymnasium.make("scaffolded/Scaffolded-v0", max_turns=len(moves))
    env.reset(options={"task": TASK})
    steps = [env.step(assistant("", tool_call("move", direction=move))) for move in moves]
    assert steps[-1][0][-1]["content"] == said
    assert steps[-1][1] == reward
