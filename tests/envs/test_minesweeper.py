from __future__ import annotations

import pickle
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.envs.minesweeper import Minesweeper
from llmgym.envs.minesweeper.field import Field, deduced
from llmgym.errors import ConfigError, TaskError
from tests.envs.games import answer, calls, check_contents, check_game, start, written

VARIANTS: dict[str, dict[str, Any]] = {
    "base": {},
    "easy": {"rows": 5, "columns": 5, "mines": 4, "least": 3},
    "hard": {"rows": 9, "columns": 9, "mines": 14, "least": 12, "max_turns": 100},
}


@pytest.mark.parametrize("name", ["base", "easy", "hard"])
def test_a_game(name: str) -> None:
    check_game(Minesweeper, VARIANTS[name])
    check_contents(Minesweeper(**VARIANTS[name]))


@given(st.integers(0, 19), st.sets(st.integers(0, 19), min_size=1, max_size=5))
def test_the_solver_is_sure(first: int, mined: set[int]) -> None:
    """What it calls safe is so in every arrangement of the mines that fits what is open."""
    field = Field(4, 5, sum(1 << cell for cell in mined - {first}))
    field.open(first)
    while field.opened != field.safe and (safe := deduced(field, field.mines.bit_count())):
        hidden = [cell for cell in range(20) if not field.opened >> cell & 1]
        for chosen in combinations(hidden, field.mines.bit_count()):
            other = Field(4, 5, sum(1 << cell for cell in chosen))
            if all(other.number(cell) == field.number(cell) for cell in range(20) if field.opened >> cell & 1):
                assert not other.mines & safe
        field.open(safe.bit_length() - 1)


def test_a_first_cell_has_no_mine_around() -> None:
    env = Minesweeper()
    for seed in range(50):
        env.reset(seed=seed)
        row, column = env.first // 6, env.first % 6
        assert all(max(abs(r - 1 - row), abs(c - 1 - column)) > 1 for r, c in env.task.answer)


def test_an_episode() -> None:
    env = Minesweeper()
    start(env, field=["..*..", ".....", ".....", "....*"], first=[4, 1])
    assert env.task
    assert env.task.prompt.endswith("  1 2 3 4 5\n1 0 1 . . .\n2 0 1 1 1 .\n3 0 0 0 1 .\n4 0 0 0 1 .")
    said = answer(env, "reveal", row=4, column=1)
    assert said.startswith("Error: the cell in row 4, column 1 is open already; open a hidden one.\n  1 2")
    assert answer(env, "reveal", row=9, column=1).startswith("Error: there is no cell in row 9, column 1;")
    assert answer(env, "reveal", row=17, column=1).startswith("Error: invalid arguments for reveal")
    (said,), reward, terminated, *_ = env.step("Row 1, column 4")
    assert "1 0 1 . 1 ." in said["content"]
    assert (reward, terminated) == (0.0, False)
    (said,), reward, terminated, _, info = env.step("<move>1 3</move>")
    assert said["content"].endswith("1 0 1 * 1 .\n2 0 1 1 1 .\n3 0 0 0 1 .\n4 0 0 0 1 *\nYou have lost.")
    assert (reward, terminated) == (0.0, True)
    assert info["metrics"]["opened"] == pytest.approx(1 / 4)
    assert info["metrics"]["illegal_moves"] == 2


def test_every_cell_at_once_is_no_way_to_win() -> None:
    env = Minesweeper()
    for seed in range(20):
        env.reset(seed=seed)
        everything = [{"row": row, "column": column} for row in range(1, 7) for column in range(1, 7)]
        _, reward, terminated, *_ = env.step(calls("reveal", everything))
        assert (reward, terminated) == (0.0, True)


@pytest.mark.parametrize("text", ["3 4", "(3, 4)", "row 3, column 4", "r3c4", "<move>3,4</move>", "**3 4**"])
def test_texts_that_are_moves(text: str) -> None:
    env = Minesweeper()
    env.reset(seed=0)
    env.step(text)
    assert env.metrics["moves"] == 1
    assert "I could not" not in env.transcript[-1]["content"]


@pytest.mark.parametrize("text", ["", "3", "1 2 3", "There are 3 mines around 4.", "<move>a b</move>"])
def test_texts_that_are_none(text: str) -> None:
    env = Minesweeper()
    env.reset(seed=0)
    env.step(text)
    assert "I could not read a move." in env.transcript[-1]["content"]


@pytest.mark.parametrize("argument", ["1", None, 1.5, [1], {"row": 1}, -1, 0, 10**40, True])
def test_arguments_that_do_not_fit(argument: Any) -> None:
    env = Minesweeper()
    env.reset(seed=0)
    assert answer(env, "reveal", row=argument, column=1).startswith("Error: invalid arguments for reveal")


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"field": ["*..", "...", "..."], "first": [1, 1]}, "a mine at the first cell"),
        ({"field": ["*..", "...", "..."], "first": [4, 1]}, "a row and a column"),
        ({"field": ["*..", "...", "..."], "first": "a1"}, "a row and a column"),
        ({"field": ["*..", "...", "..."], "first": [3, 3]}, "clears the field"),
        ({"field": [".*", "*.", ".."], "first": [3, 1]}, "takes a guess"),
        ({"field": ["...", "..."], "first": [1, 1]}, "at least one mine"),
        ({"field": ["..*", ".."], "first": [1, 1]}, "the same length"),
        ({"field": 5, "first": [1, 1]}, "not a text"),
    ],
)
def test_rows_that_are_no_field(tmp_path: Path, row: dict[str, Any], says: str) -> None:
    with pytest.raises(TaskError, match=says):
        Minesweeper(tasks=written(tmp_path, **row)).reset(seed=0)


@pytest.mark.parametrize("arguments", [{"rows": 2}, {"mines": 0}, {"mines": 20}, {"least": 0}])
def test_wrong_arguments_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Minesweeper(**arguments)


def test_tasks_travel_to_other_processes() -> None:
    tasks = Minesweeper().tasks
    assert pickle.loads(pickle.dumps(tasks)).draw("train", 1, 2) == tasks.draw("train", 1, 2)
