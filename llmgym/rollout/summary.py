"""What a run amounts to: rewards with their uncertainty, pass@k, statuses, failures, tokens, costs, times."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from llmgym.chat import Usage
from llmgym.records import EpisodeRecord, FailureRecord, Timings
from llmgym.rollout.config import GroupSettings
from llmgym.rollout.intervals import interval_over_tasks, mean_with_interval
from llmgym.rollout.thresholds import TOLERANCE, reaches, spread


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


def summarize(
    records: Iterable[EpisodeRecord],
    failures: Iterable[FailureRecord],
    planned: int | None,
    groups: GroupSettings,
    wall_s: float | None,
) -> dict[str, Any]:
    """Summarise a run, in all and per environment.

    Args:
        records: Finished episodes.
        failures: Episodes without a result.
        planned: Episodes that the last session was to end with; None where that is not known, or there is no end.
        groups: How many repeats it has, and which of them are counted.
        wall_s: Seconds that the session took; None where that is not known.

    Returns:
        JSON data. Means are over scored episodes; how many were not is said beside them.
    """
    records, failures = list(records), list(failures)
    finished = _count_episodes(records)
    summary: dict[str, Any] = {
        "planned": None if planned is None else max(planned, finished),  # an earlier session may have planned more
        "finished": finished,
        "failed": dict(Counter(failure.kind for failure in failures).most_common()),
        "failures": _failures(failures),
        "statuses": dict(Counter(record.status for record in records)),
        **_scores(records, groups),
        "tokens": {
            "sampled": sum(record.counts.sampled_tokens for record in records),
            "context": sum(record.counts.context_tokens for record in records),
        },
        "turns": sum(record.counts.turns for record in records),
        "compactions": sum(record.counts.compactions for record in records),
        "tool_errors": _tool_errors(records),
        "usage": _usage(records),
        "timings": {
            "session_wall_s": wall_s,
            **{
                name: math.fsum(getattr(record.timings, name) for record in records)
                for name in Timings.__struct_fields__
            },
        },
    }
    for title, attribute in (("environments", "env_id"), ("agents", "agent")):
        names = sorted({getattr(record, attribute) for record in records})
        if len(names) > 1:
            summary[title] = {
                name: _scores([record for record in records if getattr(record, attribute) == name], groups)
                for name in names
            }
    return summary


def _count_episodes(records: Sequence[EpisodeRecord]) -> int:
    """Episodes, of which each agent has a record."""
    several = {record.episode_id for record in records if record.agents > 1}
    return sum(record.agents == 1 for record in records) + len(several)


def _failures(failures: Iterable[FailureRecord]) -> list[dict[str, Any]]:
    """How many episodes failed where, the most frequent first."""
    counts = Counter((failure.kind, failure.failure.stage if failure.failure else None) for failure in failures)
    return [{"kind": kind, "stage": stage, "episodes": count} for (kind, stage), count in counts.most_common()]


def _tool_errors(records: Iterable[EpisodeRecord]) -> dict[str, dict[str, int]]:
    """Errors that tools answered, by type: how many, and in how many episodes; the most frequent first."""
    found: dict[str, dict[str, int]] = {}
    for record in records:
        for kind, count in record.tool_errors.items():
            entry = found.setdefault(kind, {"count": 0, "episodes": 0})
            entry["count"] += count
            entry["episodes"] += 1
    return dict(sorted(found.items(), key=lambda item: -item[1]["count"]))


def _usage(records: Iterable[EpisodeRecord]) -> dict[str, Any]:
    """What calls of models took, by role."""
    total: dict[str, Usage] = {}
    for record in records:
        for role, usage in record.usage.items():
            total[role] = total[role] + usage if role in total else usage
    return {role: {name: getattr(usage, name) for name in usage.__struct_fields__} for role, usage in total.items()}


def _scores(records: list[EpisodeRecord], settings: GroupSettings) -> dict[str, Any]:
    groups: dict[tuple[str, str, str], list[float]] = {}
    for record in records:
        if record.reward is not None:
            groups.setdefault(_task(record), []).append(record.reward)
    scored = sum(map(len, groups.values()))
    scores: dict[str, Any] = {
        "reward": mean_with_interval(groups.values()),
        "scored": scored,
        "unscored": len(records) - scored,
        "tasks": len(groups),
        "pass_at_k": [_pass_at(k, list(groups.values()), settings) for k in powers(settings.num_repeats)],
    }
    if (least := settings.min_reward_threshold) is not None:
        scores["min_reward_threshold"] = {
            "threshold": least, "episodes": sum(reaches(r, least) for group in groups.values() for r in group),
        }  # fmt: skip
    if (gap := settings.min_quality_difference) is not None:
        scores["min_quality_difference"] = {
            "difference": gap, "groups": sum(spread(group) >= gap - TOLERANCE for group in groups.values()),
        }  # fmt: skip
    return scores


def _task(record: EpisodeRecord) -> tuple[str, str, str]:
    """The same for episodes of one content: generated tasks can repeat it under other ids."""
    return record.env_id, record.task_hash or record.group_id, record.agent


def powers(most: int) -> list[int]:
    """1, 2, 4, ... and `most` itself."""
    return sorted({*(2**i for i in range(most.bit_length())), most})


def _pass_at(k: int, groups: list[list[float]], settings: GroupSettings) -> dict[str, Any]:
    """pass@k over the tasks with at least k scored episodes, and how many tasks had fewer."""
    counts = Counter((len(group), sum(reaches(r, settings.success_threshold) for r in group)) for group in groups)
    return pass_at(k, counts)


def pass_at(k: int, tasks: Mapping[tuple[int, int], int]) -> dict[str, Any]:
    """Mean of pass@k over the tasks with at least k scored episodes, with a 95% interval.

    Args:
        k: How many samples.
        tasks: How many tasks have so many scored episodes, and so many of them correct.

    Returns:
        `k`, `value`, `low` and `high`, how many `tasks` it is of, and `tasks_with_fewer`; None where it is not known.
    """
    values: Counter[float] = Counter()
    for (scored, correct), count in tasks.items():
        if scored >= k:
            values[pass_at_k(scored, correct, k)] += count
    enough = values.total()
    value = math.fsum(value * count for value, count in values.items()) / enough if enough else None
    low, high = interval_over_tasks(values) or (None, None)
    fewer = sum(tasks.values()) - enough
    return {"k": k, "value": value, "low": low, "high": high, "tasks": enough, "tasks_with_fewer": fewer}
