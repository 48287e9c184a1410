from __future__ import annotations

import json
import pickle
from fractions import Fraction
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.envs.calculator import Calculator
from llmgym.envs.calculator.arithmetic import apply
from llmgym.errors import ConfigError, TaskError, ToolError
from llmgym.messages import assistant, tool_call
from llmgym.verifiers.numbers import final_number, format_number, parse_number
from tests.envs.checks import DEGENERATE, distinct_share, oracle_rewards, play, policy_reward, shared_contents

ALL = ["add", "subtract", "multiply", "divide", "power", "negate"]
VARIANTS: dict[str, dict[str, Any]] = {
    "base": {},
    "easy": {"depth": 1, "steps": 1, "max_operand": 20, "operations": ["add", "subtract"], "max_turns": 6},
    "mental": {
        "depth": 1,
        "steps": 1,
        "max_operand": 20,
        "operations": ["add", "subtract"],
        "offer_tools": False,
        "max_turns": 1,
    },
    "hard": {"depth": 5, "steps": 9, "max_operand": 200, "decimals": 1, "operations": ALL, "max_turns": 24},
    "symbols": {"depth": 4, "steps": 8, "decimals": 3, "operations": ALL, "word_problems": False},
    "one operation": {"depth": 2, "steps": 3, "operations": ["divide"]},
}


@pytest.fixture(params=VARIANTS)
def arguments(request: pytest.FixtureRequest) -> dict[str, Any]:
    return VARIANTS[request.param]


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_oracle_is_right(arguments: dict[str, Any], split: str) -> None:
    assert oracle_rewards(Calculator(**arguments, split=split)) == [1.0] * 20


@pytest.mark.parametrize("policy", DEGENERATE)
def test_degenerate_policies_earn_little(arguments: dict[str, Any], policy: str) -> None:
    assert policy_reward(Calculator(**arguments), DEGENERATE[policy]) < 0.2


@pytest.mark.parametrize("name", ["base", "easy", "hard"])
def test_tasks_are_many_and_splits_are_apart(name: str) -> None:
    env = Calculator(**VARIANTS[name])
    assert distinct_share(env) >= 0.99
    assert not shared_contents(env)


def _size(plan: Any) -> int:
    return 0 if isinstance(plan, str) else 1 + sum(map(_size, plan[1:]))


def _value(plan: Any) -> Fraction:
    return Fraction(plan) if isinstance(plan, str) else apply(plan[0], *map(_value, plan[1:]))


def test_a_problem_has_the_steps_asked_for_and_the_value_of_its_plan(arguments: dict[str, Any]) -> None:
    env = Calculator(**arguments)
    for seed in range(100):
        task = env.tasks.draw("train", seed, 0)
        assert _size(task.metadata["plan"]) == arguments.get("steps", 4)
        assert _value(task.metadata["plan"]) == Fraction(task.answer)
        assert final_number(str(task.prompt)) != Fraction(task.answer)


def test_symbols_mean_what_python_takes_them_for() -> None:
    env = Calculator(depth=4, steps=7, word_problems=False, operations=ALL)
    for seed in range(200):
        task = env.tasks.draw("train", seed, 0)
        text = str(task.prompt).translate(str.maketrans({"×": "*", "÷": "/", "−": "-"})).replace("^", "**")
        expression = text[text.index("(") : text.rindex(")") + 1] if "(" in text else ""
        start = min(i for i, c in enumerate(text) if c.isdigit() or c in "(-")
        stop = max(i for i, c in enumerate(text) if c.isdigit() or c == ")") + 1
        assert expression
        assert eval(text[start:stop]) == pytest.approx(float(Fraction(task.answer)))


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("12", "12"),
        ("The answer is 12.", "12"),
        ("12.0", "12"),
        ("0.125.", "0.125"),
        (".5", "0.5"),
        ("**12**", "12"),
        ("= 1,234,567.5", "1234567.5"),
        ("1\u202f234", "1234"),
        ("1{,}234", "1234"),
        ("1_000", "1000"),
        ("1, 2, 3", "3"),
        ("$1,250.", "1250"),
        ("-$5", "-5"),
        ("$-5$", "-5"),
        ("−5", "-5"),
        ("x = - 5", "-5"),
        ("- 5", "-5"),
        ("- 4\n- 5", "5"),
        ("negative 7", "-7"),
        ("7-12", "12"),
        ("7 - 12 = −5", "-5"),
        ("3/4", "3/4"),
        ("-3/4", "-3/4"),
        ("1 3/4", "7/4"),
        ("\\frac{3}{4}", "3/4"),
        ("-\\dfrac{3}{4}", "-3/4"),
        ("1\\frac{3}{4}", "7/4"),
        ("\\frac34", "3/4"),
        ("\\boxed{12} since 3 + 9", "12"),
        ("\\boxed{\\frac{3}{4}} or so", "3/4"),
        ("\\boxed{}, that is 4", "4"),
        ("1.5e3", "1500"),
        ("1.5 \\times 10^{3}", "1500"),
        ("2 × 10^-2", "0.02"),
        ("12 apples", "12"),
        ("12!", "12"),
        ("5/0", None),
        ("twelve", None),
        ("a12", None),
        ("", None),
        ("9" * 100_000, None),
    ],
)
def test_the_last_number_of_a_text(text: str, number: str | None) -> None:
    assert final_number(text) == (None if number is None else Fraction(number))


_FORMS = (
    "{}", "The answer is {}.", "= {}", "**{}**", "\\boxed{{{}}}", "\\(x = {}\\)", "3 + 4 gives: {}", "({})", "`{}`\n",
)  # fmt: skip


