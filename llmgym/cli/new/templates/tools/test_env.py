"""The environment keeps to what llmgym promises of one, and rewards what is right."""

from __future__ import annotations

from pathlib import Path

import gymnasium
import pytest
from llmgym import Task, assistant, register_envs, tool_call
from llmgym.testing import check_text_env

register_envs(Path(__file__).parents[1] / "scaffolded" / "registry.yaml")
STOCK = {"lamp": {"pieces": 30, "price": 45}, "rope": {"pieces": 5, "price": 12}}
TASK = Task(prompt="What are all lamps worth?", answer=1350, metadata={"stock": STOCK, "asked": ["lamp"]})


@pytest.mark.parametrize("env_id", ["scaffolded/Scaffolded-v0", "scaffolded/Scaffolded-easy-v0"])
def test_it_conforms(env_id: str) -> None:
    check_text_env(env_id, num_tasks=20)


@pytest.mark.parametrize(
    ("said", "reward"),
    [("1350", 1), ("They are worth 1,350.", 1), ("**1350**", 1), ("1351", 0), ("30 pieces at 45 each", 0), ("", 0)],
)
def test_what_a_reply_earns(said: str, reward: float) -> None:
    env = gymnasium.make("scaffolded/Scaffolded-v0")
    env.reset(options={"task": TASK})
    assert env.step(said)[1] == reward


def test_tools_say_what_is_in_stock_and_what_to_do_otherwise() -> None:
    env = gymnasium.make("scaffolded/Scaffolded-v0")
    env.reset(options={"task": TASK})
    calls = assistant(
        "", tool_call("pieces", item="Lamps"), tool_call("price", item="lamp"), tool_call("price", item="x")
    )
    results, *_ = env.step(calls)
    assert [message["content"] for message in results] == ["30", "45", "Error: there is no 'x'; there is lamp, rope"]
