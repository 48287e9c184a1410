"""TextArena's games leave nothing behind, can be won, and pay for that alone."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from typing import Any

import gymnasium
import numpy as np
import pytest

from llmgym.errors import ConfigError
from tests.snippets import ROOT

pytest.importorskip("textarena")

from llmgym.adapters.textarena.env import TextArena, games
from llmgym.adapters.textarena.games import begin
from llmgym.adapters.textarena.settings import EQUATIONS
from llmgym.adapters.textarena.table import GAMES, REFUSED

LEVELS = [name for name, entry in GAMES.items() if entry.id.count("-") > 1 or entry.family in ("WordLadder", "Sokoban")]


def make(name: str, **options: Any) -> TextArena:
    env = gymnasium.make(f"llmgym/TextArena-{name}-v0", **options).unwrapped
    assert isinstance(env, TextArena)
    return env


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.sweep if n in LEVELS else []) for n in GAMES])
@pytest.mark.timeout(300)
def test_the_oracle_wins(name: str) -> None:
    env = make(name)
    for seed in range(3):
        env.reset(seed=seed)
        assert env.task is not None
        for message in env.oracle(env.task):
            _, reward, terminated, truncated, info = env.step(message)
            if terminated or truncated:
                break
        assert (reward, truncated, info["metrics"]["by_error"]) == (1, False, 0)


def test_nothing_global_is_left_changed(capsys: pytest.CaptureFixture[str]) -> None:
    import nltk
    import textarena.core

    before, numbers, download = random.getstate(), np.random.get_state()[1].copy(), nltk.download
    for name in ("wordsearch", "sokoban", "crosswords", "secretary", "hangman"):
        env = make(name)
        env.reset(seed=1)
        env.step("[1 1 1 1] [1 1]")
    assert random.getstate() == before
    assert (np.random.get_state()[1] == numbers).all()
    assert nltk.download is download
    assert textarena.core.random is random
    assert capsys.readouterr().out == ""


def test_games_at_once_do_not_meet() -> None:
    envs = [make("mastermind"), make("mastermind")]
    for seed, env in enumerate(envs):
        env.reset(seed=seed)
    secrets = [list(env.game.env.state.game_state["secret_code"]) for env in envs]
    assert secrets[0] != secrets[1]
    wrong = next(code for code in ([1, 2, 3, 4], [4, 3, 2, 1], [2, 1, 4, 3]) if code not in secrets)
    for env in envs:
        env.step(f"[{' '.join(map(str, wrong))}]")
    assert [env.game.env.state.game_state["secret_code"] for env in envs] == secrets


def test_secrets_of_the_test_split_are_not_trained_on() -> None:
    tasks = games(["guessthenumber"])
    drawn = {
        split: {
            begin(task.metadata["game"], task.metadata["seed"]).env.game_number
            for task in (tasks.draw(split, seed, 0) for seed in range(60))
        }
        for split in tasks.splits
    }
    assert drawn["train"]
    assert drawn["test"]
    assert not drawn["train"] & drawn["test"]
    assert games(["towerofhanoi"]).splits == ("train",)


def test_a_reward_that_is_text_is_none() -> None:
    for name in ("countdown", "cryptarithm", "threecardmonte"):
        env = make(name, scoring="partial")
        env.reset(seed=0)
        for _ in range(2):
            _, reward, terminated, _, info = env.step("no move")
        assert terminated
        assert (0 <= reward < 1, info["metrics"]["by_error"]) == (True, 1)


def test_one_card_three_times_is_no_set() -> None:
    env = make("set", scoring="partial")
    env.reset(seed=0)
    env.step("[1, 1, 1]")
    _, reward, terminated, _, _ = env.step("[2, 2, 2]")
    assert (reward, terminated) == (0, True)


def test_a_mine_ends_the_game() -> None:
    env = make("minesweepersmall")
    env.reset(seed=0)
    env.step("[2 2]")
    row, column = next((r, c) for r in range(5) for c in range(5) if env.game.env.grid[r][c] == -1)
    observation, reward, terminated, _, _ = env.step(f"[{row} {column}]")
    assert (reward, terminated) == (0, True)
    assert observation[0]["content"].endswith("The game is over.")


def test_a_wrong_digit_does_not_win() -> None:
    env = make("sudokuveryeasy")
    env.reset(seed=0)
    _, reward, terminated, _, _ = env.step("[1 1 1]")
    _, reward, terminated, _, _ = env.step("[1 1 1]")
    assert (reward, terminated) == (0, True)


def test_equations_hold() -> None:
    for equation, digits in EQUATIONS.items():
        letters = sorted(set(equation) - set(" +="))
        value = dict(zip(letters, digits, strict=True))
        left, right = ("".join(value.get(c, c) for c in side) for side in equation.split("="))
        assert sum(map(int, left.split("+"))) == int(right)


def test_a_game_is_the_same_in_a_process_with_other_hashes() -> None:
    code = (
        "import gymnasium, llmgym\n"
        "for name in ('logicpuzzle', 'crosswords', 'wordsearch', 'hangman', 'guessthenumber'):\n"
        "    env = gymnasium.make(f'llmgym/TextArena-{name}-v0')\n"
        "    print(env.reset(seed=5)[0]); print(env.step('[0 0 0 1] [0 1 a] [0 2 b] [park alice O] [home bob X]')[0])"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code], env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            capture_output=True, text=True, timeout=100, check=True,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(said) == 1


def test_what_makes_no_sense_is_refused() -> None:
    assert all(len(why.split()) > 3 for why in REFUSED.values())
    for arguments, said in [
        ({"game": "Klondike"}, "cannot be made right: its module"),
        ({"game": "chess"}, "is none; there is countdown"),
        ({"scoring": "half"}, "'full' or 'partial'"),
    ]:
        with pytest.raises(ConfigError, match=said):
            TextArena(**arguments)
