"""Advantages, against the formulas written out episode by episode and token by token."""

from __future__ import annotations

import math
import statistics
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym import advantages
from llmgym.errors import ConfigError

REWARDS = st.sampled_from([0.0, 0.25, 1.0, -1.0, 3.0]) | st.floats(-5, 5, width=16)


@st.composite
def batches(draw: st.DrawFn) -> dict[str, list[Any]]:
    """Rows of episodes in groups of unequal size, in no order; some episodes have several rows."""
    rows: list[tuple[float, int, int, int]] = []
    episode = 0
    for group in range(draw(st.integers(1, 4))):
        for _ in range(draw(st.integers(1, 5))):
            reward = draw(REWARDS)
            rows += [(reward, group, episode, draw(st.integers(1, 9))) for _ in range(draw(st.integers(1, 3)))]
            episode += 1
    rows = draw(st.permutations(rows))
    names = ("rewards", "group_ids", "episode_ids", "num_tokens")
    return {name: [row[i] for row in rows] for i, name in enumerate(names)}


def peers(batch: dict[str, list[Any]], row: int, *, others: bool = False) -> list[float]:
    """Rewards of the group of a row, one for each episode."""
    zipped = zip(batch["rewards"], batch["group_ids"], batch["episode_ids"], strict=True)
    group, mine = batch["group_ids"][row], batch["episode_ids"][row]
    once = {episode: reward for reward, g, episode in zipped if g == group}
    return [reward for episode, reward in once.items() if not (others and episode == mine)]


def naive(name: str, batch: dict[str, list[Any]], row: int) -> float:
    reward, group = batch["rewards"][row], peers(batch, row)
    match name:
        case "dr_grpo":
            return reward - statistics.fmean(group)
        case "rloo":
            others = peers(batch, row, others=True)
            return reward - statistics.fmean(others) if others else 0.0
        case "grpo":
            deviation = statistics.stdev(group) if len(group) > 1 else 0.0
            return (reward - statistics.fmean(group)) / deviation if deviation > 1e-8 else 0.0
    tokens = [r for r, n in zip(batch["rewards"], batch["num_tokens"], strict=True) for _ in range(n)]
    deviation = statistics.pstdev(tokens)
    return (reward - statistics.fmean(tokens)) / deviation if deviation > 1e-8 else 0.0


@pytest.mark.parametrize("name", ["grpo", "dr_grpo", "rloo", "reinforce++"])
@given(batch=batches())
def test_estimators_are_their_formulas(name: Any, batch: dict[str, list[Any]]) -> None:
    found = advantages.estimate(name, **batch)
    assert found.dtype == np.float32
    expected = [naive(name, batch, row) for row in range(len(found))]
    assert found.tolist() == pytest.approx(expected, rel=1e-4, abs=1e-5)


@given(batches(), st.floats(-3, 3, width=16), st.floats(0.5, 4, width=16))
def test_what_scaled_estimators_do_not_see(batch: dict[str, list[Any]], shift: float, scale: float) -> None:
    moved = {**batch, "rewards": [reward * scale + shift for reward in batch["rewards"]]}
    assert advantages.estimate("grpo", **moved) == pytest.approx(advantages.estimate("grpo", **batch), abs=1e-3)
    plain = advantages.estimate("dr_grpo", **batch)
    assert advantages.estimate("dr_grpo", **moved) == pytest.approx(scale * plain, abs=1e-4)


def test_groups_of_one_and_of_equals_teach_nothing() -> None:
    rewards, groups, episodes = [5.0, 0.1, 0.1, 0.1], [0, 1, 1, 1], [0, 1, 2, 3]
    for estimator in (advantages.grpo, advantages.dr_grpo, advantages.rloo):
        assert estimator(rewards, groups, episodes).tolist() == [0.0] * 4
    assert advantages.reinforce_plus_plus([2.0, 2.0], [1, 9]).tolist() == [0.0, 0.0]
    assert advantages.reinforce_plus_plus([2.0, 3.0], [0, 0]).tolist() == [0.0, 0.0]
    assert not advantages.reinforce_plus_plus([1e12 / 3] * 3, [1, 3, 7]).any()  # whose mean is rounded


def test_reinforce_plus_plus_weighs_tokens() -> None:
    found = advantages.reinforce_plus_plus([1.0, 0.0], [1, 3])
    assert found.tolist() == pytest.approx([0.75 / math.sqrt(3 / 16), -0.25 / math.sqrt(3 / 16)])


def test_an_unknown_estimator_is_named_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"'ppo'.*grpo, dr_grpo, rloo, reinforce\+\+"):
        advantages.estimate("ppo", [1.0], [0], [0], [1])  # type: ignore[arg-type]


# --- GAE ----------------------------------------------------------------------------------------


def sampled_row(draw: st.DrawFn) -> tuple[list[float], list[float], list[bool]]:
    mask = draw(st.lists(st.booleans(), min_size=1, max_size=12))
    rewards = [draw(REWARDS) if sampled else 0.0 for sampled in mask]
    return rewards, [draw(REWARDS) for _ in mask], mask


@st.composite
def rows(draw: st.DrawFn) -> list[tuple[list[float], list[float], list[bool]]]:
    return [sampled_row(draw) for _ in range(draw(st.integers(1, 4)))]


def padded(columns: list[list[Any]], fill: Any) -> np.ndarray[Any, Any]:
    width = max(map(len, columns))
    return np.array([[*column, *[fill] * (width - len(column))] for column in columns])


def naive_gae(rewards: list[float], values: list[float], gamma: float, lam: float) -> list[float]:
    """The sum of discounted differences, as it is defined, of a row without context."""
    ahead = [*values[1:], 0.0][: len(values)]
    delta = [r + gamma * after - v for r, v, after in zip(rewards, values, ahead, strict=True)]
    return [sum((gamma * lam) ** (k - t) * delta[k] for k in range(t, len(delta))) for t in range(len(delta))]


@given(rows(), st.sampled_from([0.0, 0.9, 1.0]), st.sampled_from([0.0, 0.5, 1.0]))
def test_gae_is_that_of_the_sampled_tokens_alone(given: Any, gamma: float, lam: float) -> None:
    rewards, values, mask = ([row[i] for row in given] for i in range(3))
    found = advantages.gae(padded(rewards, 0.0), padded(values, np.nan), padded(mask, False), gamma, lam)
    for row, (reward, value, sampled) in enumerate(given):
        places = [i for i, s in enumerate(sampled) if s]
        expected = naive_gae([reward[i] for i in places], [value[i] for i in places], gamma, lam)
        assert found[row][places].tolist() == pytest.approx(expected, rel=1e-4, abs=1e-4)
        rest = sorted(set(range(found.shape[1])) - set(places))
        assert not found[row][rest].any()


def test_gae_without_discount_is_what_is_still_to_come_less_what_was_expected() -> None:
    rewards, values = [[0.0, 1.0, 0.0, 0.0, 2.0]], [[0.5, 0.5, 9.0, 0.5, 0.5]]
    mask = [[True, True, False, True, True]]
    assert advantages.gae(rewards, values, mask, 1.0, 1.0).tolist() == [[2.5, 2.5, 0.0, 1.5, 1.5]]


def test_gae_does_not_lose_a_reward_between_replies() -> None:
    with pytest.raises(ValueError, match="row 1 has a reward at token 2"):
        advantages.gae(np.eye(3)[[0, 2]], np.zeros((2, 3)), [[True, True, True], [True, True, False]], 1.0, 1.0)
