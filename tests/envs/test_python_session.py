from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator
from contextlib import redirect_stdout
from itertools import pairwise
from typing import Any

import pytest

from llmgym.envs.python_session import PythonSession
from llmgym.errors import ConfigError
from llmgym.messages import assistant, tool_call
from llmgym.tasks import Task
from tests.envs.checks import DEGENERATE, oracle_rewards, play, policy_reward
from tests.walled import need_a_wall

need_a_wall()

VARIANTS: dict[str, dict[str, Any]] = {
    "base": {},
    "easy": {"records": 20, "questions": 1, "filters": 0},
    "hard": {"records": 60, "questions": 3, "untidy": True, "joined": True, "max_turns": 24},
}


@pytest.fixture(params=VARIANTS)
def env(request: pytest.FixtureRequest) -> Iterator[PythonSession]:
    env = PythonSession(**VARIANTS[request.param])
    yield env
    env.close()


@pytest.fixture
def base() -> Iterator[PythonSession]:
    env = PythonSession()
    yield env
    env.close()


def tasks(env: PythonSession, count: int) -> Iterator[Task]:
    for seed in range(count):
        yield env.tasks.draw("train", seed, 0)


def run(env: PythonSession, code: Any) -> str:
    env.step(assistant("", tool_call("python", code=code)))
    return env.transcript[-1]["content"]


def test_the_oracle_is_right(env: PythonSession) -> None:
    assert oracle_rewards(env, 10) == [1.0] * 10


@pytest.mark.parametrize("policy", DEGENERATE)
def test_degenerate_policies_earn_nothing(base: PythonSession, policy: str) -> None:
    assert policy_reward(base, DEGENERATE[policy], 5) == 0


def test_the_cells_give_the_answers_and_prompts_do_not(env: PythonSession) -> None:
    found = Counter[int]()
    for task in tasks(env, 200):
        names: dict[str, Any] = {name: list(value) for name, value in task.metadata["variables"].items()}
        for cell, answer in zip(task.metadata["cells"], task.answer, strict=True):
            *steps, last = cell.split("\n")
            with redirect_stdout(io.StringIO()):
                exec("\n".join(steps), names)
            assert eval(last, names) == answer
        said = " ".join([task.prompt, *task.metadata["follow_ups"]])
        assert not [answer for answer in task.answer if str(answer) in said]
        assert len(task.answer) == len(set(task.answer)) == 1 + len(task.metadata["follow_ups"])
        found[task.answer[0]] += 1
    assert max(found.values()) <= 10


def test_near_misses_earn_nothing(base: PythonSession) -> None:
    others = list(tasks(base, 12))
    for task, other in pairwise(others):
        first, second = task.answer
        for said in (
            [first, second + 1],
            [first - 1, second],
            [second, first],
            [first, first],
            [f"{first} or {first + 1}", second],
            [", ".join(str(first + n) for n in range(10)), second],
            [round(first * 1.05) or 2, second],
            ["", second],
            [f"<think>{first}</think>", second],
            other.answer,
        ):
            base.reset(options={"task": task})
            assert play(base, [str(one) for one in said]) == 0, (said, task.answer)


def test_right_answers_in_other_words(base: PythonSession) -> None:
    task = next(task for task in tasks(base, 50) if min(task.answer) > 1000)
    for form in ("{}", "The answer is **{}**.", r"\boxed{{{}}}", "After some work I get {}.", "{:,}", "Answer: {} EUR"):
        base.reset(options={"task": task})
        assert play(base, [form.format(answer) for answer in task.answer]) == 1, form


def test_an_episode_that_stops_early_earns_nothing(base: PythonSession) -> None:
    base.reset(seed=1)
    assert base.task is not None
    base.step(f"{base.task.answer[0]}")
    assert base.metrics["answered"] == 1
    for _ in range(16):
        *_, reward, terminated, truncated, info = base.step(assistant("", tool_call("python", code="1")))
        if terminated or truncated:
            assert reward == 0
            assert info["metrics"]["right"] == 0.5
            break
    else:
        raise AssertionError("it did not end")


def test_the_session_keeps_its_state(base: PythonSession) -> None:
    base.reset(seed=0)
    assert base.task is not None
    name = next(iter(base.task.metadata["variables"]))
    assert run(base, f"len({name})") == "40"
    assert run(base, "x = 5") == "(no output)"
    assert run(base, "print('a')\nx + 1") == "a\n6"
    assert "ZeroDivisionError" in run(base, "1 / 0")
    assert "SyntaxError" in run(base, "def")
    assert len(run(base, "'y' * 20000")) < 8100
    assert "The session has ended" in run(base, "import os\nos._exit(3)")
    assert "NameError" in run(base, "x")
    assert run(base, f"len({name})") == "40"
    assert "code" in run(base, {"no": "text"})
    base.reset(seed=1)
    assert "NameError" in run(base, "x")


def test_a_cell_that_does_not_end_is_interrupted(base: PythonSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmgym.envs.cells.SECONDS", 0.2)
    base.reset(seed=0)
    run(base, "x = 5")
    assert "interrupted" in run(base, "while True: pass")
    assert run(base, "x") == "5"


def test_episodes_end_their_sessions(base: PythonSession) -> None:
    base.reset(seed=0)
    run(base, "1")
    assert base.cells is not None
    session = base.cells._session  # pyright: ignore[reportPrivateUsage]
    assert session is not None
    base.reset(seed=1)
    assert session._lost is not None  # pyright: ignore[reportPrivateUsage]


def test_rows() -> None:
    row: dict[str, Any] = {"prompt": "How many?", "answer": 3, "variables": {"x": [1, "ü\\'", None]}}
    task = PythonSession.read_row(row)
    assert (task.answer, task.metadata["variables"]) == ([3], {"x": [1, "ü\\'", None]})
    env = PythonSession()
    env.reset(options={"task": task})
    assert run(env, "x") == repr([1, "ü\\'", None])
    assert play(env, ["There are 3."]) == 1
    more = PythonSession.read_row({**row, "answer": [3, "Oslo"], "follow_ups": ["Where?"]})
    env.reset(options={"task": more})
    assert play(env, ["3", "The answer is Oslo."]) == 1
    assert oracle_rewards(env, 1) == [1.0]
    env.close()


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"variables": None}, "variables"),
        ({"variables": {"no name": 1}}, "variables"),
        ({"answer": [1, 2]}, "follow_ups"),
        ({"answer": None}, "not None"),
        ({"answer": True}, "not True"),
        ({"follow_ups": ["And?"]}, "follow_ups"),
    ],
)
def test_rows_that_are_none(columns: dict[str, Any], said: str) -> None:
    with pytest.raises((ValueError, TypeError), match=said):
        PythonSession.read_row({"prompt": "How many?", "answer": 3, "variables": {"x": 1}, **columns})


def test_rows_fit_their_schema() -> None:
    jsonschema = pytest.importorskip("jsonschema_rs")
    schema = jsonschema.validator_for(PythonSession.row_schema())
    assert schema.is_valid({"prompt": "How many?", "answer": 3, "variables": {"x": 1}})
    assert not schema.is_valid({"prompt": "How many?", "answer": 3})


def test_arguments() -> None:
    wrong: list[dict[str, Any]] = [{"records": 2}, {"questions": 0}, {"filters": 9}]
    for arguments in wrong:
        with pytest.raises(ConfigError):
            PythonSession(**arguments)
