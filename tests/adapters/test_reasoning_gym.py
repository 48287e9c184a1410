"""What reasoning-gym's questions are made of, and what is mended of their scorers."""

from __future__ import annotations

import random
from itertools import product
from typing import Any

import gymnasium
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.errors import ConfigError
from llmgym.tasks import Task

pytest.importorskip("reasoning_gym")

from llmgym.adapters.reasoning_gym.entries import Key, dataset_of, make
from llmgym.adapters.reasoning_gym.env import ReasoningGym
from llmgym.adapters.reasoning_gym.env import entries as tasks_of
from llmgym.adapters.reasoning_gym.expressions import is_antiderivative
from llmgym.adapters.reasoning_gym.scoring import OVERRIDES, score
from llmgym.adapters.reasoning_gym.solutions import solve
from llmgym.adapters.reasoning_gym.table import DATASETS, REFUSED, SLOW

HOSTILE = [
    "", "hello", "nan", "inf", "-1", "1/0", "2**3**2", "9" * 500, "1e99", "R99", "A+99", "[[]]",
    "null", '{"a": 1}', '[{"a": 1}]', "(" * 50, "len('abc')", "\x00", "True", "[" * 50,
]  # fmt: skip


def entries(name: str, count: int = 3) -> list[tuple[Key, dict[str, Any]]]:
    keys = [Key.of(name, number * 0x9E3779B97F4A7C15 % 2**62) for number in range(1, count + 1)]
    return [(key, make(key)) for key in keys]


def earned(name: str, answer: str, entry: dict[str, Any]) -> float:
    return score(dataset_of(name), name, answer, entry)


def test_every_dataset_of_the_package_is_there_or_refused_with_a_reason() -> None:
    from reasoning_gym.factory import DATASETS as THEIRS

    assert {*DATASETS} | {*REFUSED} == {*THEIRS}
    assert not {*DATASETS} & {*REFUSED}
    assert {*OVERRIDES} | SLOW <= {*DATASETS}
    assert all(len(why.split()) > 3 for why in [*REFUSED.values(), *(override.why for override in OVERRIDES.values())])


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name in OVERRIDES else pytest.mark.sweep) for name in DATASETS],
)
@pytest.mark.timeout(300)
def test_the_right_answer_earns_all_and_no_text_breaks_the_scorer(name: str) -> None:
    for _, entry in entries(name, 2):
        answer = solve(name, entry)
        assert earned(name, answer, entry) == 1.0
        for text in HOSTILE:
            assert 0.0 <= earned(name, text, entry) <= 1.0


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("game_of_life_halting", "banana"),
        ("coin_flip", "0"),
        ("complex_arithmetic", "nan"),
        ("prime_factorization", "1"),
        ("rubiks_cube", "R99"),
        ("rush_hour", "A+99"),
        ("intermediate_integration", "Integral(x, x)"),
        ("polynomial_equations", "hello"),
        ("puzzle24", "4 * 6 * 1 * 1 + 0"),
    ],
)
def test_what_the_package_pays_or_fails_on_is_worth_little(name: str, wrong: str) -> None:
    assert all(earned(name, wrong, entry) < 0.5 for _, entry in entries(name, 4))


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("fraction_simplification", "{} or 1/2"),
        ("gsm_symbolic", "{} or 1"),
        ("gsm_symbolic", "-{}"),
        ("letter_jumble", "{} # and more"),
        ("rush_hour", "A+1 or {}"),
    ],
)
def test_more_than_the_answer_is_another_one(name: str, form: str) -> None:
    assert all(earned(name, form.format(solve(name, entry)), entry) < 1 for _, entry in entries(name, 12))


@pytest.mark.slow
def test_moves_by_chance_solve_nothing() -> None:
    moves = "".join(random.Random(3).choices("UDLR", k=19_000))
    assert not any(earned("sokoban", moves, entry) for _, entry in entries("sokoban", 60))


def test_numbers_may_have_commas() -> None:
    for _, entry in entries("gsm_symbolic", 30):
        assert earned("gsm_symbolic", f"${int(entry['answer']):,}.00", entry) == 1.0


def test_24_is_made_of_the_numbers_that_are_given() -> None:
    (_, one), (_, other) = entries("puzzle24", 2)
    assert sorted(one["metadata"]["numbers"]) != sorted(other["metadata"]["numbers"])
    assert earned("puzzle24", solve("puzzle24", other), one) == 0.0


def test_numbers_are_sorted_and_not_rounded() -> None:
    for _, entry in entries("number_sorting"):
        numbers = solve("number_sorting", entry)
        assert earned("number_sorting", numbers.replace("'", '"'), entry) == 1.0
        first = numbers.strip("[]'").split("'")[0].split(",")[0]
        off = numbers.replace(first, str(round(float(first) + 0.5, 2)), 1)
        assert earned("number_sorting", off, entry) == 0.0


