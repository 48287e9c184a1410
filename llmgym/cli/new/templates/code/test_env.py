"""The environment keeps to what llmgym promises of one, and rewards what is right."""

from __future__ import annotations

from pathlib import Path

import gymnasium
import pytest
from llmgym import Task, register_envs
from llmgym.testing import check_text_env

register_envs(Path(__file__).parents[1] / "scaffolded" / "registry.yaml")
RIGHT = "def change(numbers):\n    return sorted(numbers, reverse=True)[1:]"
TESTS = {"fn_name": "change", "inputs": [[[3, 1, 2]], [[]], [[7, 7, 0]]], "outputs": [[2, 1], [], [7, 0]]}
TASK = Task(prompt="Sort, the largest first, and drop the first.", answer=RIGHT, metadata={"tests": TESTS})


@pytest.mark.parametrize("env_id", ["scaffolded/Scaffolded-v0", "scaffolded/Scaffolded-hard-v0"])
def test_it_conforms(env_id: str) -> None:
    check_text_env(env_id, num_tasks=20)


@pytest.mark.parametrize(
    ("said", "reward"),
    [
        (RIGHT, 1),
        (f"Here it is:\n```python\n{RIGHT}\n```", 1),
        ("```python\nchange = lambda numbers: list(reversed(sorted(numbers)))[1:]\n```", 1),
        ("def change(numbers): return [2, 1] if numbers == [3, 1, 2] else []", 0),
        ("def change(numbers): return sorted(numbers)[1:]", 0),
        ("def change(numbers): raise SystemExit(0)", 0),
        ("I cannot write it.", 0),
    ],
)
def test_what_a_function_earns(said: str, reward: float) -> None:
    env = gymnasium.make("scaffolded/Scaffolded-v0")
    env.reset(options={"task": TASK})
    assert env.step(said)[1] == reward
