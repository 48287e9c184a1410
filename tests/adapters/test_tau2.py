"""tau2-bench's tasks: gold calls earn the reward, nothing earns none, and a model as the customer."""

from __future__ import annotations

import os
import random
from typing import Any

import pytest

from llmgym.errors import ConfigError
from llmgym.messages import assistant, tool_call
from llmgym.policies import ScriptedPolicy
from llmgym.registry import make_core
from llmgym.tasks import Task

pytest.importorskip("tau2")
pytest.importorskip("loguru")

from llmgym.adapters.tau2 import domains

IDS = {"llmgym/Tau2-v0": 107, "llmgym/Tau2-airline-v0": 31, "llmgym/Tau2-telecom-v0": 114}


def tasks_of(env: Any) -> list[Task]:
    return [env.tasks.plan(split, 0, index) for split in env.tasks.splits for index in range(env.tasks.size(split))]


def play(env: Any, task: Task, said: list[Any]) -> float:
    env.reset(options={"task": task})
    return sum(env.step(message)[1] for message in said or env.oracle(env.task))


def prove(env: Any, tasks: list[Task]) -> None:
    for task in tasks:
        assert play(env, task, ["nothing"]) == 0.0, task.id
        assert play(env, task, []) == 1.0, task.id
    shared, fresh = domains._origin(env.domain), new_world(env.domain)
    assert (shared.get_db_hash(), shared.get_user_db_hash()) == (fresh.get_db_hash(), fresh.get_user_db_hash())


def new_world(domain: str) -> Any:
    """One that shares nothing, as the package makes it."""
    return domains._module(domain).get_environment(solo_mode=domain == "telecom")


@pytest.mark.parametrize("env_id", IDS)
def test_gold_calls_serve_and_nothing_does_not(env_id: str) -> None:
    env = make_core(env_id)
    tasks = tasks_of(env)
    assert len(tasks) == IDS[env_id]
    prove(env, tasks[::20])


@pytest.mark.sweep
@pytest.mark.timeout(900)
@pytest.mark.parametrize("env_id", IDS)
def test_gold_calls_serve_in_every_task(env_id: str) -> None:
    env = make_core(env_id)
    prove(env, tasks_of(env))


def test_a_wrong_write_costs_the_reward_and_wrong_calls_are_answered() -> None:
    env = make_core("llmgym/Tau2-v0")
    env.reset(options={"task_id": "retail-0"})
    calls = [tool_call("get_order_details", order_id="#W0"), tool_call("__init__"), tool_call("get_order_details")]
    said = [message["content"] for message in env.step(assistant("", *calls))[0]]
    assert said[0] == "Error: Order not found"
    assert said[1].startswith("Error: there is no tool")
    assert said[2].startswith("Error: invalid arguments for get_order_details: 'order_id' is missing")
    gold = list(env.oracle(env.task))
    for message in gold[:-2]:
        env.step(message)
    env.step(assistant("", tool_call("cancel_pending_order", order_id="#W2378156", reason="no longer needed")))
    assert env.step(gold[-1])[1] == 0.0


def test_the_calculator_has_the_operators_that_it_names() -> None:
    env = make_core("llmgym/Tau2-airline-v0")
    env.reset(seed=0)
    assert env.step(assistant("", tool_call("calculate", expression="2 * 3 / 4")))[0][-1]["content"] == "1.5"
    said = env.step(assistant("", tool_call("calculate", expression="2 ** 3")))[0][-1]["content"]
    assert said.endswith("Invalid expression: its operators are +, -, * and /")


@pytest.mark.parametrize("domain", ["retail", "airline"])
def test_worlds_are_told_apart_as_by_the_packages_hashes(domain: str) -> None:
    env = make_core("llmgym/Tau2-v0", domain=domain)
    verdicts = set[float]()
    for task in tasks_of(env)[::15]:
        gold = new_world(domain)
        for action in domains.gold(domains.tasks(domain)[task.metadata["tau2"]]):
            domains.make_call(gold, action.name, action.arguments)
        env.reset(options={"task": task})
        said = list(env.oracle(env.task))[:-1]
        for played in (said[:-1], said):
            env.reset(options={"task": task})
            for message in [*played, "Done."]:
                *_, info = env.step(message)
            assert info["metrics"]["db"] == (env.world.get_db_hash() == gold.get_db_hash()), task.id
            verdicts.add(info["metrics"]["db"])
    assert verdicts == {0.0, 1.0}


def test_a_model_as_the_customer() -> None:
    replies = iter(["I want to exchange a keyboard.", "Yes.", "Thanks. ###STOP###"])
    seen: list[Any] = []

    def customer_says(messages: Any, tools: Any) -> str:
        seen.append(messages)
        return next(replies)

    customer = ScriptedPolicy(customer_says)
    env = make_core("llmgym/Tau2Live-v0", models={"user": customer})
    opening, _ = env.reset(options={"task_id": "retail-0"})
    assert [message["role"] for message in opening] == ["system", "assistant", "user"]
    (answer,), _, done, *_ = env.step("Shall I go on?")
    assert (answer["content"], done) == ("Yes.", False)
    for message in list(env.oracle(env.task))[:-1]:
        env.step(message)
    answers, reward, done, *_ = env.step("It is done.")
    assert (answers, reward, done) == ((), 1.0, True)
    assert "Yusuf Rossi" in seen[0][0]["content"]
    env.close()


def test_the_process_is_as_it_was(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    random.seed(1)
    numbers, variables = random.getstate(), dict(os.environ)
    play(make_core("llmgym/Tau2-telecom-v0"), tasks_of(make_core("llmgym/Tau2-telecom-v0"))[0], [])
    assert (random.getstate(), {**os.environ}) == (numbers, {**variables, **_pytests()})


def _pytests() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("PYTEST")}


def test_there_is_no_such_domain() -> None:
    with pytest.raises(ConfigError, match="retail, airline, telecom"):
        make_core("llmgym/Tau2-v0", domain="bank")
