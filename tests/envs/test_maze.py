from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from llmgym.envs.games import DIRECTIONS
from llmgym.envs.maze import Maze
from llmgym.errors import ConfigError, TaskError
from tests.envs.checks import play
from tests.envs.games import answer, calls, check_contents, check_game, mean_reward, start, written

VARIANTS: dict[str, dict[str, Any]] = {
    "base": {},
    "easy": {"size": 4},
    "hard": {"size": 8, "loops": 0.1, "sight": 2, "max_turns": 270},
}
MAZE = ["#######", "#P..#E#", "#.#.#.#", "#.#...#", "#######"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["base", "easy", "hard"])
def test_a_game(name: str) -> None:
    check_game(Maze, VARIANTS[name], 8)
    check_contents(Maze(**VARIANTS[name]))


@pytest.mark.parametrize("name", ["base", "easy", "hard"])
def test_walking_round_and_round_leads_nowhere(name: str) -> None:
    env = Maze(**VARIANTS[name])
    for cycle in (("up", "right", "down", "left"), ("up", "up", "right", "right"), ("down", "right"), ("left", "up")):
        ways = [{"directions": list(cycle)}] * 60
        assert mean_reward(env, lambda env, turn, ways=ways: calls("move", ways), 15) <= 0.05


@pytest.mark.parametrize("name", ["base", "easy", "hard"])
def test_mazes(name: str) -> None:
    """All of the floor can be walked to, the way is a shortest one, and without loops there is no other."""
    env = Maze(**VARIANTS[name])
    for seed in range(20):
        task = env.tasks.draw("train", seed, 0)
        rows, start, end = task.metadata["maze"], tuple(task.metadata["start"]), tuple(task.metadata["exit"])
        far, front = {start: 0}, [start]
        for row, column in front:
            for r, c in DIRECTIONS.values():
                to = (row + r, column + c)
                if rows[to[0]][to[1]] == "." and to not in far:
                    far[to] = far[row, column] + 1
                    front.append(to)
        assert len(far) == sum(row.count(".") for row in rows)
        assert far[end] == len(task.answer) >= 2 * env.tasks._make.size
        if name != "hard":
            assert len(far) == 2 * env.tasks._make.size**2 - 1


def test_following_a_wall_is_enough_where_little_is_seen() -> None:
    env = Maze(size=6, sight=1, max_turns=300)
    for seed in range(20):
        env.reset(seed=seed)
        assert play(env, _right_hand(env)) == 1.0


def _right_hand(env: Maze) -> Any:
    order, facing = ["up", "right", "down", "left"], 0
    while True:
        for turn in (1, 0, 3, 2):
            rows, columns = DIRECTIONS[order[(facing + turn) % 4]]
            if env.rows[env.at[0] + rows][env.at[1] + columns] != "#":
                facing = (facing + turn) % 4
                break
        yield f"<move>{order[facing]}</move>"


def test_an_episode() -> None:
    env = Maze()
    start(env, maze=MAZE)
    assert env.task
    assert env.task.answer == "RRDDRRUU"
    assert env.task.prompt.endswith("You have 14 moves.\n\n" + "\n".join(map(" ".join, MAZE)))
    said = answer(env, "move", directions=["right", "right", "right", "down"])
    assert said.startswith(
        "Error: move 3 of 4: you cannot go right: there is a wall. The moves after it were not made."
    )
    assert "# . . P # E #" in said
    (said,), reward, terminated, _, info = env.step("<move>ddrruu</move>")
    assert said["content"].endswith("You have won.")
    assert (reward, terminated) == (1.0, True)
    assert info["metrics"]["illegal_moves"] == 1
    assert info["metrics"]["shortest"] == 0


def test_little_is_seen() -> None:
    env = Maze()
    start(env, maze="\n".join(MAZE), sight=1)
    assert env.task
    assert env.task.prompt.endswith("# # #\n# P .\n# . #\nYou are in row 1, column 1; the exit is in row 1, column 5.")
    assert "#E#" not in env.task.prompt
    assert answer(env, "move", directions=["down"]).startswith("# . .\n# P #\n# . #\nYou are in row 2, column 1;")


@pytest.mark.parametrize("directions", [[], ["north"], "up", None, [["up"]], ["up"] * 101])
def test_arguments_that_do_not_fit(directions: Any) -> None:
    env = Maze()
    env.reset(seed=0)
    assert answer(env, "move", directions=directions).startswith("Error: invalid arguments for move")


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"maze": ["#####", "#P#E#", "#####"]}, "no way to the exit"),
        ({"maze": ["#####", "#P..#", "#####"]}, "one P and one E"),
        ({"maze": ["#####", "#P.E.", "#####"]}, "walls all around"),
        ({"maze": ["#####", "#P.E#", "####"]}, "the same length"),
        ({"maze": MAZE, "sight": 9}, "sight is 9"),
    ],
)
def test_rows_that_are_no_maze(tmp_path: Path, row: dict[str, Any], says: str) -> None:
    with pytest.raises(TaskError, match=says):
        Maze(tasks=written(tmp_path, **row)).reset(seed=0)


@pytest.mark.parametrize("arguments", [{"size": 2}, {"loops": 0.6}, {"sight": -1}])
def test_wrong_arguments_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Maze(**arguments)


def test_tasks_travel_to_other_processes() -> None:
    tasks = Maze().tasks
    assert pickle.loads(pickle.dumps(tasks)).draw("train", 1, 2) == tasks.draw("train", 1, 2)
