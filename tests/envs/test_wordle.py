from __future__ import annotations

import pickle
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.envs.wordle import Wordle
from llmgym.envs.wordle.game import Clues, feedback, read_guess
from llmgym.envs.wordle.words import guessable, prompt, secrets
from llmgym.errors import TaskError
from llmgym.tasks import Task
from tests.envs.checks import DEGENERATE, distinct_share, oracle_rewards, play, policy_reward, shared_contents

VARIANTS: dict[str, dict[str, Any]] = {
    "base": {},
    "easy": {"length": 4, "guesses": 8, "openers": 2, "max_turns": 12},
    "hard": {"length": 6, "strict": True},
}
WORDS5 = st.sampled_from(secrets(5))


@pytest.fixture(params=VARIANTS)
def arguments(request: pytest.FixtureRequest) -> dict[str, Any]:
    return VARIANTS[request.param]


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_oracle_earns_the_maximum(arguments: dict[str, Any], split: str) -> None:
    assert oracle_rewards(Wordle(**arguments, split=split)) == pytest.approx([1.0] * 20)


@pytest.mark.parametrize("policy", DEGENERATE)
def test_degenerate_policies_earn_little(arguments: dict[str, Any], policy: str) -> None:
    assert policy_reward(Wordle(**arguments), DEGENERATE[policy]) < 0.15


def test_tasks_are_many_and_secrets_are_apart(arguments: dict[str, Any]) -> None:
    env = Wordle(**arguments)
    assert distinct_share(env) >= 0.99
    assert not shared_contents(env)
    words = {
        split: {env.tasks.plan(split, 0, i).answer for i in range(env.tasks.size(split) or 0)}
        for split in ("train", "test")
    }
    assert not words["train"] & words["test"]
    assert len(words["train"] | words["test"]) == len(secrets(arguments.get("length", 5))) > 2000


@pytest.mark.parametrize("length", [4, 5, 6])
def test_word_lists(length: int) -> None:
    assert set(secrets(length)) < guessable(length)
    assert all(word.isascii() and word.islower() and word.isalpha() for word in guessable(length))


@pytest.mark.parametrize(
    ("secret", "guess", "marks"),
    [
        ("crane", "crane", "GGGGG"),
        ("crane", "toils", "XXXXX"),
        ("crane", "nacre", "YYYYG"),
        ("abbey", "babes", "YYGGX"),
        ("abbey", "kebab", "XYGYY"),
        ("those", "geese", "XXXGG"),
        ("dread", "added", "YYXYG"),
        ("level", "hello", "XGYYX"),
        ("error", "rarer", "YXGYG"),
        ("robot", "floor", "XXYGY"),
        ("banal", "annal", "YXGGG"),
    ],
)
def test_marks_with_repeated_letters(secret: str, guess: str, marks: str) -> None:
    assert feedback(secret, guess) == marks


@given(WORDS5, WORDS5)
def test_marks_count_each_letter_once(secret: str, guess: str) -> None:
    marks = feedback(secret, guess)
    shared = Counter(secret) & Counter(guess)
    assert Counter(g for g, m in zip(guess, marks, strict=True) if m != "X") == shared
    assert [m == "G" for m in marks] == [a == b for a, b in zip(secret, guess, strict=True)]


@given(WORDS5, st.lists(WORDS5, max_size=6))
def test_clues_only_grow_and_never_exclude_the_secret(secret: str, guesses: list[str]) -> None:
    clues, before = Clues(), 0.0
    for guess in guesses:
        clues.learn(guess, feedback(secret, guess))
        assert before <= clues.progress(5) <= 1
        assert clues.conflict(secret) is None
        before = clues.progress(5)


@cache
def _wordle() -> Wordle:
    return Wordle()


@given(WORDS5, st.lists(WORDS5, max_size=5))
def test_every_win_collects_all_of_the_shaping_and_a_faster_one_more(secret: str, guesses: list[str]) -> None:
    env = _wordle()
    env.reset(options={"task_id": Task(prompt=prompt(secret), answer=secret).content_hash})
    guesses = [guess for guess in guesses if guess != secret]
    total = play(env, [*guesses, secret])
    assert total == pytest.approx(0.7 + 0.3 * (1 - len(guesses) / 6))


@pytest.mark.parametrize("text", ["You've guessed the word!", "I will win again.", "Good game, that was nice"])
def test_talk_is_no_guess(text: str) -> None:
    assert read_guess(text, 4) is None


@given(st.text(max_size=80))
def test_any_text_is_read_without_an_error(text: str) -> None:
    assert read_guess(text, 5) is None or isinstance(read_guess(text, 5), str)


