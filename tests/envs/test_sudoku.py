from __future__ import annotations

import pickle
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.envs.sudoku import Sudoku
from llmgym.envs.sudoku.answers import read_grid
from llmgym.envs.sudoku.grids import conflict, solutions
from llmgym.envs.sudoku.puzzles import drawn
from llmgym.errors import ConfigError, TaskError
from tests.envs.checks import DEGENERATE, oracle_rewards, play
from tests.envs.games import HOSTILE, answer, calls, check_contents, check_game, mean_reward, start, written

VARIANTS: dict[str, dict[str, Any]] = {
    "base": {},
    "easy": {"size": 4, "empty": 12},
    "hard": {"size": 9, "empty": 50, "max_turns": 120},
}
SINGLE: dict[str, Any] = {"size": 4, "empty": 12, "single_answer": True, "max_turns": 1}


@pytest.mark.parametrize("name", ["base", "easy", "hard"])
def test_a_game(name: str) -> None:
    check_game(Sudoku, VARIANTS[name], 5)
    check_contents(Sudoku(**VARIANTS[name]))


def test_a_single_answer() -> None:
    for split in ("train", "test"):
        assert oracle_rewards(Sudoku(**SINGLE, split=split)) == [1.0] * 20
    env = Sudoku(**SINGLE)
    for policy in DEGENERATE.values():
        assert mean_reward(env, policy) == 0
    for text in HOSTILE:
        env.reset(seed=0)
        assert play(env, [text]) == 0


@pytest.mark.parametrize("name", ["base", "easy", "hard"])
def test_puzzles_have_one_solution(name: str) -> None:
    env = Sudoku(**VARIANTS[name])
    size, empty = VARIANTS[name].get("size", 6), VARIANTS[name].get("empty", 22)
    for seed in range(20):
        task = env.tasks.draw("train", seed, 0)
        assert solutions(task.metadata["puzzle"]) == [task.answer]
        assert sum(row.count(0) for row in task.metadata["puzzle"]) == empty
        cells = [(row, column) for row in range(size) for column in range(size)]
        assert not any(conflict(task.answer, r, c, task.answer[r][c]) for r, c in cells)
        assert all(sorted(row) == list(range(1, size + 1)) for row in task.answer)


def test_solutions_are_counted() -> None:
    empty = [[0] * 4 for _ in range(4)]
    assert len(solutions(empty, 1000)) == 288
    assert solutions([[1, 1, 0, 0], *empty[1:]]) == []
    assert solutions([[1, 2, 3, 0], [0, 0, 0, 4], *empty[2:]]) == []


@pytest.mark.parametrize(("name", "most"), [("base", 0.05), ("easy", 0.12)])
def test_legal_digits_by_chance_seldom_solve_it(name: str, most: float) -> None:
    """Where no digit is legal any more, one is taken back."""
    env, chance = Sudoku(**VARIANTS[name]), random.Random(0)

    def act(env: Any, turn: int) -> str:
        places = [(row, column) for row in range(len(env.grid)) for column in range(len(env.grid))]
        digits = range(1, len(env.grid) + 1)
        legal = [
            (r, c, digit)
            for r, c in places
            for digit in digits
            if not env.grid[r][c] and not conflict(env.grid, r, c, digit)
        ]
        filled = [(r, c, 0) for r, c in places if env.grid[r][c] and not env.given[r][c]]
        row, column, digit = chance.choice(legal or filled)
        return f"<move>{row + 1} {column + 1} {digit}</move>"

    assert mean_reward(env, act, 100) <= most


GRID = [[1, 2, 3, 4], [3, 4, 1, 2], [2, 1, 4, 3], [4, 3, 2, 1]]
OTHER = [[2, 1, 3, 4], *GRID[1:]]


