"""Advantages: how much better an episode, or a token of it, turned out than was to be expected.

The first four compare whole episodes. They take one value for each row, where a row is a segment of an episode: an
episode counts once, however many rows it has, and all of them get its advantage. Where there is nothing to compare, in
a group of one or of equal rewards, it is exactly 0. `gae` works on tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from llmgym.errors import ConfigError

Estimator = Literal["grpo", "dr_grpo", "rloo", "reinforce++"]

_EQUAL = 1e-8  # rewards that deviate less than this are equal

_Floats = NDArray[np.float64]


def estimate(
    estimator: Estimator, rewards: ArrayLike, group_ids: ArrayLike, episode_ids: ArrayLike, num_tokens: ArrayLike
) -> NDArray[np.float32]:
    """Advantages by the name of the estimator.

    Args:
        estimator: "grpo", "dr_grpo", "rloo" or "reinforce++".
        rewards: float[B]; reward of each row's whole episode.
        group_ids: int[B]; equal for episodes of one task.
        episode_ids: int[B]; equal for rows of one episode.
        num_tokens: int[B]; sampled tokens of each row, which only "reinforce++" looks at.

    Returns:
        float32[B].

    Raises:
        ConfigError: There is no such estimator.
    """
    match estimator:
        case "grpo":
            return grpo(rewards, group_ids, episode_ids)
        case "dr_grpo":
            return dr_grpo(rewards, group_ids, episode_ids)
        case "rloo":
            return rloo(rewards, group_ids, episode_ids)
        case "reinforce++":
            return reinforce_plus_plus(rewards, num_tokens)
    raise ConfigError(f"there is no estimator {estimator!r}; there is {', '.join(get_args(Estimator))}")


def grpo(rewards: ArrayLike, group_ids: ArrayLike, episode_ids: ArrayLike) -> NDArray[np.float32]:
    """Reward over the mean of its group, in standard deviations (n - 1) of the group.

    Shao et al., "DeepSeekMath: Pushing the Limits of Mathematical Reasoning in Open Language Models", 2024.
    """
    return _by_group(lambda group: (group - group.mean()) / group.std(ddof=1), rewards, group_ids, episode_ids)


def dr_grpo(rewards: ArrayLike, group_ids: ArrayLike, episode_ids: ArrayLike) -> NDArray[np.float32]:
    """Reward over the mean of its group.

    Dividing by the deviation favours tasks that are nearly always, or nearly never, solved: Liu et al.,
    "Understanding R1-Zero-Like Training: A Critical Perspective", 2025. Its other half, a loss that is summed over
    tokens and divided by a constant, is the trainer's.
    """
    return _by_group(lambda group: group - group.mean(), rewards, group_ids, episode_ids)


def rloo(rewards: ArrayLike, group_ids: ArrayLike, episode_ids: ArrayLike) -> NDArray[np.float32]:
    """Reward over the mean of the others in its group.

    Kool et al., "Buy 4 REINFORCE Samples, Get a Baseline for Free!", 2019; Ahmadian et al., "Back to Basics: Revisiting
    REINFORCE Style Optimization for Learning from Human Feedback in LLMs", 2024.
    """
    return _by_group(lambda group: group - (group.sum() - group) / (len(group) - 1), rewards, group_ids, episode_ids)


def reinforce_plus_plus(rewards: ArrayLike, num_tokens: ArrayLike) -> NDArray[np.float32]:
    """Reward over the mean of the batch, in standard deviations of the batch.

    Both are over tokens, each worth the reward of its episode: Hu et al., "REINFORCE++: Stabilizing Critic-Free Policy
    Optimization with Global Advantage Normalization", 2025, undiscounted. The penalty on divergence is the trainer's.

    Args:
        rewards: float[B]; reward of each row's whole episode.
        num_tokens: int[B]; sampled tokens of each row.
    """
    values, weights = np.asarray(rewards, dtype=np.float64), np.asarray(num_tokens, dtype=np.float64)
    counted = values[weights > 0]
    if not len(counted) or np.ptp(counted) <= _EQUAL:  # of the rewards, since a mean of large ones is rounded
        return np.zeros(len(values), dtype=np.float32)
    centred = values - np.average(values, weights=weights)
    return (centred / np.sqrt(np.average(centred**2, weights=weights))).astype(np.float32)


def gae(rewards: ArrayLike, values: ArrayLike, mask: ArrayLike, gamma: float, lam: float) -> NDArray[np.float32]:
    """Generalized advantage estimation over the sampled tokens of each row; returns are advantages + `values`.

    What came between replies is skipped: the last token of a reply is followed by the first of the next one, one step
    of discount away, whatever the environment had to say between them. A row ends with its last sampled token, after
    which nothing is expected.

    Schulman et al., "High-Dimensional Continuous Control Using Generalized Advantage Estimation", 2016.

    Args:
        rewards: float[B, C]; each turn's reward on its last token, as `TokenBatch.rewards` has it.
        values: float[B, C]; what was expected from each sampled token on; not looked at elsewhere.
        mask: bool[B, C]; true on sampled tokens.
        gamma: Discount of each token, in [0, 1].
        lam: Weight of later tokens in [0, 1]: 0 trusts the values, 1 the rewards.

    Returns:
        float32[B, C]; 0 on tokens that were not sampled.

    Raises:
        ValueError: A reward stands on a token that was not sampled, and would be lost.
    """
    given, expected = np.asarray(rewards, dtype=np.float64), np.asarray(values, dtype=np.float64)
    sampled = np.asarray(mask, dtype=bool)
    if given[~sampled].any():
        row, token = np.argwhere(~sampled & (given != 0))[0]
        raise ValueError(f"row {row} has a reward at token {token}, which was not sampled")
    result = np.zeros(given.shape)
    advantage, value = np.zeros(len(given)), np.zeros(len(given))  # of the sampled token that follows
    for token in reversed(range(given.shape[1])):
        here = sampled[:, token]
        delta = given[:, token] + gamma * value - expected[:, token]
        advantage = np.where(here, delta + gamma * lam * advantage, advantage)
        value = np.where(here, expected[:, token], value)
        result[:, token] = np.where(here, advantage, 0.0)
    return result.astype(np.float32)


def _by_group(compare: Callable[[_Floats], _Floats], rewards: Any, group_ids: Any, episode_ids: Any) -> Any:
    """Compare the rewards of each group, one for each episode, and give the result to all rows of the episode."""
    _, first, episodes = np.unique(np.asarray(episode_ids), return_index=True, return_inverse=True)
    once, groups = np.asarray(rewards, dtype=np.float64)[first], np.asarray(group_ids)[first]
    result = np.zeros(len(once))
    for group in np.unique(groups):
        members = groups == group
        if np.ptp(once[members]) > _EQUAL:
            result[members] = compare(once[members])
    return result[episodes].astype(np.float32)
