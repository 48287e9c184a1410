from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator
from contextlib import redirect_stdout
from typing import Any

import numpy as np
import pytest

from llmgym.envs.math_python import MathPython
from llmgym.envs.math_python.topics import TOPICS
from llmgym.errors import ConfigError
from llmgym.messages import assistant, tool_call
from llmgym.tasks import Task
from tests.envs.checks import DEGENERATE, oracle_rewards, play, policy_reward
from tests.walled import need_a_wall

need_a_wall()

VARIANTS: dict[str, dict[str, Any]] = {
    "base": {},
    "easy": {"topics": ["powers", "digits", "modulo", "gcd", "divisors"]},
    "hard": {"parts": 3, "max_turns": 16},
}


@pytest.fixture
def base() -> Iterator[MathPython]:
    env = MathPython()
    yield env
    env.close()


@pytest.fixture(params=VARIANTS)
def env(request: pytest.FixtureRequest) -> Iterator[MathPython]:
    env = MathPython(**VARIANTS[request.param])
    yield env
    env.close()


def tasks(env: MathPython, count: int) -> Iterator[Task]:
    for seed in range(count):
        yield env.tasks.draw("train", seed, 0)


def run(env: MathPython, code: Any) -> str:
    env.step(assistant("", tool_call("execute_python", code=code)))
    return env.transcript[-1]["content"]


def value_of(code: str) -> Any:
    *steps, last = code.split("\n")
    names: dict[str, Any] = {}
    with redirect_stdout(io.StringIO()):
        exec("\n".join(steps), names)
    return eval(last, names)


def test_the_oracle_is_right(env: MathPython) -> None:
    assert oracle_rewards(env, 10) == [1.0] * 10


@pytest.mark.parametrize("policy", DEGENERATE)
def test_degenerate_policies_earn_nothing(base: MathPython, policy: str) -> None:
    assert policy_reward(base, DEGENERATE[policy], 8) == 0


@pytest.mark.parametrize("topic", TOPICS)
def test_two_ways_give_one_answer(topic: str) -> None:
    for seed in range(4):
        problem = TOPICS[topic](np.random.default_rng(seed))
        assert value_of(problem.code) == problem.answer, problem.said


@pytest.mark.parametrize("topic", TOPICS)
def test_a_topic_has_many_problems(topic: str) -> None:
    problems = [TOPICS[topic](np.random.default_rng(seed)) for seed in range(200)]
    assert len({problem.said for problem in problems}) >= 180


def test_answers_differ_and_stand_in_no_prompt(env: MathPython) -> None:
    found = Counter[int]()
    for task in tasks(env, 300):
        assert str(task.answer) not in task.prompt
        assert abs(task.answer) >= 12
        found[task.answer] += 1
    assert max(found.values()) <= 6


def test_near_misses_earn_nothing(base: MathPython) -> None:
    for task in tasks(base, 12):
        right = task.answer
        for said in (
            rf"\boxed{{{right + 1}}}",
            rf"\boxed{{{round(right * 1.05) + 1}}}",
            rf"\boxed{{{-right}}}",
            rf"\boxed{{{right}, {right + 1}}}",
            rf"\boxed{{{right}}} or \boxed{{{right + 1}}}",
            f"{right + 1} or {right}",
            rf"\boxed{{{right}}}. No: \boxed{{7}}",
            rf"<think>\boxed{{{right}}}</think>",
            "\n".join(str(right + n) for n in range(-3, 4)),
            "\\boxed{}",
        ):
            base.reset(options={"task": task})
            assert play(base, [said]) == 0, said
        base.reset(options={"task": task})
        assert play(base, [assistant("", tool_call("execute_python", code=str(right))), "Done."]) == 0


def test_right_answers_in_other_words(base: MathPython) -> None:
    task = next(task for task in tasks(base, 50) if task.answer > 1000)
    forms = (r"\boxed{{{}}}", r"It is $\boxed{{{:,}}}$.", "The answer is {}.", "**{}**", r"So $x = \boxed{{{}}}$")
    for form in forms:
        base.reset(options={"task": task})
        assert play(base, [form.format(task.answer)]) == 1, form


def test_the_session_keeps_its_state(base: MathPython) -> None:
    base.reset(seed=0)
    assert run(base, "x = 2**100") == "(no output)"
    assert run(base, "x") == str(2**100)
    assert "ZeroDivisionError" in run(base, "1 / 0")
    assert "code" in run(base, 5)
    base.reset(seed=1)
    assert "NameError" in run(base, "x")


def test_modules_can_be_had() -> None:
    env = MathPython(imports=["numpy"])
    env.reset(seed=0)
    assert run(env, "import numpy\nint(numpy.arange(4).sum())") == "6"
    env.close()


ROW: dict[str, Any] = {
    "id": 0,
    "responses_create_params": {
        "input": [
            {"role": "system", "content": "Use the execute_python tool, and answer as \\boxed{your_answer}."},
            {"role": "user", "content": "What is the sum of the digits of 2^{20}?"},
        ],
        "tools": [{"type": "function", "name": "execute_python", "parameters": {"type": "object", "properties": {}}}],
    },
    "expected_result": "31",
    "expected_code_contains": "",
}


def test_rows_of_nemo_gym(base: MathPython) -> None:
    task = MathPython.read_row(ROW)
    assert (task.id, task.answer) == ("0", "31")
    assert task.metadata["expected_code_contains"] == ""
    base.reset(options={"task": task})
    assert [message["role"] for message in base.transcript] == ["system", "user"]
    assert run(base, "sum(map(int, str(2**20)))") == "31"
    assert play(base, [r"\boxed{31}"]) == 1
    base.reset(options={"task": task})
    assert play(base, base.oracle(task)) == 1
    for written in (r"\(\frac{333}{1997}\)", r"$\frac{333}{1997}$", r"\frac{333}{1997}"):
        fraction = MathPython.read_row({**ROW, "expected_result": written})
        assert fraction.answer == r"\frac{333}{1997}"
        base.reset(options={"task": fraction})
        assert play(base, [r"It is \boxed{\frac{333}{1997}}."]) == 1


def test_rows_that_are_none() -> None:
    for wrong in (None, True, "", [1]):
        with pytest.raises(ValueError, match="number or LaTeX"):
            MathPython.read_row({**ROW, "expected_result": wrong})
    tools = [{"type": "function", "name": "search", "parameters": {"type": "object", "properties": {}}}]
    request = {**ROW["responses_create_params"], "tools": tools}
    with pytest.raises(ValueError, match="'search'"):
        MathPython.read_row({**ROW, "responses_create_params": request})


def test_rows_fit_their_schema() -> None:
    jsonschema = pytest.importorskip("jsonschema_rs")
    schema = jsonschema.validator_for(MathPython.row_schema())
    assert schema.is_valid(ROW)
    assert schema.is_valid({"prompt": "1 + 1?", "answer": 2})
    assert not schema.is_valid({"prompt": "1 + 1?"})


def test_arguments() -> None:
    wrong: list[dict[str, Any]] = [{"parts": 0}, {"parts": 9}, {"topics": ["chess"]}, {"topics": []}]
    for arguments in wrong:
        with pytest.raises(ConfigError):
            MathPython(**arguments)
