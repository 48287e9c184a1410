from __future__ import annotations

import math
import re
from collections import Counter
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

import jsonschema_rs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.envs.draws import Draws
from llmgym.envs.mathematics import Math, algebra, chances, integers
from llmgym.envs.mathematics.problems import KINDS, Problems
from llmgym.errors import ConfigError, TaskError
from llmgym.tasks import Task
from tests.envs.checks import DEGENERATE, oracle_rewards, play, policy_reward, shared_contents

LEVELS = ("easy", "medium", "hard")


def made(level: Any, kind: str, seed: int) -> Task:
    return Problems(level, (kind,))(np.random.default_rng(seed))


def draws(seed: int) -> Draws:
    return Draws(np.random.default_rng(seed))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("split", ["train", "test"])
def test_the_oracle_is_right(level: Any, split: str) -> None:
    assert oracle_rewards(Math(level=level, split=split), 20) == [1.0] * 20


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("policy", DEGENERATE)
def test_degenerate_policies_earn_little(level: Any, policy: str) -> None:
    assert policy_reward(Math(level=level), DEGENERATE[policy], 25) <= 0.05


@pytest.mark.parametrize("level", LEVELS)
def test_tasks_are_many_and_answers_spread(level: Any) -> None:
    env = Math(level=level)
    tasks = [env.tasks.draw("train", seed, 0) for seed in range(1500)]
    assert len({task.content_hash for task in tasks}) > 1300
    assert Counter(task.answer for task in tasks).most_common(1)[0][1] < 0.05 * len(tasks)
    assert {task.metadata["kind"] for task in tasks} == set(KINDS)
    assert not shared_contents(env)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("level", LEVELS)
def test_near_misses_earn_nothing(level: Any, kind: str) -> None:
    env = Math(level=level, kinds=[kind])
    others = [env.tasks.draw("train", seed, 0).answer for seed in range(100, 109)]
    for seed in range(20):
        env.reset(seed=seed)
        answer = str(env.task.answer) if env.task else ""
        digit = re.search(r"\d(?=\D*$|_)", answer)
        assert digit
        changed = str((int(digit[0]) + 1) % (2 if answer.endswith("_2") else 3 if answer.endswith("_3") else 5))
        near = answer[: digit.start()] + changed + answer[digit.end() :]
        replies = [f"\\boxed{{{', '.join([*others, answer])}}}", "\\boxed{}", answer[: digit.start()]]
        if changed != digit[0] and not answer.startswith("{"):
            replies.append(f"\\boxed{{{near}}}")
        for reply in replies:
            env.reset(seed=seed)
            assert play(env, [reply]) == 0, (answer, reply)


@pytest.mark.parametrize(
    ("problem", "right", "wrong"),
    [
        (Task(prompt="?", answer="5/6"),
         ["\\boxed{\\frac{5}{6}}", "5/6", "The answer is **5/6**.", "```\n5/6\n```", "\\boxed{\\text{5/6}}",
          "$\\dfrac56$"],
         ["\\boxed{0.83}", "5", "\\boxed{5/6 or 1/6}", "5/7", ""]),
        (Task(prompt="?", answer="{-8, 5}", metadata={"form": "set"}),
         ["\\boxed{5, -8}", "x = -8 or x = 5", "\\boxed{x=-8, x=5}"],
         ["\\boxed{5}", "-8, 5, 6", "8, -5", "(-8, 5)"]),
        (Task(prompt="?", answer="77A_16", metadata={"form": "base"}),
         ["\\boxed{77A}", "0x77a", "77A (base 16)", "\\boxed{(77A)_{16}}", "\\boxed{77\\text{A}_{16}}"],
         ["1914", "77B", "77A_8", "0b77A"]),
        (Task(prompt="?", answer="102 m^2"),
         ["102", "The area is 102 m^2.", "102 m²", "\\boxed{1020000 cm^2}", "102 square metres"],
         ["102 cm^2", "102 m", "103", "102, 5, 6"]),
        (Task(prompt="?", answer="70%"), ["70", "\\boxed{70\\%}", "0.7", "70 percent"], ["7", "0.07", "71%"]),
    ],
)  # fmt: skip
def test_what_is_right_in_any_form(problem: Task, right: list[str], wrong: list[str]) -> None:
    env = Math()
    for reply, reward in [*((reply, 1) for reply in right), *((reply, 0) for reply in wrong)]:
        env.reset(options={"task": problem})
        assert play(env, [reply]) == reward, reply


@pytest.mark.parametrize("level", [0, 1, 2])
def test_equations_and_systems_hold(level: int) -> None:
    for seed in range(60):
        problem = algebra.equation(draws(seed), level)
        if problem is None:
            continue
        name, text = re.findall(r"([xyzntk])(?:[:,]| for which)", problem.text)[0], problem.text
        left, right = re.findall(r"[-+()\dxyzntk ]+=[-+()\dxyzntk ]+", text)[0].split("=")
        value = [eval(re.sub(r"(\d)(?=[a-z(])", r"\1*", side).replace(name, f"({problem.answer!r})"))
                 for side in (left, right)]  # fmt: skip
        assert value[0] == value[1]


