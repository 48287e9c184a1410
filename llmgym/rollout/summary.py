"""What a run amounts to: rewards with their uncertainty, pass@k, statuses, tokens, times."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any

from llmgym.rollout.config import RolloutConfig
from llmgym.rollout.store import EpisodeRecord


def pass_at_k(num_samples: int, num_correct: int, k: int) -> float:
    """Unbiased estimate of the chance that one of k samples is correct.

    `1 - C(n - c, k) / C(n, k)`, from Chen et al., "Evaluating Large Language Models Trained on
    Code", 2021.

    Raises:
        ValueError: There are fewer than k samples.
    """
    if num_samples < k:
        raise ValueError(f"pass@{k} needs {k} samples, there are {num_samples}")
    return 1.0 - math.comb(num_samples - num_correct, k) / math.comb(num_samples, k)


def mean_with_interval(groups: Collection[list[float]]) -> dict[str, float | None]:
    """Mean over all episodes, with a 95% interval that treats those of one task as dependent.

    The standard error is the cluster-robust one of a ratio of sums: the deviations of each task's
    episodes from the mean are added up per task, then squared. It is None with fewer than two tasks.
    """
    n = sum(map(len, groups))
    if not n:
        return {"mean": None, "low": None, "high": None}
    mean = sum(map(sum, groups)) / n
    tasks = len(groups)
    if tasks < 2:
        return {"mean": mean, "low": None, "high": None}
    squares = sum(sum(reward - mean for reward in group) ** 2 for group in groups)
    half = 1.96 * math.sqrt(squares * tasks / (tasks - 1)) / n
    return {"mean": mean, "low": mean - half, "high": mean + half}


def summarize(
    records: Iterable[EpisodeRecord], failures: Counter[str], planned: int, config: RolloutConfig, wall_s: float
) -> dict[str, Any]:
    """Summarise a run, in all and per environment.

    Args:
        records: Finished episodes.
        failures: Episodes without a result, by status.
        planned: Episodes that the run is to hold.
        config: Its configuration.
        wall_s: Seconds that this session took.

    Returns:
        JSON data. Means are over scored episodes; how many were not is said beside them.
    """
    records = list(records)
    env_ids = sorted({record.env_id for record in records})
    sampled = sum(record.num_sampled_tokens for record in records)
    summary: dict[str, Any] = {
        "planned": planned,
        "finished": len(records),
        "failed": dict(failures),
        "statuses": dict(Counter(record.status for record in records)),
        **_scores(records, config),
        "tokens": {"sampled": int(sampled), "context": int(sum(record.num_context_tokens for record in records))},
        "turns": int(sum(record.num_turns for record in records)),
        "timings": {
            "session_wall_s": wall_s,
            **{key: sum(r.timings.get(key, 0.0) for r in records) for key in ("engine_s", "env_s")},
        },
    }
    if len(env_ids) > 1:
        summary["environments"] = {
            env_id: _scores([record for record in records if record.env_id == env_id], config) for env_id in env_ids
        }
    return summary


def _scores(records: list[EpisodeRecord], config: RolloutConfig) -> dict[str, Any]:
    groups: dict[str, list[float]] = {}
    for record in records:
        if record.reward is not None:
            groups.setdefault(record.group_id, []).append(record.reward)
    scored = sum(map(len, groups.values()))
    scores: dict[str, Any] = {
        "reward": mean_with_interval(groups.values()),
        "scored": scored,
        "unscored": len(records) - scored,
        "pass_at_k": [_pass_at(k, list(groups.values()), config) for k in _powers(config.num_repeats)],
    }
    if (least := config.min_reward_threshold) is not None:
        scores["min_reward_threshold"] = {
            "threshold": least, "episodes": sum(r >= least for group in groups.values() for r in group),
        }  # fmt: skip
    if (gap := config.min_quality_difference) is not None:
        scores["min_quality_difference"] = {
            "difference": gap, "groups": sum(max(group) - min(group) >= gap for group in groups.values()),
        }  # fmt: skip
    return scores


def _powers(most: int) -> list[int]:
    """1, 2, 4, ... and `most` itself."""
    return sorted({*(2**i for i in range(most.bit_length())), most})


def _pass_at(k: int, groups: list[list[float]], config: RolloutConfig) -> dict[str, Any]:
    """pass@k over the tasks with at least k scored episodes, and how many tasks had fewer."""
    enough = [group for group in groups if len(group) >= k]
    values = [pass_at_k(len(group), sum(r >= config.success_threshold for r in group), k) for group in enough]
    value = sum(values) / len(values) if values else None
    return {"k": k, "value": value, "tasks": len(enough), "tasks_with_fewer": len(groups) - len(enough)}
