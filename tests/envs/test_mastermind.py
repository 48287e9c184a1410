from __future__ import annotations

import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.envs.mastermind import Mastermind
from llmgym.envs.mastermind.codes import marks
from llmgym.errors import ConfigError, TaskError
from tests.envs.games import answer, calls, check_contents, check_game, start, written

VARIANTS: dict[str, dict[str, Any]] = {
    "base": {},
    "easy": {"length": 3, "guesses": 8},
    "hard": {"length": 5, "colours": 8},
}
ROW: dict[str, Any] = {"code": ["red", "blue", "blue"], "colours": ["red", "blue", "pink", "teal"], "guesses": 5}
CODES = st.lists(st.sampled_from("abcd"), min_size=4, max_size=4)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["base", "easy", "hard"])
def test_a_game(name: str) -> None:
    check_game(Mastermind, VARIANTS[name], 8)
    check_contents(Mastermind(**VARIANTS[name]))


@pytest.mark.parametrize(
    ("code", "guess", "expected"),
    [
        ("abcd", "abcd", (4, 0)),
        ("abcd", "dcba", (0, 4)),
        ("aabb", "bbaa", (0, 4)),
        ("aabb", "aaaa", (2, 0)),
        ("abbb", "baaa", (0, 2)),
        ("abcc", "ccda", (0, 3)),
        ("abcd", "aefg", (1, 0)),
    ],
)
def test_marks(code: str, guess: str, expected: tuple[int, int]) -> None:
    assert marks(code, guess) == expected


@given(CODES, CODES)
def test_marks_count_each_colour_once(code: list[str], guess: list[str]) -> None:
    exact, misplaced = marks(code, guess)
    assert marks(guess, code) == (exact, misplaced)
    assert exact + misplaced == (Counter(code) & Counter(guess)).total()


def test_an_episode() -> None:
    env = Mastermind()
    start(env, **ROW)
    assert env.task
    assert (
        "has 3 places, and each has one of these colours: red, blue, pink, teal. You have 5 guesses." in env.task.prompt
    )
    assert answer(env, "guess", colours=["blue", "blue", "red"]) == (
        "1. blue blue red: 1 exact, 2 misplaced\nYou have 4 guesses left."
    )
    assert answer(env, "guess", colours=["green", "red", "red"]).startswith(
        "Error: 'green' is none of the colours; there is"
    )
    assert answer(env, "guess", colours=["red"]).startswith("Error: the code has 3 places, and the guess 1.\n1. blue")
    (said,), reward, terminated, _, info = env.step("My guess: <guess>Red, BLUE and blue</guess>")
    assert "none of the colours" in said["content"]
    assert env.moves_left == 1
    (said,), reward, terminated, _, info = env.step("**Red, blue, blue**")
    assert said["content"].endswith("2. red blue blue: 3 exact, 0 misplaced\nYou have won.")
    assert (reward, terminated) == (1.0, True)
    assert info["metrics"]["illegal_moves"] == 3
    assert info["metrics"]["exact"] == 1


def test_all_codes_in_one_message_end_with_the_guesses() -> None:
    env = Mastermind()
    start(env, **ROW)
    everything = [{"colours": [a, b, c]} for a in ROW["colours"][::-1] for b in ROW["colours"] for c in ROW["colours"]]
    _, reward, terminated, _, info = env.step(calls("guess", everything))
    assert (reward, terminated, info["metrics"]["moves"]) == (0.0, True, 5)


@pytest.mark.parametrize("text", ["", "I do not know.", "1234", "<guess>magenta</guess>", "x" * 10_000])
def test_texts_without_a_guess(text: str) -> None:
    env = Mastermind()
    start(env, **ROW)
    env.step(text)
    assert "I could not read a move." in env.transcript[-1]["content"]
    assert env.moves_left == 4


@pytest.mark.parametrize("colours", [[], "red", None, [1], [["red"]], ["x" * 1000], ["red"] * 1000, {"a": "red"}])
def test_arguments_that_do_not_fit(colours: Any) -> None:
    env = Mastermind()
    env.reset(seed=0)
    assert answer(env, "guess", colours=colours).startswith("Error: invalid arguments for guess")


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"code": ["red", "grey"]}, "'grey' of the code"),
        ({"code": "red"}, "not a list of words"),
        ({"colours": ["red", "red", "blue"]}, "different colours"),
        ({"guesses": 0.5}, "guesses is 0.5"),
    ],
)
def test_rows_that_are_no_code(tmp_path: Path, changed: dict[str, Any], says: str) -> None:
    with pytest.raises(TaskError, match=says):
        Mastermind(tasks=written(tmp_path, **ROW | changed)).reset(seed=0)


@pytest.mark.parametrize("arguments", [{"length": 1}, {"colours": 13}, {"guesses": 0}])
def test_wrong_arguments_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Mastermind(**arguments)


def test_tasks_travel_to_other_processes() -> None:
    tasks = Mastermind().tasks
    assert pickle.loads(pickle.dumps(tasks)).draw("train", 1, 2) == tasks.draw("train", 1, 2)