@pytest.mark.parametrize(
    "part", ["a ", "guess ", "guess crane ", "'", '"a', "<guess>", "[", "A", "word is ", "\n", " "]
)
@pytest.mark.timeout(20)
def test_hostile_text_is_read_quickly(part: str) -> None:
    read_guess(part * (200_000 // len(part)), 5)


@pytest.mark.parametrize(
    ("text", "guess"),
    [
        ("<guess>crane</guess>", "crane"),
        ("<guess> CRANE </guess>", "crane"),
        ("<guess>C R A N E</guess>", "crane"),
        ("<guess>crane", "crane"),
        ("<guess>slate</guess> no, <guess>crane</guess>", "crane"),
        ("I think of [crane] or maybe slate", "crane"),
        ("<guess>cranes</guess> crane", "cranes"),
        ("My guess: CRANE.", "crane"),
        ("**crane**", "crane"),
        ("My guess is crane", "crane"),
        ("my guess: crane, since it has common letters", "crane"),
        ("I think the word is crane.", "crane"),
        ('Let me try "crane".', "crane"),
        ("I will try 'crane' now", "crane"),
        ("I'll go with CRANE this time", "crane"),
        ("C R A N E", "crane"),
        ("Let me think about it.\ncrane", "crane"),
        ("Crane\n\nIt has common letters.", "crane"),
        ("GUESS: CRANE", "crane"),
        ("<think>perhaps [slate]</think><guess>crane</guess>", "crane"),
        ("<think><guess>slate</guess></think>", None),
        ("<think><guess>slate", None),
        ("I will win again.", None),
        ("You have guessed right, great!", None),
        ("There are seven words that could still match these marks", None),
        ("My guess is based on where those marks stand", None),
        ("no word", None),
        ("", None),
        ("12345", None),
    ],
)
def test_reading_a_guess(text: str, guess: str | None) -> None:
    assert read_guess(text, 5) == guess


def own(tmp_path: Path, **row: Any) -> Path:
    import orjson

    path = tmp_path / "words.jsonl"
    path.write_bytes(orjson.dumps(row))
    return path


def test_an_episode(tmp_path: Path) -> None:
    env = Wordle(tasks=own(tmp_path, word="abbey"), guesses=2)
    env.reset(seed=0)
    (answer,), reward, terminated, _, _ = env.step("[babes]")
    assert answer == {"role": "user", "content": "B A B E S\nY Y G G X\nYou have 1 guess left."}
    assert reward == pytest.approx(0.2 * 0.6)
    assert not terminated
    for text, problem in {"hm": "found no guess", "[zzzzz]": "not in the word list", "[ab]": "not a word of 5"}.items():
        (answer,), reward, terminated, truncated, _ = env.step(text)
        assert problem in answer["content"]
        assert (reward, terminated, truncated) == (0, False, False)
    (answer,), reward, terminated, _, info = env.step("[kebab]")
    assert terminated
    assert answer["content"].endswith("The word was ABBEY.")
    assert info["metrics"]["guesses"] == 2
    assert info["metrics"]["invalid_guesses"] == 3
    assert info["reward_parts"] == {"win": 0.0, "speed": 0.0}


def test_strict_guesses_use_every_clue(tmp_path: Path) -> None:
    env = Wordle(tasks=own(tmp_path, word="abbey"), strict=True)
    env.reset(seed=0)
    env.step("[babes]")
    assert "letter 3 must be B" in env.step("[crane]")[0][0]["content"]
    assert "it must contain A" in env.step("[ebbed]")[0][0]["content"]
    assert env.metrics["invalid_guesses"] == 2
    assert env.step("[abbey]")[2]


def test_invalid_guesses_run_into_the_turn_limit() -> None:
    env = Wordle()
    env.reset(seed=0)
    for _ in range(9):
        assert not any(env.step("?")[2:4])
    assert env.step("?")[3]


def test_an_opener_is_known_and_not_rewarded_twice(tmp_path: Path) -> None:
    env = Wordle(tasks=own(tmp_path, word="abbey", opener="babes"))
    observation, _ = env.reset(seed=0)
    assert "B A B E S\nY Y G G X" in observation[-1]["content"]
    assert env.step("[babes]")[1] == 0
    assert play(env, ["[abbey]"]) == pytest.approx(0.2 + 0.5 + 0.3 * 5 / 6)


@pytest.mark.parametrize("row", [{"word": "Abbey"}, {"word": 5}, {"word": "abbey", "opener": "abbey"}, {"text": "a"}])
def test_malformed_rows(tmp_path: Path, row: dict[str, Any]) -> None:
    with pytest.raises(TaskError, match=r"words\.jsonl:1: "):
        Wordle(tasks=own(tmp_path, **row)).reset(seed=0)


@pytest.mark.parametrize("arguments", [{"length": 3}, {"guesses": 0}, {"openers": -1}])
def test_wrong_arguments_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="is"):
        Wordle(**arguments)


def test_tasks_travel_to_other_processes() -> None:
    tasks = Wordle().tasks
    assert pickle.loads(pickle.dumps(tasks)).draw("train", 1, 2) == tasks.draw("train", 1, 2)
