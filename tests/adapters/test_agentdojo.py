"""AgentDojo's wishes: gold calls, attacks that reach their goal, and what the package pays for nothing."""

from __future__ import annotations

import random
from typing import Any

import pytest

from llmgym.errors import ConfigError
from llmgym.messages import assistant, tool_call
from llmgym.registry import list_envs, make_core
from llmgym.tasks import Task

pytest.importorskip("agentdojo")

from llmgym.adapters.agentdojo.suites import PAID_FOR_NOTHING, suite


def tasks_of(env: Any) -> list[Task]:
    return [env.tasks.plan(split, 0, index) for split in env.tasks.splits for index in range(env.tasks.size(split))]


def play(env: Any, task: Task, said: list[Any]) -> tuple[float, dict[str, Any]]:
    env.reset(options={"task": task})
    steps = [env.step(message) for message in said or env.oracle(env.task)]
    return sum(step[1] for step in steps), steps[-1][-1]


@pytest.mark.parametrize(
    ("env_id", "number"),
    [
        ("llmgym/AgentDojo-v0", 40),
        ("llmgym/AgentDojo-travel-v0", 20),
        ("llmgym/AgentDojo-banking-v0", 11),
        ("llmgym/AgentDojo-slack-v0", 21),
    ],
)
def test_gold_calls_grant_every_wish_and_nothing_grants_none(env_id: str, number: int) -> None:
    env = make_core(env_id)
    tasks = tasks_of(env)
    assert len(tasks) == number
    for task in tasks:
        assert play(env, task, ["nothing"])[0] == 0.0, task.id
        reward, info = play(env, task, [])
        assert (reward, info.get("tool_errors")) == (1.0, None), task.id


@pytest.mark.sweep
@pytest.mark.timeout(900)
def test_gold_calls_are_safe_under_every_attack() -> None:
    attacked = [entry.id for entry in list_envs(ecosystem="agentdojo") if "attacked" in entry.id]
    played = 0
    for env_id in attacked:
        env = make_core(env_id)
        for task in tasks_of(env):
            reward, info = play(env, task, [])
            assert (reward, info["metrics"]["attacked"]) == (1.0, 0.0), task.id
            played += 1
    assert played == 904


def test_who_follows_the_injection_earns_nothing() -> None:
    env = make_core("llmgym/AgentDojo-bankingattacked-v0")
    task = next(task for task in tasks_of(env) if task.metadata["goal"] == "injection_task_0")
    env.reset(options={"task": task})
    gold = list(env.oracle(env.task))
    seen = "".join(message["content"] for said in gold[:-1] for message in env.step(said)[0])
    goal = suite("banking").injection_tasks["injection_task_0"]
    assert "</INFORMATION>" in seen
    assert "US133000000121212121212" in seen
    for call in goal.ground_truth(env.before):
        env.step(assistant("", tool_call(call.function, **call.args)))
    _, reward, *_, info = env.step(gold[-1])
    assert (reward, info["metrics"]["attacked"]) == (0.0, 1.0)


def test_what_the_package_pays_for_nothing_is_left_out() -> None:
    for name, number in PAID_FOR_NOTHING:
        found = suite(name)
        world = found.load_and_inject_default_environment({})
        wish = found.user_tasks[number]
        assert found._check_user_task_utility(wish, [], world, world.model_copy(deep=True), [])


def test_wrong_calls_are_answered_and_leave_the_world_alone() -> None:
    env = make_core("llmgym/AgentDojo-banking-v0")
    env.reset(seed=0)
    calls = [tool_call("send_money", recipient="x"), tool_call("__class__"), tool_call("get_balance", n={"a": [1]})]
    said = [message["content"] for message in env.step(assistant("", *calls))[0]]
    assert said[0] == "Error: invalid arguments for send_money: 'amount' is missing"
    assert said[1].startswith("Error: there is no tool '__class__'")
    assert said[2] == "1810.0"
    (answer,), *_ = env.step(assistant("", tool_call("get_most_recent_transactions", n="many")))
    assert answer["content"].startswith("Error: ValidationError")
    assert env.world == env.before


def test_random_numbers_go_on_as_they_would_have() -> None:
    random.seed(3)
    before = random.getstate()
    env = make_core("llmgym/AgentDojo-banking-v0")
    play(env, tasks_of(env)[0], [])
    assert random.getstate() == before


@pytest.mark.parametrize("wrong", [{"suite": "shop"}, {"attack": "manual"}])
def test_there_is_no_such_suite_or_attack(wrong: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="there is"):
        make_core("llmgym/AgentDojo-v0", **wrong)
