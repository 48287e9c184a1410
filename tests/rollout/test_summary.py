"""Numbers of a run against plain computations of them."""

from __future__ import annotations

import itertools
import math
import statistics
from collections import Counter
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from llmgym.chat import Usage
from llmgym.failures import Failure
from llmgym.records import Counts, EpisodeRecord, FailureRecord, Timings
from llmgym.rollout import GroupSettings, pass_at_k, summarize
from llmgym.rollout.batches import GroupFilter
from llmgym.rollout.groups import Group
from llmgym.rollout.intervals import interval_over_tasks, mean_with_interval
from llmgym.rollout.thresholds import TOLERANCE, all_equal, reaches
from llmgym.trajectory import Status, Trajectory, Turn, segment_of


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


# --- the interval -------------------------------------------------------------------------------

any_reward = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([0.0, 1.0, 0.1, 1e200, -1e308, 1e308])
any_groups = st.lists(st.lists(any_reward, min_size=1, max_size=4), max_size=8)


@given(any_groups)
def test_an_interval_holds_the_mean_and_stays_in_the_range(groups: list[list[float]]) -> None:
    found = mean_with_interval(groups)
    rewards = [reward for group in groups for reward in group]
    if not rewards:
        assert found == {"mean": None, "low": None, "high": None}
        return
    mean, low, high = found["mean"], found["low"], found["high"]
    assert mean is not None
    assert min(rewards) <= mean <= max(rewards)
    if len(groups) < 2:
        assert low is high is None
        return
    assert low is not None
    assert high is not None
    assert min(0.0, *rewards) <= low <= mean <= high <= max(1.0, *rewards)
    assert low < high


@given(st.lists(st.lists(st.floats(0, 1), min_size=1, max_size=4), min_size=2, max_size=8))
def test_the_interval_is_wilsons_at_the_effective_size(groups: list[list[float]]) -> None:
    n, tasks = sum(map(len, groups)), len(groups)
    p = sum(map(sum, groups)) / n
    v = sum((sum(group) - p * len(group)) ** 2 for group in groups) * tasks / (tasks - 1) / n**2
    assume(v == 0 or v > 1e-10)
    m = p * (1 - p) / v if v else tasks
    z = statistics.NormalDist().inv_cdf(0.975)
    centre, half = p + z**2 / (2 * m), z * math.sqrt(p * (1 - p) / m + z**2 / (4 * m**2))
    found = mean_with_interval(groups)
    assert found["mean"] == pytest.approx(p)
    assert found["low"] == pytest.approx((centre - half) / (1 + z**2 / m), abs=1e-6)
    assert found["high"] == pytest.approx((centre + half) / (1 + z**2 / m), abs=1e-6)


def test_where_all_tasks_do_alike_the_tasks_count() -> None:
    found = mean_with_interval([[0.0] * 8 for _ in range(10)])
    assert (found["mean"], found["low"]) == (0.0, pytest.approx(0.0, abs=1e-12))
    assert found["high"] == pytest.approx(0.2775, abs=1e-4)  # Wilson's for 0 of 10
    assert mean_with_interval([[0.1 * 10], [sum([0.1] * 10)]])["low"] == pytest.approx(0.3424, abs=1e-4)  # 2 of 2


def test_repeats_of_a_task_do_not_count_as_tasks() -> None:
    once = mean_with_interval([[1.0], [0.0], [1.0], [0.0]])
    often = mean_with_interval([[1.0] * 8, [0.0] * 8, [1.0] * 8, [0.0] * 8])
    assert (once["low"], once["high"]) == (pytest.approx(often["low"]), pytest.approx(often["high"]))


def test_many_tasks_have_nearly_the_normal_interval() -> None:
    groups = [[float(i % 3 == 0)] for i in range(3000)]
    half = 1.96 * math.sqrt(2 / 9 / 3000)
    found = mean_with_interval(groups)
    assert found["low"] == pytest.approx(1 / 3 - half, abs=1e-3)
    assert found["high"] == pytest.approx(1 / 3 + half, abs=1e-3)


@given(st.dictionaries(st.floats(0, 1), st.integers(1, 50), min_size=1, max_size=6))
def test_an_interval_over_tasks_holds_their_mean(values: dict[float, int]) -> None:
    found = interval_over_tasks(values)
    if sum(values.values()) < 2:
        assert found is None
        return
    assert found is not None
    mean = sum(value * count for value, count in values.items()) / sum(values.values())
    assert -1e-9 <= found[0] <= mean + 1e-9
    assert mean - 1e-9 <= found[1] <= 1 + 1e-9
    assert interval_over_tasks(values) == found