@given(
    st.one_of(
        st.integers(-(10**30), 10**30).map(Fraction),
        st.decimals(-(10**9), 10**9, places=4).map(Fraction),
        st.fractions(-1000, 1000, max_denominator=997),
    ),
    st.sampled_from(_FORMS),
    st.booleans(),
    st.booleans(),
)
def test_a_number_shown_in_any_way_is_read_back(value: Fraction, form: str, minus: bool, grouped: bool) -> None:
    text = format_number(value)
    if grouped and value.denominator == 1:
        text = f"{value.numerator:,}"
    assert parse_number(text) == value
    assert final_number(form.format(text.replace("-", "−") if minus else text)) == value


@given(st.text(alphabet=st.sampled_from(list("0123456789.,-−/$\\{}boxedfrac ×^e_%\n")), max_size=60))
def test_any_text_is_read_without_an_error(text: str) -> None:
    assert final_number(text) is None or isinstance(final_number(text), Fraction)


@pytest.mark.parametrize(
    "part", ["9", "1,", "1 ", "1,111", "-", "1/", "\\boxed{", "\\frac{", " ", "$", "a1", "1_", "1.", "1e", "{", "= - "]
)
@pytest.mark.timeout(20)
def test_hostile_text_is_read_quickly(part: str) -> None:
    final_number(part * (50_000 // len(part)))


def _result(env: Calculator, name: str, arguments: str) -> str:
    env.reset(seed=0)
    call: Any = {"type": "function", "function": {"name": name, "arguments": arguments}}
    return env.step(assistant("", call))[0][0]["content"]


@pytest.mark.parametrize(
    ("name", "arguments", "result"),
    [
        ("add", '{"a": 0.1, "b": 0.2}', "0.3"),
        ("add", '{"a": "1/3", "b": "1/6"}', "0.5"),
        ("add", '{"a": "1,000", "b": -1}', "999"),
        ("subtract", '{"a": 1, "b": 2.5}', "-1.5"),
        ("multiply", '{"a": 123456789012345678901234567890, "b": 10}', "1234567890123456789012345678900"),
        ("divide", '{"a": 1, "b": 3}', "1/3"),
        ("divide", '{"a": 1, "b": 8}', "0.125"),
        ("power", '{"base": 2, "exponent": -2}', "0.25"),
        ("power", '{"base": 1.5, "exponent": 2}', "2.25"),
        ("negate", '{"a": -0.0}', "0"),
    ],
)
def test_tools_are_exact(name: str, arguments: str, result: str) -> None:
    assert _result(Calculator(operations=ALL), name, arguments) == result


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        ("divide", '{"a": 1, "b": 0}', "division by zero"),
        ("power", '{"base": 0, "exponent": -1}', "division by zero"),
        ("power", '{"base": 10, "exponent": 1000}', "digits"),
        ("power", '{"base": 2, "exponent": 1e308}', "Error"),
        ("power", '{"base": 2, "exponent": 0.5}', "whole number"),
        ("power", '{"base": 1, "exponent": 1e200}', "exponent"),
        ("add", '{"a": 1e308, "b": 1}', "digits"),
        ("add", '{"a": 1e999, "b": 1}', "Error"),
        ("add", f'{{"a": {"9" * 100_000}, "b": 1}}', "Error"),
        ("add", f'{{"a": "{"9" * 100_000}", "b": 1}}', "not a number"),
        ("add", '{"a": "1e999", "b": 1}', "digits"),
        ("add", '{"a": "NaN", "b": 1}', "not a number"),
        ("add", '{"a": true, "b": 1}', "Error"),
        ("add", '{"a": "1/0", "b": 1}', "not a number"),
        ("add", '{"a": "__import__(1)", "b": 1}', "not a number"),
    ],
)
@pytest.mark.timeout(20)
def test_impossible_and_huge_arguments_are_answered_quickly(name: str, arguments: str, says: str) -> None:
    result = _result(Calculator(operations=ALL), name, arguments)
    assert result.startswith("Error")
    assert says in result
    assert len(result) < 500


def test_repeated_squaring_ends_in_an_error() -> None:
    squares = accumulate(range(100), lambda value, _: apply("multiply", value, value), initial=Fraction(7))
    with pytest.raises(ToolError, match="digits"):
        list(squares)


def test_the_answer_must_be_stated_in_the_final_message() -> None:
    env = Calculator(max_turns=1)
    env.reset(seed=0)
    assert env.task is not None
    said = assistant(f"The answer is {env.task.answer}", tool_call("add", a=env.task.answer, b=0))
    _, reward, _, truncated, info = env.step(said)
    assert truncated
    assert reward == 0
    assert info["metrics"] == {"tool_calls": 1.0, "tool_errors": 0.0, "used_tools": 1.0, "answered": 0.0}


def test_own_tasks(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text('{"prompt": "A third?", "answer": "1/3"}\n')
    env = Calculator(tasks=path)
    assert oracle_rewards(env, 1) == [1.0]
    env.reset(seed=0)
    assert play(env, ["0.333"]) == 0
    path.write_text('{"prompt": "A third?", "answer": "1/3"}\n{"prompt": "What?", "answer": "blue"}\n')
    with pytest.raises(TaskError, match=r"mine\.jsonl:2: answer 'blue' is not a number"):
        Calculator(tasks=path).reset(seed=0)


@pytest.mark.parametrize(
    "arguments",
    [
        {"operations": ["sqrt"]},
        {"operations": ["negate"]},
        {"steps": 9},
        {"depth": 0},
        {"max_operand": 1},
        {"decimals": 9},
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Calculator(**arguments)


def test_tasks_travel_to_other_processes() -> None:
    tasks = Calculator().tasks
    assert pickle.loads(pickle.dumps(tasks)).draw("train", 1, 2) == tasks.draw("train", 1, 2)
    assert json.loads(json.dumps(tasks.draw("train", 1, 2).metadata))