@pytest.mark.parametrize(
    "text",
    [
        drawn(GRID),
        "1234\n3412\n2143\n4321",
        "1234341221434321",
        "Here it is:\n\n```\n1 2 3 4\n3 4 1 2\n2 1 4 3\n4 3 2 1\n```\nDone.",
        "1 2 | 3 4\n3 4 | 1 2\n----+----\n2 1 | 4 3\n4 3 | 2 1",
        "| 1 | 2 | 3 | 4 |\n|---|---|---|---|\n| 3 | 4 | 1 | 2 |\n| 2 | 1 | 4 | 3 |\n| 4 | 3 | 2 | 1 |",
        str(GRID),
        "[[1, 2, 3, 4],\n [3, 4, 1, 2],\n [2, 1, 4, 3],\n [4, 3, 2, 1]]",
        "Row 1: 1 2 3 4\nRow 2: 3 4 1 2\nRow 3: 2 1 4 3\n**Row 4:** 4 3 2 1",
        f"<think>{drawn(OTHER)}</think>{drawn(GRID)}",
        f"First I had\n{drawn(OTHER)}\n<answer>\n{drawn(GRID)}\n</answer>",
        f"{drawn(GRID)}\nAgain:\n{drawn(GRID)}",
        drawn([[1, 0, 3, 4], *GRID[1:]]) + "\n\nSolved:\n" + drawn(GRID),
        "1. 1 2 3 4\n2. 3 4 1 2\n3. 2 1 4 3\n4. 4 3 2 1",
        "- 1 2 3 4\n- 3 4 1 2\n- 2 1 4 3\n- 4 3 2 1",
        "1: 1234\n2: 3412\n3: 2143\n4: 4321",
        "┌───┬───┐\n│1 2│3 4│\n│3 4│1 2│\n├───┼───┤\n│2 1│4 3│\n│4 3│2 1│\n└───┴───┘",
        "| | 1 | 2 | 3 | 4 |\n|-|-|-|-|-|\n|**1**|1|2|3|4|\n|**2**|3|4|1|2|\n|**3**|2|1|4|3|\n|**4**|4|3|2|1|",
        "**1 2 3 4**\n**3 4 1 2**\n**2 1 4 3**\n**4 3 2 1**",
        "\\begin{array}{cccc}\n1 & 2 & 3 & 4 \\\\\n3 & 4 & 1 & 2 \\\\\n2 & 1 & 4 & 3 \\\\\n4 & 3 & 2 & 1\n\\end{array}",
    ],
)
def test_grids_that_are_read(text: str) -> None:
    assert read_grid(text, 4) == GRID


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1234",
        "The grid is solved.",
        drawn(GRID[:3]),
        drawn([[1, 0, 3, 4], *GRID[1:]]),
        f"{drawn(OTHER)}\n\n{drawn(GRID)}",
        f"<answer>{drawn(OTHER)}\n\n{drawn(GRID)}</answer>",
        f"<think>{drawn(GRID)}</think>",
        "12345\n34125\n21435\n43215",
        "1 2 3 4\nthen 5 things\n3 4 1 2\n2 1 4 3\n4 3 2 1",
    ],
)
def test_texts_that_state_no_grid(text: str) -> None:
    assert read_grid(text, 4) is None


@given(st.text(alphabet="0123456789 .|-+\n[],<>answer/", max_size=200))
def test_any_text_is_read(text: str) -> None:
    grid = read_grid(text, 4)
    assert grid is None or [len(row) for row in grid] == [4] * 4