def test_an_interval_over_tasks_is_scipys_bca() -> None:
    """`scipy.stats.bootstrap(method="BCa")` with 200,000 draws gave these."""
    skewed = interval_over_tasks({0.0: 30, 0.25: 6, 1.0: 4})
    assert skewed == (pytest.approx(0.0625, abs=0.007), pytest.approx(0.2625, abs=0.007))
    assert interval_over_tasks({0.0: 20, 0.5: 30, 1.0: 50}) == (
        pytest.approx(0.57, abs=0.006),
        pytest.approx(0.725, abs=0.006),
    )
    assert interval_over_tasks({0.0: 3, 1.0: 2}) == (0.0, pytest.approx(0.8))
    # What rounding sets apart is one share.
    assert interval_over_tasks({0.0: 20, 0.1 + 0.2: 10, 0.3: 20, 1.0: 50}) == interval_over_tasks(
        {0.0: 20, 0.3: 30, 1.0: 50}
    )


def test_an_interval_where_all_tasks_agree_is_wilsons() -> None:
    assert interval_over_tasks({0.0: 10}) == (0.0, pytest.approx(0.2775, abs=1e-4))
    assert interval_over_tasks({1.0: 10}) == (pytest.approx(0.7225, abs=1e-4), 1.0)


def test_an_interval_over_tasks_covers_what_it_says() -> None:
    chance = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        solved = chance.binomial(8, chance.beta(0.5, 1.5, 60)) / 8
        low, high = interval_over_tasks(Counter(solved.tolist())) or (0.0, 0.0)
        covered += low <= 0.25 <= high
    assert 0.91 <= covered / 400 <= 0.98


# --- thresholds ---------------------------------------------------------------------------------


def test_ten_steps_of_a_tenth_reach_one() -> None:
    earned = 0.0
    for _ in range(10):  # `sum` is exact from Python 3.12 on
        earned += 0.1
    assert earned < 1.0
    assert reaches(earned, 1.0)
    assert not reaches(1.0 - 2 * TOLERANCE, 1.0)
    assert all_equal([earned, 1.0])
    assert all_equal([])
    assert not all_equal([1.0 - 2 * TOLERANCE, 1.0])


def test_groups_of_equal_sums_teach_nothing() -> None:
    made = [Trajectory("e", "t", repeat, 0, reward=reward) for repeat, reward in enumerate([1.0, sum([0.1] * 10)])]
    for trajectory in made:
        trajectory.segments = [segment_of([1, 2], [(1, 2)], [-1.0])]
        trajectory.turns = [Turn(1.0, "stop", 0.0, 0.0, 0, 1, 2)]
    keep = GroupFilter(drop_equal=True)
    assert not keep.keeps(Group("e/t", made))
    assert keep.equal == 1


# --- summaries ----------------------------------------------------------------------------------


def record(
    env: str, task: str, repeat: int, reward: float | None, status: Status = "completed", **fields: Any
) -> EpisodeRecord:
    agent, agents = fields.get("agent", "agent"), fields.get("agents", 1)
    name = f"{env}/{task}/{repeat}" + (f"/{agent}" if agents > 1 else "")
    return EpisodeRecord(
        1, name, agent, agents, env, repeat, fields.get("content", ""), status, reward, Counts(2, 10, 5),
        Timings(2.0, 1.0, 0.5), fields.get("usage", {}), fields.get("tool_errors", {}),
    )  # fmt: skip


def failure(number: int, **fields: Any) -> FailureRecord:
    return FailureRecord(1, f"A/{number}/0", "agent", 1, "A", "env_error", **fields)


def test_a_summary_counts_the_unscored_apart() -> None:
    groups = GroupSettings(num_repeats=3, min_reward_threshold=0.8, min_quality_difference=0.1)
    records = [
        *(record("A", "1", i, r) for i, r in enumerate([1.0, 0.0, 0.0])),
        *(record("A", "2", i, r) for i, r in enumerate([1.0, None, 1.0])),
        record("B", "1", 0, None, "max_turns"),
    ]
    lost = [failure(7, failure=Failure("timeout", "tool", "none", "TimeoutError")), failure(8)]
    summary = summarize(records, lost, 9, groups, 1.5)
    assert (summary["planned"], summary["finished"], summary["failed"]) == (9, 7, {"timeout": 1, "env_error": 1})
    assert summary["statuses"] == {"completed": 6, "max_turns": 1}
    assert (summary["scored"], summary["unscored"], summary["tasks"]) == (5, 2, 2)
    assert summary["reward"]["mean"] == pytest.approx(3 / 5)
    passes = summary["pass_at_k"]
    assert [(p["k"], p["value"], p["tasks"], p["tasks_with_fewer"]) for p in passes] == [
        (1, pytest.approx((1 / 3 + 1) / 2), 2, 0),
        (2, pytest.approx((2 / 3 + 1) / 2), 2, 0),
        (3, pytest.approx(1.0), 1, 1),
    ]
    assert (passes[0]["low"], passes[0]["high"]) == (pytest.approx(1 / 3), 1.0)
    assert passes[2]["low"] is passes[2]["high"] is None
    assert summary["min_reward_threshold"] == {"threshold": 0.8, "episodes": 3}
    assert summary["min_quality_difference"] == {"difference": 0.1, "groups": 1}
    assert summary["tokens"] == {"sampled": 70, "context": 35}
    assert summary["turns"] == 14
    assert summary["timings"] == {"session_wall_s": 1.5, "wall_s": 14.0, "engine_s": 7.0, "env_s": 3.5}
    assert summary["environments"]["A"]["scored"] == 5
    assert summary["environments"]["B"]["reward"]["mean"] is None
    assert summary["environments"]["B"]["unscored"] == 1


