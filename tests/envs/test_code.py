from __future__ import annotations

import io
import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import redirect_stdout
from typing import Any
from unittest.mock import patch

import pytest

from llmgym.envs.code import Code
from llmgym.envs.code.primitives import CONDITIONS, PRIMITIVES
from llmgym.errors import ConfigError, TaskError
from llmgym.messages import assistant, tool_call
from llmgym.tasks import Task
from tests.envs.checks import DEGENERATE, oracle_rewards, play, policy_reward
from tests.walled import need_a_wall

need_a_wall()

VARIANTS: dict[str, dict[str, Any]] = {
    "base": {},
    "easy": {"steps": 1, "examples": 3},
    "program": {"form": "program", "tests": 8},
    "tests": {"steps": 4, "offer_tests": True, "max_turns": 8},
    "hard": {"steps": 7, "forks": True, "examples": 1, "tests": 16},
}


@pytest.fixture(params=VARIANTS)
def env(request: pytest.FixtureRequest) -> Code:
    return Code(**VARIANTS[request.param])


def tasks(env: Code, count: int = 100) -> Iterator[Task]:
    for seed in range(count):
        yield env.tasks.draw("train", seed, 0)


def given_by(source: str, tests: dict[str, Any]) -> list[Any]:
    """What a program makes of the inputs of tests, here; it is ours."""
    found: list[Any] = []
    for value in tests["inputs"]:
        names: dict[str, Any] = {}
        if name := tests.get("fn_name"):
            exec(source, names)
            found.append(names[name](*json.loads(json.dumps(value))))
            continue
        with redirect_stdout(io.StringIO()) as printed, patch("builtins.input", io.StringIO(value).readline):
            exec(source.replace("input()", "input().rstrip('\\n')"), names)
        found.append(printed.getvalue())
    return found


def right(source: str, tests: dict[str, Any]) -> bool:
    try:
        return given_by(source, tests) == tests["outputs"]
    except (ArithmeticError, AttributeError, LookupError, NameError, TypeError, ValueError):
        return False


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_oracle_is_right(env: Code, split: str) -> None:
    env.split = split
    assert oracle_rewards(env, 10) == [1.0] * 10


@pytest.mark.parametrize("policy", DEGENERATE)
def test_degenerate_policies_earn_nothing(policy: str) -> None:
    assert policy_reward(Code(), DEGENERATE[policy], 8) == 0


def test_tasks_are_many_and_splits_are_apart() -> None:
    env = Code()
    train, test = ({env.tasks.draw(split, seed, 0).content_hash for seed in range(200)} for split in ("train", "test"))
    assert len(train) == len(test) == 200
    assert not train & test


def test_a_problem_has_the_outputs_that_its_solution_gives(env: Code) -> None:
    for task in tasks(env):
        assert right(task.metadata["solution"], task.answer)
        assert right(task.metadata["solution"], task.metadata["examples"])


def test_tests_are_hidden_and_tell_from_what_is_simpler(env: Code) -> None:
    for task in tasks(env):
        inputs, outputs = task.answer["inputs"], task.answer["outputs"]
        assert not [value for value in task.metadata["examples"]["inputs"] if value in inputs]
        assert max(Counter(map(repr, outputs)).values()) <= len(outputs) / 3
        assert [value[0] for value in inputs] != outputs
        lines = task.metadata["solution"].split("\n")
        steps = [place for place, line in enumerate(lines) if line.strip().startswith("x = ") and "input()" not in line]
        for left_out in steps:
            assert not right("\n".join(line for place, line in enumerate(lines) if place != left_out), task.answer)


def test_examples_stand_in_the_prompt(env: Code) -> None:
    for task in tasks(env, 20):
        examples = task.metadata["examples"]
        for value, result in zip(examples["inputs"], examples["outputs"], strict=True):
            if name := examples.get("fn_name"):
                assert f"{name}({value[0]!r}) returns {result!r}" in task.prompt
            else:
                assert f"Input:\n{value.rstrip()}\nOutput:\n{result.rstrip()}" in task.prompt


def test_steps_are_told_with_their_parameter() -> None:
    for primitive in (*PRIMITIVES, *CONDITIONS):
        assert primitive.said
        for said in primitive.said:
            assert ("{k}" in said) == bool(primitive.choices) == bool(re.search(r"\bK\b", primitive.code))
            assert said in {c.said[0] for c in CONDITIONS} or (said[0].isupper() and said.endswith("."))


def test_every_step_takes_empty_values() -> None:
    empty: dict[str, Any] = {"numbers": [], "text": "", "words": [], "table": {}, "number": 0}
    for primitive in (*PRIMITIVES, *CONDITIONS):
        for k in primitive.choices or (None,):
            primitive.run(empty[primitive.takes], k)


def reward(env: Code, task: Task, reply: str) -> float:
    env.reset(options={"task": task})
    return play(env, [reply])


def test_examples_by_heart_and_their_like_earn_nothing() -> None:
    env = Code()
    first, *others = tasks(env, 12)
    for task in others:
        examples = task.metadata["examples"]
        name = examples["fn_name"]
        known = list(zip(examples["inputs"], examples["outputs"], strict=True))
        common = Counter(map(repr, task.answer["outputs"])).most_common(1)[0][0]
        solution = task.metadata["solution"]
        for program in (
            f"def {name}(x):\n    return next((b for a, b in {known!r} if a == [x]), {common})",
            f"def {name}(x):\n    return {common}",
            f"def {name}(x):\n    return x",
            first.metadata["solution"].replace(f"def {first.answer['fn_name']}(", f"def {name}("),
            solution.replace(f"def {name}(", "def other("),
            solution.replace("return x", "print(x)"),
            f"import sys\n{solution}\nsys.exit(0)",
        ):
            assert reward(env, task, f"```python\n{program}\n```") == 0, program


