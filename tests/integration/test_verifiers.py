"""Tasksets of the real verifiers, in the environments that `make test-integration` makes for them."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from llmgym.adapters.verifiers.env import Verifiers
from llmgym.errors import ConfigError, EnvironmentFailure
from llmgym.messages import assistant, tool_call
from llmgym.registry import make_core
from llmgym.testing import check_text_env
from llmgym.testing.audit import audit_env

pytestmark = pytest.mark.integration

_ROOT = Path(__file__).parents[2]
_FOLDER = _ROOT / "tests" / "adapters" / "tasksets"
_REVERSED = "<reversed_text>{answer}</reversed_text>"


def _python(variable: str, folder: str) -> str:
    """The interpreter of an environment; the variable names another one."""
    python = os.environ.get(variable, str(_ROOT / folder / "bin" / "python"))
    if not Path(python).exists():
        pytest.skip(f"needs an environment with verifiers: make {folder}/.stamp, or {variable}=PYTHON")
    return python


@pytest.fixture
def classic() -> dict[str, Any]:
    return {"python": _python("LLMGYM_VERIFIERS", ".venv-verifiers"), "path": str(_FOLDER)}


@pytest.fixture
def v1() -> dict[str, Any]:
    return {"python": _python("LLMGYM_VERIFIERS_V1", ".venv-verifiers-v1"), "path": str(_FOLDER)}


def made(**options: Any) -> Verifiers:
    env = make_core("llmgym/Verifiers-v0", **options)
    assert isinstance(env, Verifiers)
    return env


def test_one_turn(classic: dict[str, Any]) -> None:
    env = made(taskset="local-reverse", solution=_REVERSED, **classic)
    (system, question), _ = env.reset(seed=0)
    assert system["content"] == "Answer in <reversed_text> tags."
    assert question["content"] == env.task.metadata["question"]
    _, reward, done, _, info = env.step(next(iter(env.oracle(env.task))))
    assert (reward, done) == (pytest.approx(1.2), True)
    assert info["reward_weights"] == {"exact": 1.0, "format_reward_func": 0.2}
    assert "count" not in info["metrics"]
    env.reset(seed=1)
    assert env.step("hello")[1] == pytest.approx(0.04)


def test_a_reward_function_that_raises_leaves_the_episode_unscored(classic: dict[str, Any]) -> None:
    env = made(taskset="local-reverse", args={"fails": True}, **classic)
    env.reset(seed=0)
    with pytest.raises(EnvironmentFailure, match="'exact' failed: RuntimeError: no key for the judge"):
        env.step("hello")


def test_stateful_tools(classic: dict[str, Any]) -> None:
    env = made(taskset="local-desk", **classic)
    _, info = env.reset(seed=0)
    assert list(info["tools"][0]["function"]["parameters"]["properties"]) == ["text"]
    calls = [tool_call("keep", text="a"), tool_call("nope"), tool_call("keep", text="a"), tool_call("boom")]
    said = [message["content"] for message in env.step(assistant("", *calls))[0]]
    assert said == ["1 notes", "Error: there is no tool 'nope'; there is keep, boom, die", "2 notes", "boom"]
    env.step(assistant("", tool_call("keep", text=env.task.answer)))
    _, reward, done, _, info = env.step("Done.")
    assert (reward, done, info["metrics"]["keep_calls"]) == (1.0, True, 3.0)
    env.reset(seed=0)
    for turn in range(1, 6):
        _, reward, done, truncated, _ = env.step(assistant("", tool_call("keep", text=str(turn))))
        assert (done, truncated) == (turn == 5, False)  # the taskset's own limit
    assert reward == 0.0


def test_several_turns(classic: dict[str, Any]) -> None:
    env = made(taskset="local-guess", **classic)
    assert (env.tasks.size("train"), env.tasks.size("test")) == (8, 8)
    env.reset(options={"task_id": "test-3"})
    secret = int(env.task.answer)
    assert env.step(str(secret - 1))[0][0]["content"] == "Higher."
    (last,), reward, done, _, _ = env.step(str(secret))
    assert (last["content"], reward, done) == ("Right.", 1.0, True)
    env = made(taskset="local-guess", max_turns=2, **classic)
    env.reset(seed=0)
    env.step("x")
    assert env.step("x")[1:4] == (0.0, False, True)


def test_many_episodes_at_once_and_the_death_of_their_worker(classic: dict[str, Any]) -> None:
    async def play(env: Verifiers, seed: int) -> float:
        await env.areset(seed=seed)
        assert env.task is not None
        await env.astep(assistant("", tool_call("keep", text=env.task.answer)))
        return (await env.astep("Done."))[1]

    async def run() -> None:
        envs = [made(taskset="local-desk", **classic) for _ in range(40)]
        assert set(await asyncio.gather(*map(play, envs, range(40)))) == {1.0}
        await envs[0].areset(seed=0)
        await envs[1].areset(seed=1)
        with pytest.raises(EnvironmentFailure, match="has died"):
            await envs[0].astep(assistant("", tool_call("die")))
        with pytest.raises(EnvironmentFailure, match="has died"):
            await envs[1].astep("Done.")
        assert await play(envs[1], 1) == 1.0

    asyncio.run(run())


def test_a_published_taskset(classic: dict[str, Any]) -> None:
    env = made(taskset="stardata.envs.constraint_gym", python=classic["python"])
    env.reset(seed=0)
    _, reward, done, _, info = env.step("cold night")
    assert 0 <= reward <= 1
    assert done
    assert list(info["reward_parts"]) == ["prosody_reward"]


def test_it_conforms_and_its_rewards_are_looked_at(classic: dict[str, Any]) -> None:
    options = {"taskset": "local-reverse", "solution": _REVERSED, **classic}
    check_text_env("llmgym/Verifiers-v0", num_tasks=3, seconds=2, **options)
    check_text_env("llmgym/Verifiers-v0", num_tasks=3, seconds=2, taskset="local-desk", **classic)
    audit_env("llmgym/Verifiers-v0", num_tasks=3, seconds=5, **options)


def test_the_second_generation(v1: dict[str, Any]) -> None:
    env = made(taskset="local-sums", args={"size": 7}, **v1)
    assert (env.tasks.size("train"), env.tasks.size("test")) == (6, 1)
    (system, _), info = env.reset(seed=0)
    assert system["content"] == "Note it, then say it."
    assert {schema["function"]["name"] for schema in info["tools"]} == {"desk_keep", "desk_boom"}
    answer = env.task.answer
    said, *_ = env.step(assistant("", tool_call("desk_keep", text=answer), tool_call("desk_boom")))
    assert [message["content"] for message in said] == ["1 notes", "Error executing tool boom: boom"]
    _, reward, done, _, info = env.step(answer)
    assert (reward, done) == (1.0, True)
    assert info["reward_weights"] == {"right": 0.75, "noted": 0.25}
    env.reset(seed=0)
    assert env.step(answer)[1] == 0.75
    env.reset(seed=0)
    assert env.step(assistant("", *[tool_call("desk_keep", text=answer)] * 4))[1:3] == (0.25, True)
    check_text_env("llmgym/Verifiers-v0", num_tasks=3, seconds=2, taskset="local-sums", **v1)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"taskset": "local-nope"}, "has no taskset 'local-nope'"),
        ({"taskset": "local-boxed"}, "cannot be adapted: its reward 'ran' needs a container"),
        ({"taskset": "local-sums", "args": {"sise": 3}}, "ValidationError"),
    ],
)
def test_what_cannot_be_loaded_of_the_second_generation(v1: dict[str, Any], options: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        made(**options, **v1)