def test_answers_are_not_run(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code = "open('run', 'w').close()"
    for name in OVERRIDES:
        for _, entry in entries(name, 1):
            earned(name, code, entry)
    assert not list(tmp_path.iterdir())


@given(st.integers(-9, 9), st.integers(-9, 9), st.integers(1, 5))
def test_an_antiderivative_is_told_by_its_derivative(a: int, b: int, n: int) -> None:
    integrand = f"{a}*x**{n} + {b}*cos(x)"
    right = f"{a}*x**{n + 1}/{n + 1} + {b}*sin(x) + C"
    assert is_antiderivative(right, integrand, "x")
    assert not is_antiderivative(f"{right} + x", integrand, "x")


def test_a_question_is_in_one_split() -> None:
    tasks = tasks_of(["coin_flip", "products"], {})
    drawn = {split: {tasks.draw(split, seed, 0).prompt for seed in range(150)} for split in tasks.splits}
    assert drawn["train"]
    assert drawn["test"]
    assert not drawn["train"] & drawn["test"]


def test_a_task_holds_its_key_and_no_answer() -> None:
    env = gymnasium.make("llmgym/ReasoningGym-lettercounting-v0").unwrapped
    assert isinstance(env, ReasoningGym)
    task = env.tasks.plan("train", 3, 1)
    assert isinstance(task, Task)
    assert (task.answer, {*task.metadata}) == (None, {"dataset", "seed", "index"})
    assert env.tasks.get(task.id) == task


def test_the_global_generators_are_left_alone() -> None:
    before, numbers = random.getstate(), np.random.get_state()[1].copy()
    for name in ("list_functions", "pool_matrix", "acre"):
        entries(name, 1)
    assert random.getstate() == before
    assert (np.random.get_state()[1] == numbers).all()


def test_a_share_is_paid_where_that_is_asked_for() -> None:
    for scoring in ("full", "partial"):
        env = gymnasium.make("llmgym/ReasoningGym-v0", dataset="sudoku", scoring=scoring).unwrapped
        assert isinstance(env, ReasoningGym)
        env.reset(seed=0)
        assert env.task is not None
        answer = env.oracle(env.task)[0].removeprefix("<answer>").removesuffix("</answer>")
        _, reward, _, _, info = env.step(f"<answer>{answer.replace('1', '2')}</answer>")
        assert (reward > 0) == (scoring == "partial")
        assert 0 < info["metrics"]["score"] < 1
        assert info["metrics"]["tagged"] == 1


@pytest.mark.parametrize(
    ("form", "right", "tagged"),
    [
        ("It is <answer> {} </answer>.", 1, 1),
        ("<answer>7.5</answer> No: <Answer>{}</Answer>, in <answer> tags.", 1, 1),
        ("It is <answer>{}", 1, 1),
        ("<answer>{}</answer>. I wrote </answer>.", 1, 1),
        ("<answer><answer>{}</answer></answer>", 1, 1),
        ("{}", 1, 0),
        ("<answer>{}</answer><answer>7.5</answer>", 0, 1),
        ("{}</answer>", 0, 0),
        ("{} <answer>", 0, 1),
    ],
)
def test_the_last_tag_holds_the_answer(form: str, right: float, tagged: float) -> None:
    env = ReasoningGym(dataset="products")
    env.reset(seed=0)
    assert env.task is not None
    answer = env.oracle(env.task)[0].removeprefix("<answer>").removesuffix("</answer>")
    _, reward, _, _, info = env.step(form.format(answer))
    assert (reward, info["metrics"]["tagged"]) == (right, tagged)


def test_what_makes_no_sense_is_refused() -> None:
    for arguments, said in [
        ({"dataset": "codeio"}, "cannot be made right"),
        ({"dataset": "letters"}, "no dataset 'letters'"),
        ({"scoring": "half"}, "'full' or 'partial'"),
        ({"config": {"min_value": 1}}, "for one dataset"),
    ]:
        with pytest.raises(ConfigError, match=said):
            ReasoningGym(**arguments)


def test_config_reaches_the_dataset() -> None:
    env = ReasoningGym(dataset="products", config={"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 1})
    answers = {env.tasks.draw("train", seed, 0).prompt for seed in range(20)}
    assert all(question.count("*") == 1 for question in answers)


def test_keys_are_no_neighbours() -> None:
    questions = [make(Key.of("chain_sum", seed * 10**12))["question"] for seed in range(50)]
    assert len(set(questions)) == 50
    assert all(len({a, b}) == 2 for a, b in product(questions[:5], questions[5:]))
