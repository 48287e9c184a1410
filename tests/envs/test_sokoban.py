from __future__ import annotations

import itertools
import pickle
from collections import deque
from pathlib import Path
from typing import Any

import pytest

from llmgym.envs.games import DIRECTIONS, read_directions
from llmgym.envs.sokoban import Sokoban
from llmgym.envs.sokoban.levels import read_level
from llmgym.envs.sokoban.puzzles import solved_level
from llmgym.errors import ConfigError, TaskError, ToolError
from tests.envs.checks import play
from tests.envs.games import answer, calls, check_contents, check_game, start, written

VARIANTS: dict[str, dict[str, Any]] = {
    "base": {},
    "easy": {"boxes": 1, "pushes": [2, 3]},
    "hard": {"size": 6, "boxes": 3, "walls": 0.2, "pushes": [7, 10], "max_turns": 180},
}
LEVEL = ["######", "#G_B_#", "#__#P#", "######"]


@pytest.mark.parametrize("name", ["base", "easy", "hard"])
def test_a_game(name: str) -> None:
    check_game(Sokoban, VARIANTS[name], 15 if name != "hard" else 4)


def test_tasks_are_many_and_splits_are_apart() -> None:
    check_contents(Sokoban(**VARIANTS["easy"]))


def fewest_pushes(level: Any) -> int:
    """By a plain search forward, over single steps."""
    seen = {(level.player, level.boxes): 0}
    queue = deque(seen)
    steps = [level.offset(name) for name in DIRECTIONS]
    while queue:
        player, boxes = state = queue.popleft()
        if boxes == level.goals:
            return seen[state]
        for step in steps:
            to, beyond = player << step if step > 0 else player >> -step, 0
            if to & boxes:
                beyond = to << step if step > 0 else to >> -step
            if not to & level.floor or (to & boxes and not beyond & level.floor & ~boxes):
                continue
            after = (to, boxes ^ to ^ beyond if beyond else boxes)
            cost = seen[state] + bool(beyond)
            if cost < seen.get(after, 10**9):
                seen[after] = cost
                (queue.append if beyond else queue.appendleft)(after)
    raise AssertionError("not solvable")


@pytest.mark.parametrize("name", ["base", "easy"])
def test_the_solution_has_the_fewest_pushes(name: str) -> None:
    env = Sokoban(**VARIANTS[name])
    for seed in range(20):
        env.reset(seed=seed)
        assert env.task
        level, pushes = read_level(list(env.task.metadata["level"])), 0
        for letter in env.task.answer:
            before = env.level.boxes
            env.play(next(way for way in DIRECTIONS if way[0] == letter.lower()))
            pushes += env.level.boxes != before
        least, most = VARIANTS[name].get("pushes", (4, 8))
        assert least <= pushes == fewest_pushes(level) <= most


def test_an_episode() -> None:
    env = Sokoban()
    start(env, level=LEVEL)
    assert env.task
    assert env.task.answer == "ULL"
    assert "# # # # # #\n# G _ B _ #\n# _ _ # P #\n# # # # # #" in env.task.prompt
    assert answer(env, "move", directions=["left"]).startswith("Error: you cannot go left: there is a wall.\n# #")
    assert "You have 8 moves left." in answer(env, "move", directions=["up"])
    (result,), reward, terminated, _, info = env.step("<action>LEFT, Left</action>")
    assert result["content"].endswith("# * P _ _ #\n# _ _ # _ #\n# # # # # #\nYou have won.")
    assert (reward, terminated) == (1.0, True)
    assert info["metrics"]["moves"] == 4
    assert info["metrics"]["illegal_moves"] == 1
    assert info["metrics"]["boxes_on_goals"] == 1


def test_steps_end_at_the_first_that_is_not_possible() -> None:
    env = Sokoban()
    start(env, level=["########", "#G_____#", "#_PBB__#", "#_____G#", "########"])
    said = answer(env, "move", directions=["right", "left", "left"])
    assert said.startswith("Error: move 1 of 3: you cannot push the box right: behind it is another box.")
    assert "The moves after it were not made." in said
    assert env.metrics["moves"] == 1