@pytest.mark.parametrize("part", ["1", "1\n", "<answer>", "row 1:", "- ", "| ", "1 2 3 4\n"])
@pytest.mark.timeout(20)
def test_hostile_text_is_read_quickly(part: str) -> None:
    read_grid(part * (200_000 // len(part)), 9)


def test_near_misses_earn_nothing() -> None:
    env = Sudoku(**SINGLE)
    for seed in range(20):
        env.reset(seed=seed)
        assert env.task
        right = env.task.answer
        swapped = [right[1], right[0], *right[2:]]
        others = [env.tasks.draw("train", 999 + n, 0).answer for n in range(9)]
        for wrong in (drawn(swapped), drawn(right[:3]), "\n\n".join(map(drawn, [*others, right])), drawn(others[0])):
            env.reset(seed=seed)
            assert play(env, [wrong]) == 0


def test_an_episode() -> None:
    env = Sudoku()
    start(env, puzzle="12..\n3.1.\n2.4.\n432.")
    assert env.task
    assert env.task.answer == GRID
    assert env.moves_left == 14
    assert answer(env, "place", row=1, column=3, digit=3).startswith("  1 2 3 4\n1 1 2 3 .\n2 3 . 1 .")
    said = answer(env, "place", row=1, column=1, digit=3)
    assert said.startswith("Error: the digit in row 1, column 1 is given and cannot be changed.\n  1 2")
    assert answer(env, "place", row=1, column=4, digit=3).startswith(
        "Error: 3 cannot be in row 1, column 4: it is in row 1"
    )
    assert answer(env, "place", row=2, column=4, digit=1).startswith(
        "Error: 1 cannot be in row 2, column 4: it is in row 2"
    )
    assert answer(env, "place", row=3, column=4, digit=2).startswith(
        "Error: 2 cannot be in row 3, column 4: it is in row 3"
    )
    assert answer(env, "place", row=5, column=3, digit=2).startswith("Error: rows, columns and digits go from 1 to 4;")
    assert answer(env, "place", row=1, column=3, digit=0).startswith("  1 2 3 4\n1 1 2 . .")
    env.step("<move>1 4 4</move>")
    assert env.metrics["moves"] == 8
    assert env.metrics["illegal_moves"] == 5
    env.step("Row 1, column 3: 3")
    assert env.grid[0] == [1, 2, 3, 4]
    rest = [(2, 2, 4), (2, 4, 2), (3, 2, 1), (3, 4, 3), (4, 4, 1)]
    assert play(env, [f"<move>{row} {column} {digit}</move>" for row, column, digit in rest]) == 1.0


def test_every_digit_everywhere_is_no_way_to_win() -> None:
    env = Sudoku()
    for seed in range(20):
        env.reset(seed=seed)
        digits = range(1, 7)
        everything = [{"row": row, "column": column, "digit": d} for row in digits for column in digits for d in digits]
        _, reward, terminated, *_ = env.step(calls("place", everything))
        assert (reward, terminated) == (0.0, True)


@pytest.mark.parametrize("digit", ["1", None, 1.5, [1], -1, 10, True])
def test_arguments_that_do_not_fit(digit: Any) -> None:
    env = Sudoku()
    env.reset(seed=0)
    assert answer(env, "place", row=1, column=1, digit=digit).startswith("Error: invalid arguments for place")


@pytest.mark.parametrize(
    ("puzzle", "says"),
    [
        ("1...", "no grid of 4 by 4"),
        ("." * 16, "more than one solution"),
        ("11" + "." * 14, "no solution"),
        ("1234341221434321", "is full"),
        ("5" + "." * 15, "a digit from 1 to 4"),
        ([[1, 2], [2, 1]], "no grid of 4 by 4"),
    ],
)
def test_rows_that_are_no_puzzle(tmp_path: Path, puzzle: Any, says: str) -> None:
    with pytest.raises(TaskError, match=says):
        Sudoku(tasks=written(tmp_path, puzzle=puzzle)).reset(seed=0)


@pytest.mark.parametrize("arguments", [{"size": 5}, {"empty": 0}, {"empty": 30}])
def test_wrong_arguments_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Sudoku(**arguments)


def test_tasks_travel_to_other_processes() -> None:
    tasks = Sudoku().tasks
    assert pickle.loads(pickle.dumps(tasks)).draw("train", 1, 2) == tasks.draw("train", 1, 2)
