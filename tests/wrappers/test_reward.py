"""Rewards are shaped as documented, and unscored episodes stay unscored."""

from __future__ import annotations

import math

from llmgym.messages import assistant, tool_call
from llmgym.wrappers import FormatReward, ScaleReward, ToolPenalty
from tests.environments import Adder, Chat, Kitchen

CALL = assistant("thinking", tool_call("add", a=1))
BAD = assistant("", tool_call("subtract"))


def test_a_reward_is_scaled_shifted_and_bounded_at_each_step() -> None:
    env = ScaleReward(Chat(), scale=2.0, shift=-0.25, low=0.5, high=1.0)
    env.reset(seed=0)
    assert env.task is not None
    assert [env.step(text)[1] for text in ("a", "b")] == [0.5, 0.5]  # 0.25 each
    assert env.step(str(env.task.answer))[1] == 1.0  # 1.25


def test_unscored_stays_unscored() -> None:
    for wrapper in (ScaleReward(Kitchen(), low=0.0), ToolPenalty(Kitchen()), FormatReward(Kitchen(), pattern="x")):
        wrapper.reset(seed=0)
        *_, info = step = wrapper.step("done")
        assert math.isnan(step[1])
        assert info["reward_parts"]["correct"] is None


def test_tool_calls_and_errors_cost() -> None:
    env = ToolPenalty(Adder(), per_call=0.25, per_error=0.5)
    for _ in range(2):
        env.reset(seed=0)
        assert env.step(CALL)[1] == -0.25
        assert env.step(assistant("", *CALL["tool_calls"], *BAD["tool_calls"]))[1] == -1.0
        _, reward, *_, info = env.step("done")
        assert reward == 0.0
        assert info["reward_parts"] == {"correct": 0.0, "tool_penalty": -1.25}


def test_a_format_is_rewarded_at_each_message() -> None:
    env = FormatReward(Adder(), pattern=r"\Athink", match=0.5, miss=-1.0, name="thinks")
    env.reset(seed=0)
    assert [env.step(action)[1] for action in (CALL, BAD)] == [0.5, -1.0]
    _, reward, *_, info = env.step("thinking\n'think'")
    assert reward == 0.5
    assert info["reward_parts"] == {"correct": 0.0, "thinks": 0.0}


def test_a_format_may_concern_text_only() -> None:
    env = FormatReward(Adder(), pattern=r"\d\Z", miss=-1.0, messages="text")
    env.reset(seed=0)
    assert [env.step(action)[1] for action in (CALL, "it is 7")] == [0.0, 1.0]


def test_parts_of_one_name_add_up() -> None:
    env = FormatReward(FormatReward(ScaleReward(ScaleReward(Chat(), scale=2.0), shift=0.5), "a"), "a", name="correct")
    env.reset(seed=0)
    assert env.task is not None
    total = sum(env.step(text)[1] for text in ("a", "b"))
    _, reward, *_, info = env.step(str(env.task.answer))
    weights = info["reward_weights"]
    shares = {name: weights[name] * value for name, value in info["reward_parts"].items()}
    assert shares["format"] == 1.0
    assert shares["scale_reward"] == 1.5 + 1.75  # what each of the two changed
    assert math.isclose(sum(shares.values()) + 0.75, total + reward)  # 0.75 of the environment's own steps