def test_calls_without_end_in_one_message_end_with_the_moves() -> None:
    env = Sokoban()
    start(env, level=LEVEL)
    messages, reward, terminated, _, info = env.step(calls("move", [{"directions": ["up", "down"]}] * 50))
    assert (reward, terminated) == (0.0, True)
    assert info["metrics"]["moves"] == 10
    assert messages[-1]["content"] == "Error: the game is over."


@pytest.mark.parametrize("text", ["U", "up", "**Up**", "`U`", "<move>up</move>", 'I go <move>["up"]</move>', "Up."])
def test_texts_that_are_moves(text: str) -> None:
    env = Sokoban()
    start(env, level=LEVEL)
    env.step(text)
    assert env.metrics == env.metrics | {"moves": 1, "illegal_moves": 0}


@pytest.mark.parametrize("between", [", ", " ", "\n", " -> ", "→", "\n- "])
def test_ways_to_write_several_directions(between: str) -> None:
    assert read_directions(between.join(["up", "Left", "DOWN"])) == ["up", "left", "down"]
    assert read_directions("1. up\n2. left\n3) down") == ["up", "left", "down"]


@pytest.mark.parametrize(
    "text",
    ["", "north", "I would go up or left", "<think><move>up</move></think>", "<move></move>", "<move>up!</move>"],
)
def test_texts_that_are_none(text: str) -> None:
    env = Sokoban()
    start(env, level=LEVEL)
    (said,), *_ = env.step(text)
    assert said["content"].startswith("I could not read a move.")
    assert "Call move with" in said["content"]
    assert env.metrics == env.metrics | {"moves": 1, "illegal_moves": 1}


@pytest.mark.parametrize("directions", [[], ["north"], "up", None, [["up"]], ["up"] * 101, {"up": 1}])
def test_arguments_that_do_not_fit(directions: Any) -> None:
    env = Sokoban()
    start(env, level=LEVEL)
    assert answer(env, "move", directions=directions).startswith("Error: invalid arguments for move")


def test_own_levels(tmp_path: Path) -> None:
    env = Sokoban(tasks=written(tmp_path, level="#####\n#@$.#\n#####\n"))
    env.reset(seed=0)
    assert play(env, env.oracle(env.task)) == 1.0


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"level": ["####", "#P$#", "####"]}, "as many boxes as goals"),
        ({"level": ["#####", "#PG$#", "#####"]}, "no solution at all"),
        ({"level": ["#####", "#P_*#", "#####"]}, "solved already"),
        ({"level": ["#####", "#PB?#", "#####"]}, "is no character"),
        ({"level": ["#####", "#PBG_", "#####"]}, "walls all around"),
        ({"level": "x"}, "3 to 20 rows"),
        ({"seed": 1, "dim_room": [5, 5], "num_boxes": 1, "responses_create_params": {"input": []}}, "NeMo Gym"),
    ],
)
def test_rows_that_are_no_level(tmp_path: Path, row: dict[str, Any], says: str) -> None:
    with pytest.raises(TaskError, match=says):
        Sokoban(tasks=written(tmp_path, **row)).reset(seed=0)


@pytest.mark.parametrize("arguments", [{"size": 2}, {"boxes": 0}, {"walls": 0.5}, {"pushes": [3, 2]}])
def test_wrong_arguments_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Sokoban(**arguments)


def test_tasks_travel_to_other_processes() -> None:
    tasks = Sokoban().tasks
    assert pickle.loads(pickle.dumps(tasks)).draw("train", 1, 2) == tasks.draw("train", 1, 2)
    assert list(itertools.islice(solved_level(LEVEL).answer, 3)) == ["U", "L", "L"]
    with pytest.raises(ToolError):
        Sokoban().read_moves("forward")
