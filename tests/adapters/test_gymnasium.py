"""Gymnasium's toy environments in text."""

from __future__ import annotations

from typing import Any

import gymnasium
import pytest

from llmgym.adapters.gymnasium.game import GymnasiumGame
from llmgym.errors import ConfigError


def make(name: str, **options: Any) -> GymnasiumGame:
    env = gymnasium.make(f"llmgym/{name}-v0", **options).unwrapped
    assert isinstance(env, GymnasiumGame)
    return env


def play(env: GymnasiumGame, seed: int) -> tuple[float, dict[str, float]]:
    env.reset(seed=seed)
    assert env.task is not None
    for message in env.oracle(env.task):
        _, reward, terminated, truncated, info = env.step(message)
        if terminated or truncated:
            return float(reward), info["metrics"]
    raise AssertionError


@pytest.mark.parametrize("name", ["FrozenLake", "FrozenLake-large", "CliffWalking", "Taxi"])
def test_the_oracle_wins_where_nothing_is_left_to_chance(name: str) -> None:
    assert all(play(make(name), seed)[0] == 1 for seed in range(10))


def test_the_return_is_that_of_gymnasium() -> None:
    env = make("Taxi", scoring="return")
    reward, metrics = play(env, 0)
    assert reward == metrics["return"] == 21 - metrics["moves"]
    env = make("CliffWalking", scoring="return")
    env.reset(seed=0)
    env.world.s = 36  # type: ignore[attr-defined]
    env.step("<move>right</move>")
    assert env.total == -100


@pytest.mark.parametrize("text", ["", "north of here", "<move>jump</move>", "up" * 3000])
def test_what_is_no_move_costs_one(text: str) -> None:
    env = make("FrozenLake")
    env.reset(seed=0)
    observation, *_ = env.step(text)
    assert observation[0]["content"].startswith("That is no move; there is left, down, right, up.")
    assert (env.moves_left, env.metrics["illegal_moves"]) == (99, 1)


def test_several_moves_are_made_up_to_the_end() -> None:
    env = make("FrozenLake")
    env.reset(seed=0)
    _, reward, terminated, _, info = env.step(f"<move>{'left ' * 200}</move>")
    assert (reward, terminated, info["metrics"]["moves"]) == (0, True, 100)


def test_what_makes_no_sense_is_refused() -> None:
    for name, options in [("FrozenLake", {"size": 1}), ("Taxi", {"scoring": "win or lose"})]:
        with pytest.raises(ConfigError):
            make(name, **options)