def test_thresholds_have_a_tolerance() -> None:
    groups = GroupSettings(num_repeats=2, min_reward_threshold=1.0, min_quality_difference=0.3)
    records = [record("A", "1", 0, sum([0.1] * 10)), record("A", "1", 1, sum([0.1] * 7))]
    summary = summarize(records, [], None, groups, None)
    assert [p["value"] for p in summary["pass_at_k"]] == [0.5, 1.0]
    assert summary["min_reward_threshold"]["episodes"] == 1
    assert summary["min_quality_difference"]["groups"] == 1


def test_tasks_of_equal_content_are_one() -> None:
    """Generated sets repeat content under other ids."""
    rewards = [1.0, 0.0, 1.0, 0.0]
    records = [record("A", f"{i}", 0, r, content="c") for i, r in enumerate(rewards)]
    others = [record("B", "0", 0, 0.0, content="c"), record("A", "9", 0, 0.0, content="d")]
    summary = summarize([*records, *others], [], None, GroupSettings(num_repeats=4), None)
    assert summary["tasks"] == 3
    assert [(p["k"], p["tasks"]) for p in summary["pass_at_k"]] == [(1, 3), (2, 1), (4, 1)]
    assert summary["environments"]["A"]["reward"] == mean_with_interval([rewards, [0.0]])


def test_errors_usage_and_failures_are_added_up() -> None:
    usage = {"agent": Usage(10, 5, 0.5, 1), "judge": Usage(1, 1)}
    records = [
        record("A", "1", 0, 1.0, tool_errors={"KeyError": 3, "ToolError": 1}, usage=usage),
        record("A", "2", 0, 1.0, tool_errors={"ToolError": 1}, usage=usage | {"user": Usage(2, 2, 0.25, 1)}),
    ]
    model = Failure("model_role", "verify", "done", "EnvironmentFailure")
    lost = [
        failure(1, failure=model),
        failure(2, failure=Failure("model_role", "tool", "none", "X")),
        failure(3, failure=model),
    ]
    summary = summarize(records, lost, None, GroupSettings(), None)
    assert summary["tool_errors"] == {"KeyError": {"count": 3, "episodes": 1}, "ToolError": {"count": 2, "episodes": 2}}
    assert summary["usage"] == {
        "agent": {"input_tokens": 20, "output_tokens": 10, "cost": 1.0, "calls": 2},
        "judge": {"input_tokens": 2, "output_tokens": 2, "cost": None, "calls": 0},
        "user": {"input_tokens": 2, "output_tokens": 2, "cost": 0.25, "calls": 1},
    }
    assert summary["failed"] == {"model_role": 3}
    assert summary["failures"] == [
        {"kind": "model_role", "stage": "verify", "episodes": 2},
        {"kind": "model_role", "stage": "tool", "episodes": 1},
    ]  # fmt: skip


def test_agents_are_told_apart() -> None:
    records = [
        record("A", f"{i}", 0, r if agent == "w" else -r, agent=agent, agents=2)
        for i, r in enumerate([1.0, -1.0, 1.0]) for agent in ("w", "b")
    ]  # fmt: skip
    summary = summarize(records, [], 3, GroupSettings(), None)
    assert (summary["finished"], summary["scored"]) == (3, 6)
    assert summary["agents"]["w"]["reward"]["mean"] == pytest.approx(1 / 3)
    assert summary["agents"]["b"]["reward"]["mean"] == pytest.approx(-1 / 3)
    assert summary["agents"]["w"]["tasks"] == 3


def test_one_environment_has_no_table_of_environments() -> None:
    summary = summarize([record("A", "1", 0, 1.0)], [], 1, GroupSettings(), 0.0)
    assert not summary.keys() & {"environments", "agents", "min_reward_threshold"}


def test_an_empty_run_has_a_summary() -> None:
    summary = summarize([], [], 4, GroupSettings(num_repeats=4), 0.0)
    assert summary["reward"]["mean"] is None
    assert [p["k"] for p in summary["pass_at_k"]] == [1, 2, 4]
    assert all(p["value"] is None for p in summary["pass_at_k"])
    assert summary["tool_errors"] == summary["usage"] == summary["failed"] == {}


@given(any_groups)
def test_no_finite_reward_ends_a_summary(groups: list[list[float]]) -> None:
    records = [record("A", f"{t}", i, r) for t, group in enumerate(groups) for i, r in enumerate(group)]
    groups = GroupSettings(num_repeats=4, min_reward_threshold=0.5, min_quality_difference=0.1)
    summary = summarize(records, [], None, groups, None)
    assert summary["scored"] == len(records)
