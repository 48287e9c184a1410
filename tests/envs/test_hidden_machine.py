"""A machine with a hidden state: what runs show, what a goal pays, and that searching finds it within the budget."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.envs.hidden_machine import HiddenMachine
from llmgym.envs.hidden_machine.machines import BUTTONS, Machine, Machines, cost_of
from llmgym.errors import ConfigError
from llmgym.messages import assistant, tool_call
from llmgym.tasks import Task
from tests.envs.checks import DEGENERATE, oracle_rewards, policy_reward

VARIANTS = ["", "-easy", "-hard"]
TABLE = [[[1, "red"], [0, "green"]], [[0, "green"], [1, "red"]]]
TASK = Task(
    prompt="Light red, green, green.", metadata={"table": TABLE, "goal": ["red", "green", "green"], "budget": 9}
)


def env_of(variant: str = "", **options: Any) -> HiddenMachine:
    env = gymnasium.make(f"llmgym/HiddenMachine{variant}-v0", **options).unwrapped
    assert isinstance(env, HiddenMachine)
    return env


def answers(env: HiddenMachine, *calls: Any) -> list[str]:
    results, *_ = env.step(assistant("", *calls))
    return [message["content"] for message in results]


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_oracle_finds_every_goal_by_experiments(variant: str) -> None:
    assert set(oracle_rewards(env_of(variant), 20)) == {1.0}


@pytest.mark.parametrize("name", DEGENERATE)
@pytest.mark.parametrize("variant", VARIANTS)
def test_policies_that_are_no_good_earn_nothing(variant: str, name: str) -> None:
    assert policy_reward(env_of(variant), DEGENERATE[name]) <= 0.02


def test_runs_start_anew_and_presses_are_counted() -> None:
    env = env_of()
    env.reset(options={"task": TASK})
    run = tool_call("run", buttons=["a", " B ", "A"])
    assert answers(env, run, run) == ["red, red, green (6 presses left)", "red, red, green (3 presses left)"]
    assert answers(env, tool_call("run", buttons=["A"] * 4)) == [
        "Error: 4 presses, and 3 are left; perform when you are ready"
    ]
    _, reward, terminated, _, info = env.step(assistant("", tool_call("perform", buttons=["A", "A", "B"])))
    assert (reward, terminated) == (1, True)
    assert (info["metrics"]["presses"], info["metrics"]["budget_left"]) == (6, 3 / 9)


@pytest.mark.parametrize("buttons", [["A", "A"], ["A", "A", "B", "B"], ["B", "A", "A"], ["A", "A", "A"]])
def test_what_is_not_the_goal_earns_nothing(buttons: list[str]) -> None:
    env = env_of()
    env.reset(options={"task": TASK})
    _, reward, terminated, _, _ = env.step(assistant("", tool_call("perform", buttons=buttons)))
    assert (reward, terminated) == (0, True)


@pytest.mark.parametrize(
    ("buttons", "said"),
    [
        ([], "press 1 to 40 buttons, not 0"),
        (["A"] * 41, "press 1 to 40 buttons, not 41"),
        (["C"], "there is no button 'C'; there is A, B"),
        (["AB"], "there is no button 'AB'"),
        ([""], "there is no button ''"),
        (["x" * 9999], "there is no button 'xxxxxxxxxxxxxxxxxxxx'"),
        ("AAB", "buttons"),
        ([1], "buttons"),
    ],
)
def test_what_cannot_be_pressed_is_told_and_ends_nothing(buttons: Any, said: str) -> None:
    env = env_of()
    env.reset(options={"task": TASK})
    for name in ("run", "perform"):
        [error] = answers(env, tool_call(name, buttons=buttons))
        assert error.startswith("Error: ")
        assert said in error
    assert env.left == 9


@given(st.integers(0, 2**32), st.integers(2, 5), st.integers(2, 6), st.integers(3, 6))
def test_goals_can_be_reached_and_seldom_by_luck(seed: int, buttons: int, states: int, length: int) -> None:
    task = Machines(buttons, states, 4, length, 3 * length)(np.random.default_rng(seed))
    machine, goal = Machine(task.metadata["table"]), task.metadata["goal"]
    assert 1 <= machine.count(goal) <= max(1, buttons**length / 200)
    presses, rounds = cost_of(BUTTONS[:buttons], goal, machine.run)
    assert presses <= task.metadata["budget"]
    assert rounds <= 3 * length


@pytest.mark.parametrize(
    ("goal", "stateless"),
    [(["red", "green", "green"], True), (["red", "green", "red"], False), (["green", "green", "red"], True)],
)
def test_whether_a_button_for_each_lamp_would_do(goal: list[str], stateless: bool) -> None:
    table = [[(1, "red"), (0, "green")], [(1, "green"), (1, "red")]]
    assert Machine(table).is_stateless(goal) is stateless


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_button_for_each_lamp_reaches_no_goal(variant: str) -> None:
    env = env_of(variant)
    for seed in range(100):
        env.reset(seed=seed)
        single = dict(zip((env.machine.run([button])[0] for button in env.buttons), env.buttons, strict=True))
        assert env.machine.run([single.get(lamp, "A") for lamp in env.goal]) != env.goal


@pytest.mark.parametrize("options", [{"buttons": 1}, {"states": 1}, {"lamps": 9}, {"length": 2}, {"rounds": 3}])
def test_arguments_out_of_range_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(options))}="):
        HiddenMachine(**options)
