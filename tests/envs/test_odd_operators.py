from __future__ import annotations

import re
from typing import Any

import jsonschema_rs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.envs.draws import Draws
from llmgym.envs.odd_operators import OddOperators
from llmgym.envs.odd_operators.operators import RULES, SIGNS, apply, fault, made, meaning
from llmgym.envs.odd_operators.problems import carry_out
from llmgym.errors import ConfigError
from llmgym.messages import assistant, tool_call
from llmgym.tasks import Task
from tests.envs.checks import DEGENERATE, oracle_rewards, play, policy_reward

VARIANTS: dict[str, dict[str, Any]] = {
    "base": {},
    "easy": {"steps": 1, "operators": 1, "digits": 2},
    "told": {"steps": 3, "operators": 2, "told": True},
    "hard": {"steps": 16, "operators": 6, "digits": 4, "conditions": True, "max_turns": 40},
}


@pytest.fixture(params=VARIANTS)
def arguments(request: pytest.FixtureRequest) -> dict[str, Any]:
    return VARIANTS[request.param]


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_oracle_is_right(arguments: dict[str, Any], split: str) -> None:
    assert oracle_rewards(OddOperators(**arguments, split=split)) == [1.0] * 20


@pytest.mark.parametrize("policy", DEGENERATE)
def test_degenerate_policies_earn_nothing(arguments: dict[str, Any], policy: str) -> None:
    assert policy_reward(OddOperators(**arguments), DEGENERATE[policy]) <= 0.05


@pytest.mark.parametrize("name", ["base", "told"])
def test_tasks_are_many(name: str) -> None:
    env = OddOperators(**VARIANTS[name])
    tasks = [env.tasks.draw(split, seed, 0) for seed in range(250) for split in ("train", "test")]
    assert len({task.content_hash for task in tasks}) == len(tasks)
    assert len({task.answer for task in tasks}) > 300


def test_usual_arithmetic_is_wrong(arguments: dict[str, Any]) -> None:
    env = OddOperators(**arguments)
    for seed in range(200):
        task = env.tasks.draw("train", seed, 0)
        text = str(task.prompt).rsplit("\n", 1)[-1]
        asked = re.findall(r"[-+*/() \d]*\d[-+*/() \d]*", text)
        assert str(task.answer) not in str(task.prompt)
        if re.search(r"[#@&%]", text) or "step" in text or not asked:
            continue
        try:
            usual = eval(max(asked, key=len))
        except ZeroDivisionError:
            continue
        assert usual != int(task.answer)
        assert usual % 10 ** task.metadata["digits"] != int(task.answer)


def test_results_are_those_of_the_steps(arguments: dict[str, Any]) -> None:
    env = OddOperators(**arguments)
    for seed in range(50):
        task = env.tasks.draw("train", seed, 0)
        steps = task.metadata["steps"]
        assert len(steps) == arguments.get("steps", 4)
        assert str(carry_out(steps, task.metadata["operators"], task.metadata["digits"])[-1]) == task.answer
        used = [value for step in steps for value in step[1:] if isinstance(value, str)]
        assert sorted(map(int, used)) == list(range(1, len(steps)))  # each result is used once


@pytest.mark.parametrize("rule", RULES)
@given(a=st.integers(0, 999), b=st.integers(0, 999), seed=st.integers(0, 99))
def test_meanings_say_what_operators_do(rule: str, a: int, b: int, seed: int) -> None:
    operator = made(Draws(np.random.default_rng(seed)), rule)
    assert not fault({"+": operator})
    told, result = meaning("+", operator, 3), apply(operator, a, b, 3)
    assert 0 <= result < 1000
    if rule == "table":
        rows = [line.split(" | ")[1].split() for line in told.splitlines()[2:]]
        assert f"{result:03d}" == "".join(rows[int(x)][int(y)] for x, y in zip(f"{a:03d}", f"{b:03d}", strict=True))
        return
    inner = told.partition("(")[2].rpartition(") when")[0]
    words = {
        r"the larger of a and b": "max(a, b)", r"the smaller": "min(a, b)", r"the distance between a and b": "abs(a-b)",
        r"the sum of the digits of a": "sum(map(int, str(a)))", r", plus": " +", r" times ": "*",
        r"\bab\b": "a*b", r"(\d)(?=[ab]\b)": r"\1*", r"(\d) (?=max|min)": r"\1*",
    }  # fmt: skip
    for said, code in words.items():
        inner = re.sub(said, code, inner)
    assert eval(inner, {"a": a, "b": b}) % 1000 == result


