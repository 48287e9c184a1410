"""Numbers of a run against plain computations of them."""

from __future__ import annotations

import itertools
import math
import statistics
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.rollout import EpisodeRecord, RolloutConfig, pass_at_k, summarize
from llmgym.rollout.summary import mean_with_interval


@given(st.integers(1, 7), st.data())
def test_pass_at_k_is_the_share_of_subsets_with_a_success(n: int, data: st.DataObject) -> None:
    correct, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
    subsets = list(itertools.combinations(range(n), k))
    share = Fraction(sum(any(i < correct for i in subset) for subset in subsets), len(subsets))
    assert pass_at_k(n, correct, k) == pytest.approx(float(share))


def test_pass_at_k_of_many_samples_does_not_overflow() -> None:
    assert pass_at_k(100_000, 1, 50_000) == pytest.approx(0.5)
    assert pass_at_k(10, 10, 10) == 1.0
    assert pass_at_k(10, 0, 10) == 0.0
    with pytest.raises(ValueError, match="pass@3 needs 3 samples, there are 2"):
        pass_at_k(2, 1, 3)


rewards = st.floats(-10, 10)


@given(st.lists(st.lists(rewards, min_size=1, max_size=4), min_size=2, max_size=8))
def test_the_interval_is_the_cluster_robust_one(groups: list[list[float]]) -> None:
    n = sum(len(group) for group in groups)
    mean = sum(sum(group) for group in groups) / n
    residuals = [sum(group) - mean * len(group) for group in groups]
    variance = sum(r**2 for r in residuals) * len(groups) / (len(groups) - 1) / n**2
    found = mean_with_interval(groups)
    assert found["mean"] == pytest.approx(mean)
    assert found["low"] == pytest.approx(mean - 1.96 * math.sqrt(variance), abs=1e-9)
    assert found["high"] == pytest.approx(mean + 1.96 * math.sqrt(variance), abs=1e-9)


@given(st.lists(rewards, min_size=2, max_size=20))
def test_without_repeats_the_interval_is_the_usual_one(values: list[float]) -> None:
    found = mean_with_interval([[value] for value in values])
    half = 1.96 * statistics.stdev(values) / math.sqrt(len(values))
    assert found["high"] == pytest.approx(statistics.fmean(values) + half, abs=1e-9)


def test_few_tasks_have_no_interval() -> None:
    assert mean_with_interval([]) == {"mean": None, "low": None, "high": None}
    assert mean_with_interval([[1.0, 0.0]]) == {"mean": 0.5, "low": None, "high": None}


def record(env: str, task: str, repeat: int, reward: float | None, status: str = "completed") -> EpisodeRecord:
    return EpisodeRecord(
        f"{env}/{task}/{repeat}", env, f"{env}/{task}", status, reward, {"engine_s": 1.0, "env_s": 0.5}, 2, 10, 5
    )


def test_a_summary_counts_the_unscored_apart() -> None:
    config = RolloutConfig(num_repeats=3, min_reward_threshold=0.8, min_quality_difference=0.1)
    records = [
        *(record("A", "1", i, r) for i, r in enumerate([1.0, 0.0, 0.0])),
        *(record("A", "2", i, r) for i, r in enumerate([1.0, None, 1.0])),
        record("B", "1", 0, None, "max_turns"),
    ]
    summary = summarize(records, Counter(env_error=2), 9, config, 1.5)
    assert (summary["planned"], summary["finished"], summary["failed"]) == (9, 7, {"env_error": 2})
    assert summary["statuses"] == {"completed": 6, "max_turns": 1}
    assert (summary["scored"], summary["unscored"]) == (5, 2)
    assert summary["reward"]["mean"] == pytest.approx(3 / 5)
    assert summary["pass_at_k"] == [
        {"k": 1, "value": pytest.approx((1 / 3 + 1) / 2), "tasks": 2, "tasks_with_fewer": 0},
        {"k": 2, "value": pytest.approx((2 / 3 + 1) / 2), "tasks": 2, "tasks_with_fewer": 0},
        {"k": 3, "value": pytest.approx(1.0), "tasks": 1, "tasks_with_fewer": 1},
    ]
    assert summary["min_reward_threshold"] == {"threshold": 0.8, "episodes": 3}
    assert summary["min_quality_difference"] == {"difference": 0.1, "groups": 1}
    assert summary["tokens"] == {"sampled": 70, "context": 35}
    assert summary["turns"] == 14
    assert summary["timings"] == {"session_wall_s": 1.5, "engine_s": 7.0, "env_s": 3.5}
    assert summary["environments"]["A"]["scored"] == 5
    assert summary["environments"]["B"]["reward"]["mean"] is None
    assert summary["environments"]["B"]["unscored"] == 1


def test_one_environment_has_no_table_of_environments() -> None:
    summary = summarize([record("A", "1", 0, 1.0)], Counter(), 1, RolloutConfig(), 0.0)
    assert "environments" not in summary
    assert "min_reward_threshold" not in summary


def test_an_empty_run_has_a_summary() -> None:
    summary = summarize([], Counter(), 4, RolloutConfig(num_repeats=4), 0.0)
    assert summary["reward"]["mean"] is None
    assert [p["k"] for p in summary["pass_at_k"]] == [1, 2, 4]
    assert all(p["value"] is None for p in summary["pass_at_k"])
