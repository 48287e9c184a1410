"""PettingZoo's own suites, with its warnings as errors but for three that any text brings about."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("pettingzoo")

from pettingzoo.test import api_test, parallel_api_test, parallel_seed_test, render_test, seed_test
from pettingzoo.utils import turn_based_aec_to_parallel

from llmgym.errors import ConfigError, MissingExtraError, TaskError
from llmgym.multiagent import aec_env, parallel_env

GAMES = ["Leduc", "Negotiation", "Taboo", "Debate", "Secret"]
TEXT = (  # what PettingZoo says of observations and actions that are no arrays
    "Observation is not a NumPy array",
    "Observation space for each agent probably should be",
    "Action space for each agent probably should be",
)


@contextlib.contextmanager
def strictly() -> Iterator[None]:
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("error")
        for text in TEXT:
            warnings.filterwarnings("ignore", message=text)
        yield


@pytest.mark.parametrize("name", GAMES)
def test_the_suites_of_pettingzoo(name: str) -> None:
    env_id = f"llmgym/{name}-v0"
    with strictly():
        api_test(aec_env(env_id), num_cycles=60)
        seed_test(lambda: aec_env(env_id), num_cycles=30)
        parallel_api_test(parallel_env(env_id), num_cycles=60)
        parallel_seed_test(lambda: parallel_env(env_id), num_cycles=30)
        render_test(lambda render_mode: aec_env(env_id, render_mode=render_mode))


def test_turns_become_rounds() -> None:
    with strictly():
        parallel_api_test(turn_based_aec_to_parallel(aec_env("llmgym/Leduc-v0")), num_cycles=30)


@pytest.mark.parametrize("name", GAMES)
def test_games_of_legal_moves(name: str) -> None:
    """Random messages are no moves; scripts are, and lead to the same end in both APIs."""
    turns, rounds = aec_env(f"llmgym/{name}-v0"), parallel_env(f"llmgym/{name}-v0")
    for seed in range(5):
        turns.reset(seed=seed)
        total: dict[str, float] = dict.fromkeys(turns.possible_agents, 0.0)
        for agent in turns.agent_iter():
            observation, reward, ended, cut, info = turns.last()
            assert observation in turns.observation_space(agent)
            total[agent] += reward
            assert not cut
            turns.step(None if ended else turns._play.game.script(agent))
        assert info["metrics"]["illegal_moves"] == 0
        _, infos = rounds.reset(seed=seed)
        earned: dict[str, float] = {}
        while rounds.agents:
            active = [agent for agent in rounds.agents if infos[agent]["active"]]
            moves = {agent: rounds._play.game.script(agent) for agent in active}
            _, earned, ended, _, infos = rounds.step(moves)
        assert earned == total
        assert all(ended.values())
        assert rounds.step({}) == ({}, {}, {}, {}, {})  # nobody is left


def test_who_is_to_speak_says_something() -> None:
    env = parallel_env("llmgym/Debate-v0")
    env.reset(seed=0)
    with pytest.raises(ValueError, match="debater_1 is to speak"):
        env.step({"debater_0": "Ada has sold more."})


def test_what_pettingzoo_gets() -> None:
    with pytest.raises(ConfigError, match="is no game for several agents"):
        aec_env("llmgym/Calculator-v0")
    env = aec_env("llmgym/Leduc-v0", hands=2)
    with pytest.raises(TaskError, match="nothing"):
        env.reset(options={"task_id": "nothing"})
    with pytest.raises(TaskError, match="'task' takes a Task, not 'train-0'"):
        env.reset(options={"task": "train-0"})
    env.reset(seed=3)
    first = env.infos["player_0"]["task_id"]
    env.reset()
    assert env.infos["player_0"]["task_id"] != first
    env.reset(options={"task_id": first})
    assert env.infos["player_0"]["task_id"] == first


def test_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> Any:
        return None

    monkeypatch.setattr("llmgym.loading.find_spec", absent)
    with pytest.raises(MissingExtraError, match=r"llmgym\[multiagent\]"):
        parallel_env("llmgym/Leduc-v0")