def test_right_programs_in_other_clothes() -> None:
    env = Code()
    for task in tasks(env, 5):
        solution = task.metadata["solution"]
        name = task.answer["fn_name"]
        for reply in (
            solution,
            f"```\n{solution}\n```",
            f"<think>def {name}(x): return 1</think>Of course!\n\n```py\n{solution}\n```\nIt goes step by step.",
            f"```python\n{solution}\n\nprint({name}({task.metadata['examples']['inputs'][0][0]!r}))\n```",
            f"```python\n{solution}\n```\nUse it so:\n```python\n{name}(1)\n```",
        ):
            assert reward(env, task, reply) == 1


def test_shares() -> None:
    env = Code(score="share")
    task = next(tasks(env))
    common, count = Counter(map(repr, task.answer["outputs"])).most_common(1)[0]
    constant = f"def {task.answer['fn_name']}(x):\n    return {common}"
    assert reward(env, task, constant) == pytest.approx(count / len(task.answer["outputs"]))


def test_the_tool_says_what_examples_give() -> None:
    env = Code(**VARIANTS["tests"])
    task = next(tasks(env))
    examples = task.metadata["examples"]
    name = examples["fn_name"]
    env.reset(options={"task": task})

    def run(program: Any) -> str:
        env.step(assistant("", tool_call("run_tests", program=program)))
        return env.transcript[-1]["content"]

    assert run(f"```python\n{task.metadata['solution']}\n```").endswith("2 of 2 examples passed.")
    assert f"Example 1: failed: it gives 77; it should give {examples['outputs'][0]!r}" in run(
        f"def {name}(x): return 77"
    )
    assert "Example 2: failed: ZeroDivisionError: division by zero (line 1)" in run(f"def {name}(x): return 1 / 0")
    assert "no function" in run("def other(x): return x")
    assert "SyntaxError" in run("def")
    assert "at most 65,536" in run("#" * 70_000)
    assert len(run(f"def {name}(x): return 'y' * 10**5")) < 3000
    assert "program" in run(["no text"])
    assert not env.metrics.get("correct")


ROW: dict[str, Any] = {
    "responses_create_params": {"input": [{"role": "user", "content": "Read two integers, print their sum."}]},
    "verifier_metadata": {"unit_tests": {"inputs": ["1 2\n", "3 4\n"], "outputs": ["3\n", "7\n"], "fn_name": None}},
    "hash_id": "c69268",
    "dataset": "made",
}


def test_rows_of_nemo_gym() -> None:
    env = Code()
    task = Code.read_row(ROW)
    assert task.answer == {"inputs": ["1 2\n", "3 4\n"], "outputs": ["3\n", "7\n"]}
    assert task.metadata == {"hash_id": "c69268", "dataset": "made"}
    assert reward(env, task, "```python\nprint(sum(map(int, input().split())))\n```") == 1
    assert reward(env, task, "```python\nprint(3)\n```") == 0
    with pytest.raises(TaskError, match="solution"):
        list(env.oracle(task))
    assert list(Code(offer_tests=True).offered(task)) == []


def test_rows_of_functions() -> None:
    listed = {"inputs": [[1, 2], [[3], 4]], "outputs": [3, [7]], "fn_name": "add"}
    as_text = {"inputs": ["1\n2", "[3]\n4"], "outputs": ["3", "[7]"], "fn_name": "add"}
    for tests in (listed, as_text, json.dumps(listed), json.dumps(as_text)):
        for row in ({"prompt": "Add.", "answer": tests}, {"prompt": "Add.", "unit_tests": tests}):
            assert Code.read_row(row).answer == listed
    row = {"prompt": "Add.", "answer": listed, "metadata": {"examples": as_text}}
    assert Code.read_row(row).metadata["examples"] == listed


@pytest.mark.parametrize(
    ("tests", "said"),
    [
        (None, "not None"),
        ({"inputs": ["1"]}, "outputs"),
        ({"inputs": ["1"], "outputs": []}, "1 inputs and 0 outputs"),
        ({"inputs": [["1"]], "outputs": ["1"]}, "standard input"),
        ({"inputs": [1], "outputs": [1], "fn_name": "f"}, "list of arguments"),
        ("[1]", r"not \[1\]"),
        ("{", "Expecting"),
    ],
)
def test_rows_that_are_none(tests: Any, said: str) -> None:
    with pytest.raises((ValueError, TypeError), match=said):
        Code.read_row({"prompt": "Add.", "answer": tests})


def test_rows_fit_their_schema() -> None:
    jsonschema = pytest.importorskip("jsonschema_rs")
    schema = jsonschema.validator_for(Code.row_schema())
    tests = {"inputs": [[1]], "outputs": [1], "fn_name": "f"}
    for row in (ROW, {"prompt": "x", "answer": tests}, {"prompt": "x", "unit_tests": json.dumps(tests)}):
        assert schema.is_valid(row)
    assert not schema.is_valid({"prompt": "x"})


def test_arguments() -> None:
    wrong: list[dict[str, Any]] = [{"steps": 0}, {"steps": 9}, {"examples": 0}, {"tests": 4}, {"form": "class"}]
    for arguments in wrong:
        with pytest.raises(ConfigError):
            Code(**arguments)