def test_quadratics_have_their_roots() -> None:
    for seed in range(100):
        problem = algebra.quadratic(draws(seed), 2)
        if problem and problem.form == "set":
            text = re.sub(r"(\d)x", r"\1*x", re.findall(r"[-+\dx^ ]+(?= = 0)", problem.text)[0].replace("^", "**"))
            assert {eval(text, {"x": Fraction(root)}) for root in str(problem.answer).strip("{}").split(", ")} == {0}


@given(st.lists(st.integers(-9, 9), min_size=1, max_size=5), st.integers(-4, 4))
def test_polynomials(p: list[int], x: int) -> None:
    def value(coefficients: list[int], at: Fraction) -> Fraction:
        return sum((c * at**k for k, c in enumerate(reversed(coefficients))), Fraction(0))

    assert value(algebra.times(p, [1, -x]), Fraction(7)) == value(p, Fraction(7)) * (7 - x)
    assert algebra.integral(algebra.derivative(p), x) == value(p, Fraction(x)) - p[-1]


@given(st.integers(0, 10**6), st.integers(2, 16))
def test_digits(number: int, radix: int) -> None:
    assert int(algebra.digits(number, radix), radix) == number


def test_numbers_by_brute_force() -> None:
    seen = set[str]()
    for seed in range(150):
        problem = integers.number_theory(draws(seed), 1 + seed % 2)
        if problem is None:
            continue
        text, numbers = problem.text, list(map(int, re.findall(r"\d+", problem.text)))
        n = numbers[0]
        if "positive divisors" in text and n < 60_000:
            divisors = [k for k in range(1, n + 1) if n % k == 0]
            odd = [k for k in divisors if k % 2]
            expected = sum(divisors) if "sum" in text else len(odd if "odd" in text else divisors)
        elif "no common divisor" in text and numbers[1] < 60_000:
            expected = sum(math.gcd(k, numbers[1]) == 1 for k in range(1, numbers[1] + 1))
        elif "zeros" in text and n < 300:
            value, expected = math.factorial(n), 0
            while value % numbers[1] == 0:
                value, expected = value // numbers[1], expected + 1
        elif "leaves the remainder" in text and "x" in text.split("leaves")[0]:
            expected = next(x for x in range(1, numbers[2] + 1) if n * x % numbers[2] == numbers[1])
        elif "multiplied to give a square" in text:
            expected = next(k for k in range(1, n + 1) if math.isqrt(n * k) ** 2 == n * k)
        else:
            continue
        seen.add(re.sub(r"\d+", "", text)[:30])
        assert problem.answer == expected, text
    assert len(seen) >= 5


def test_chances_by_enumeration() -> None:
    seen = 0
    for seed in range(200):
        problem = chances.probability(draws(seed), 1)
        if problem is None or "fair coin is thrown" not in problem.text:
            continue
        seen += 1
        n, k = map(int, re.findall(r"\d+", problem.text))
        hits = [sum(throws) for throws in product((0, 1), repeat=n)]
        right = [heads == k if "exactly" in problem.text else heads >= k for heads in hits]
        assert problem.answer == Fraction(sum(right), 2**n)
    assert seen > 10


@pytest.mark.parametrize("arguments", [{"level": "harder"}, {"kinds": ["alchemy"]}, {"kinds": []}])
def test_unknown_arguments_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="there is"):
        Math(**arguments)


NEMO = {
    "responses_create_params": {"input": [{"role": "user", "content": "Put it inside \\boxed{}.\n\nFind 1/3 of 1."}]},
    "question": "Find 1/3 of 1.",
    "expected_answer": "\\(\\frac{1}{3}\\)",
}


@pytest.mark.parametrize(
    ("row", "reply"),
    [
        (NEMO, "\\boxed{1/3}"),
        ({"question": "Q?", "expected_answer": "32"}, "The answer is 32."),
        ({"question": "Q?", "answer": 0.5}, "1/2"),
        ({"prompt": "Q?", "answer": "(1, 2)", "form": "interval"}, "\\boxed{1 < x < 2}"),
        ({"messages": [{"role": "user", "content": "Q?"}], "answer": "\\text{Monday}"}, "Monday"),
    ],
)
def test_rows(row: dict[str, Any], reply: str) -> None:
    task = Math.read_row(row)
    jsonschema_rs.validator_for(Math.row_schema()).validate(row)
    env = Math()
    opening, _ = env.reset(options={"task": task})
    assert ("system" in [message["role"] for message in opening]) == isinstance(task.prompt, str)
    assert play(env, [reply]) == 1
    env.reset(options={"task": task})
    assert play(env, env.oracle(task)) == 1
    env.reset(options={"task": task})
    assert play(env, ["\\boxed{7}"]) == 0


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"question": "Q?"}, "number or text"),
        ({"question": "Q?", "answer": True}, "number or text"),
        ({"question": "Q?", "answer": "a proof that it is so"}, "cannot be compared"),
        ({"question": "Q?", "answer": "5", "form": "poem"}, "unknown form"),
        ({"answer": "5"}, "prompt"),
    ],
)
def test_malformed_rows_are_refused(tmp_path: Path, row: dict[str, Any], says: str) -> None:
    with pytest.raises((ValueError, TypeError, TaskError), match=says):
        Math.read_row(row)
