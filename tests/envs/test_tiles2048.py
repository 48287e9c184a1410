from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.envs.games import DIRECTIONS
from llmgym.envs.tiles2048 import Tiles2048
from llmgym.envs.tiles2048.board import begun, grown, slid, slide
from llmgym.envs.tiles2048.games import LOOPS
from llmgym.errors import ConfigError, TaskError
from llmgym.messages import assistant, tool_call
from tests.envs.checks import play
from tests.envs.games import answer, calls, check_game, mean_reward, start, written

VARIANTS: dict[str, dict[str, Any]] = {
    "base": {},
    "easy": {"target": 32, "moves": 18, "max_turns": 30},
    "hard": {"target": 128, "moves": 70, "max_turns": 90},
}
BEGUN = [(2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), (0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0)]
BOARDS = st.lists(st.integers(0, 4), min_size=16, max_size=16).map(tuple)


@pytest.mark.parametrize("name", ["base", "easy", "hard"])
def test_a_game(name: str) -> None:
    check_game(Tiles2048, VARIANTS[name], 3)


def test_tasks_are_many() -> None:
    tasks = Tiles2048(target=32, moves=18).tasks
    assert len({tasks.draw("train", seed, 0).content_hash for seed in range(50)}) == 50


@pytest.mark.parametrize("name", ["easy"])
def test_slides_over_and_over_lose(name: str) -> None:
    env = Tiles2048(**VARIANTS[name])
    for loop in (*LOOPS, ("left", "down"), ("up", "up", "left", "left"), ("left", "right")):
        each = [{"direction": direction} for direction in loop * 20]
        assert mean_reward(env, lambda env, turn, each=each: calls("slide", each), 4) <= (0 if loop in LOOPS else 0.25)


@pytest.mark.parametrize(
    ("line", "after"),
    [
        ((0, 0, 0, 0), (0, 0, 0, 0)),
        ((0, 1, 0, 2), (1, 2, 0, 0)),
        ((1, 1, 0, 0), (2, 0, 0, 0)),
        ((1, 0, 0, 1), (2, 0, 0, 0)),
        ((1, 1, 1, 0), (2, 1, 0, 0)),
        ((1, 1, 1, 1), (2, 2, 0, 0)),
        ((2, 1, 1, 0), (2, 2, 0, 0)),
        ((1, 1, 2, 0), (2, 2, 0, 0)),
        ((3, 2, 1, 1), (3, 2, 2, 0)),
        ((1, 2, 1, 2), (1, 2, 1, 2)),
    ],
)
def test_a_line_slides(line: tuple[int, ...], after: tuple[int, ...]) -> None:
    assert slid(line) == after


@given(BOARDS, st.sampled_from(list(DIRECTIONS)))
def test_slides_keep_the_sum_and_leave_no_gap(board: tuple[int, ...], direction: Any) -> None:
    after = slide(board, direction)
    assert sum(1 << tile for tile in after if tile) == sum(1 << tile for tile in board if tile)
    rows, columns = DIRECTIONS[direction]
    for row in range(4):
        for column in range(4):
            r, c = row + rows, column + columns
            if after[4 * row + column] and 0 <= r < 4 and 0 <= c < 4:
                assert after[4 * r + c]


@given(st.integers(0, 1 << 32), st.integers(0, 50))
def test_a_tile_comes_to_an_empty_cell(seed: int, number: int) -> None:
    board = begun(seed)
    after = grown(board, seed, number)
    changed = [cell for cell in range(16) if after[cell] != board[cell]]
    assert len(changed) == 1
    assert board[changed[0]] == 0
    assert after[changed[0]] in (1, 2)


def test_which_tiles_come_is_written_down() -> None:
    """A change of these numbers changes every task."""
    assert [begun(seed) for seed in (0, 1)] == BEGUN
    fours = sum(2 in grown((0,) * 16, seed, 2) for seed in range(2000))
    assert 150 < fours < 250


def test_an_episode() -> None:
    env = Tiles2048()
    env.reset(seed=0)
    assert env.task
    answers = [answer(env, "slide", direction=direction) for direction in ("left", "left", "left", "left")]
    stuck = [said for said in answers if said.startswith("Error: nothing can slide left; take another direction.\n")]
    assert env.metrics["illegal_moves"] == len(stuck)
    assert env.moves_left == 32
    assert "You have 32 moves left." in answers[-1]
    env.step("<move>down, up</move>")
    assert env.moves_left in (30, 31)


def test_a_full_board_is_lost() -> None:
    env = Tiles2048()
    env.reset(seed=0)
    env.board = (1, 2, 1, 2, 2, 1, 2, 1, 1, 2, 1, 2, 2, 1, 2, 0)
    for seed in range(100):
        env.seed = seed
        if grown(env.board, seed, 2)[15] == 1:
            break
    _, reward, terminated, *_ = env.step(assistant("", tool_call("slide", direction="right")))
    assert reward == 0
    assert terminated == env.lost


def test_the_same_slides_give_the_same_game() -> None:
    seen = []
    for _ in range(2):
        env = Tiles2048()
        env.reset(seed=3)
        seen.append([answer(env, "slide", direction=direction) for direction in ("left", "up", "right", "up")])
    assert seen[0] == seen[1]


@pytest.mark.parametrize("direction", ["north", None, 1, ["up"], "UP"])
def test_arguments_that_do_not_fit(direction: Any) -> None:
    env = Tiles2048()
    env.reset(seed=0)
    assert answer(env, "slide", direction=direction).startswith("Error: invalid arguments for slide")


def test_own_games(tmp_path: Path) -> None:
    env = Tiles2048(tasks=written(tmp_path, seed=5, target=32, moves=60))
    env.reset(seed=0)
    assert play(env, env.oracle(env.task)) == 1.0
    start(env, seed=5, target=16, moves=20)
    assert "16" in str(env.task and env.task.prompt)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"seed": 1, "target": 512, "moves": 256}, "does not reach 512 in 256 moves"),
        ({"seed": 1, "target": 100, "moves": 50}, "a power of two"),
        ({"seed": -1, "target": 64, "moves": 50}, "the seed is from 0"),
        ({"seed": 1, "target": 64, "moves": 500}, "moves is 500"),
    ],
)
def test_rows_that_are_no_game(tmp_path: Path, row: dict[str, Any], says: str) -> None:
    with pytest.raises(TaskError, match=says):
        Tiles2048(tasks=written(tmp_path, **row)).reset(seed=0)


@pytest.mark.parametrize("arguments", [{"target": 100}, {"target": 2048}, {"moves": 10}])
def test_wrong_arguments_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Tiles2048(**arguments)


def test_tasks_travel_to_other_processes() -> None:
    tasks = Tiles2048().tasks
    assert pickle.loads(pickle.dumps(tasks)).draw("train", 1, 2) == tasks.draw("train", 1, 2)
