"""Rewards: weighted parts, and what stays unscored."""

from __future__ import annotations

import numpy as np
import pytest

from llmgym.rewards import Part, Reward


def test_parts_add_up_by_weight() -> None:
    assert Reward(correct=1.0, format=Part(0.5, weight=0.1)).value == pytest.approx(1.05)


def test_metrics_do_not_count() -> None:
    reward = Reward(correct=0.0, metrics={"lookups": 7})
    assert reward.value == 0.0
    assert reward.metrics == {"lookups": 7}


@pytest.mark.parametrize(
    "reward",
    [
        Reward(),
        Reward(correct=None),
        Reward(correct=1.0, style=None),
        Reward(correct=Part(None)),
        Reward(a=float("nan")),
    ],
)
def test_unscored_is_none_and_never_zero(reward: Reward) -> None:
    assert reward.value is None


@pytest.mark.parametrize(("result", "value"), [(None, None), (True, 1.0), (0, 0.0), (0.25, 0.25), (np.float32(1), 1.0)])
def test_a_verifier_may_return_a_number(result: float | None, value: float | None) -> None:
    reward = Reward.of(result)
    assert reward.value == value
    assert list(reward.parts) == ["correct"]
    assert value is None or type(reward.value) is float


def test_a_reward_is_read_as_it_is() -> None:
    reward = Reward(a=1.0)
    assert Reward.of(reward) is reward


def test_numpy_parts_give_a_plain_float() -> None:
    assert type(Reward(a=Part(np.float32(0.5), weight=2)).value) is float


def test_the_repr_names_the_parts() -> None:
    assert "correct" in repr(Reward(correct=1.0, metrics={"m": 2}))