TASK = Task(
    prompt="What is 12 + 34?", answer="60",
    metadata={"digits": 3, "operators": {"+": {"rule": "linear", "p": 2, "q": 1, "r": 2}}, "steps": [["+", 12, 34]]},
)  # fmt: skip


@pytest.mark.parametrize(
    ("reply", "reward"),
    [
        ("The answer is 60.", 1),
        ("**60**", 1),
        ("\\boxed{60}", 1),
        ("12 + 34 = 60", 1),
        ("The answer is 46.", 0),
        ("The answer is 61.", 0),
        ("60 or 61", 0),
        ("The tool has the answer.", 0),
        ("", 0),
    ],
)
def test_the_final_message_counts(reply: str, reward: float) -> None:
    env = OddOperators()
    env.reset(options={"task": TASK})
    observation, *_ = env.step(assistant("", *(tool_call("calculate", a=12, sign="+", b=34) for _ in range(3))))
    assert [message["content"] for message in observation] == ["60"] * 3
    _, earned, terminated, _, info = env.step(reply)
    assert (earned, terminated) == (reward, True)
    assert info["metrics"]["excess_calls"] == 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"a": 12, "sign": "*", "b": 34}, "no sign '*'"),
        ({"a": 12, "sign": "+" * 100_000, "b": 34}, "no sign"),
        ({"a": -1, "sign": "+", "b": 34}, "-1 is out of range; numbers are from 0 to 999"),
        ({"a": 10**300, "sign": "+", "b": 34}, "out of range"),
        ({"a": "x", "sign": "+", "b": 34}, "a"),
        ({"a": [12], "sign": {}, "b": None}, "a"),
    ],
)
def test_what_cannot_be_calculated_is_answered(arguments: dict[str, Any], says: str) -> None:
    env = OddOperators()
    env.reset(options={"task": TASK})
    observation, _, terminated, *_ = env.step(assistant("", tool_call("calculate", **arguments)))
    assert says in observation[0]["content"]
    assert len(observation[0]["content"]) < 500
    assert not terminated


def test_told_problems_have_no_tool_and_say_what_signs_mean() -> None:
    env = OddOperators(**VARIANTS["told"])
    observation, info = env.reset(seed=1)
    assert info["tools"] == []
    assert "when divided by 1000" in observation[-1]["content"] or "digit by digit" in observation[-1]["content"]


@pytest.mark.parametrize("arguments", [{"steps": 0}, {"operators": len(SIGNS) + 1}, {"digits": 1}])
def test_arguments_out_of_range_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"1 to 60"):
        OddOperators(**arguments)


ROW = {"prompt": "What is 2 + 3?", "answer": 9, "operators": {"+": {"rule": "linear", "p": 2, "q": 1, "r": 2}}}


def test_rows() -> None:
    jsonschema_rs.validator_for(OddOperators.row_schema()).validate(ROW)
    env = OddOperators()
    env.reset(options={"task": (task := OddOperators.read_row(ROW))})
    assert play(env, env.oracle(task)) == 1


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({**ROW, "operators": None}, "object of signs"),
        ({**ROW, "operators": {"+": {"rule": "usual"}}}, "no rule"),
        ({**ROW, "operators": {"+": {"rule": "table", "table": ["0"]}}}, "ten texts"),
        ({**ROW, "operators": {"+": {"rule": "linear", "p": 1}}}, "whole numbers"),
        ({**ROW, "answer": "many"}, "not a number"),
        ({**ROW, "digits": 40}, "2 to 6"),
        ({"responses_create_params": {"input": "Get (1 + 2)."}, "ground_truth": "[3.5]"}, "math_advanced_calculations"),
    ],
)
def test_malformed_rows_are_refused(row: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        OddOperators.read_row(row)
