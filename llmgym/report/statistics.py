"""What rewards amount to, with how sure that is: of a run and of each environment in it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from llmgym.report.sources import Entry
from llmgym.rollout.classes import CLASSES, class_of
from llmgym.rollout.intervals import mean_with_interval
from llmgym.rollout.summary import pass_at
from llmgym.rollout.thresholds import reaches

_MOST_K = 64  # of the curve
_VERSIONS = 400  # points of the curve over weight versions

_COUNTS = ("rows", "episodes", "turns", "sampled", "context", "tokens", "wall_s", "engine_s", "env_s", "unscored")

#: Rewards of episodes, by environment, task and agent.
Rewards = dict[tuple[str, str, str], list[float]]


@dataclass
class Tally:
    """What is counted of the rows of an environment in a run.

    Attributes:
        tasks: The rewards of each task, by its content and agent: tasks of equal content are one.
        groups: Those of the repeats of each, by group and agent, empty where there are none: what trainers compare.
        versions: Those of tasks by the newest weights that took part.
        counts: Sums over rows.
        statuses: How they ended.
        tool_errors: Errors that tools answered, by type.
        cost: Dollars, by role; tokens are in `counts`.
    """

    tasks: Rewards = field(default_factory=dict)
    groups: Rewards = field(default_factory=dict)
    versions: dict[int, Rewards] = field(default_factory=dict)
    counts: dict[str, float] = field(default_factory=lambda: dict.fromkeys(_COUNTS, 0.0))
    statuses: Counter[str] = field(default_factory=Counter)
    tool_errors: Counter[str] = field(default_factory=Counter)
    cost: float = 0.0
    _games: set[str] = field(default_factory=set[str])  # episodes of several agents, each of which has a row

    def add(self, entry: Entry) -> None:
        """Count a row that finished."""
        row = entry.row
        sampled = row.sampled_tokens
        context = sum(len(segment.ids) for segment in row.segments) - sampled
        new = row.agents == 1 or row.episode_id not in self._games
        if row.agents > 1:
            self._games.add(row.episode_id)
        for name, value in (
            ("rows", 1), ("episodes", int(new)), ("turns", len(row.turns)), ("sampled", sampled),
            ("context", context), ("tokens", int(bool(row.segments))),
            *((name, row.timings.get(name, 0.0)) for name in ("wall_s", "engine_s", "env_s")),
        ):  # fmt: skip
            self.counts[name] += value
        self.statuses[row.status] += 1
        self.tool_errors.update(row.tool_errors)
        self.cost += math.fsum(usage.cost or 0.0 for usage in row.usage.values())
        group = self.groups.setdefault((row.env_id, entry.group_id, row.agent), [])
        if row.reward is None or not math.isfinite(row.reward):
            self.counts["unscored"] += 1
            return
        group.append(row.reward)
        key = row.env_id, entry.content, row.agent
        self.tasks.setdefault(key, []).append(row.reward)
        newest = max((span.version for reply in row.replies for span in reply.versions), default=None)
        if newest is not None:
            self.versions.setdefault(newest, {}).setdefault(key, []).append(row.reward)


def merged(tallies: Iterable[Tally]) -> Tally:
    """Environments together."""
    total = Tally()
    for tally in tallies:
        total.tasks.update(tally.tasks)
        total.groups.update(tally.groups)
        for version, groups in tally.versions.items():
            total.versions.setdefault(version, {}).update(groups)
        for name, value in tally.counts.items():
            total.counts[name] += value
        total.statuses.update(tally.statuses)
        total.tool_errors.update(tally.tool_errors)
        total.cost += tally.cost
    return total


def statistics(tally: Tally, threshold: float) -> dict[str, Any]:
    """The figures of a tally as JSON data.

    Args:
        tally: What was counted.
        threshold: Reward from which an episode counts as solved.
    """
    tasks = list(tally.tasks.values())
    return {
        "reward": mean_with_interval(tasks),
        "scored": sum(map(len, tasks)),
        "tasks": len(tasks),
        "groups": _classes(tally.groups.values(), threshold),
        "passes": passes(tasks, threshold),
        "versions": _learning(tally),
        "counts": dict(tally.counts),
        "statuses": dict(tally.statuses.most_common()),
        "tool_errors": dict(tally.tool_errors.most_common(20)),
        "cost": tally.cost,
    }


def passes(tasks: Sequence[Sequence[float]], threshold: float) -> list[dict[str, Any]]:
    """The curve of pass@k, each point over the tasks with at least k scored episodes."""
    counts = Counter((len(task), sum(reaches(reward, threshold) for reward in task)) for task in tasks)
    return [pass_at(k, counts) for k in _ks(max(map(len, tasks), default=0))]


def _ks(most: int) -> list[int]:
    """Up to 16 all, then ever fewer."""
    most = min(most, _MOST_K)
    return sorted(
        {*range(1, min(most, 16) + 1), *(round(16 * 1.25**i) for i in range(1, 7)), most} & {*range(1, most + 1)}
    )


def _classes(groups: Iterable[Sequence[float]], threshold: float) -> dict[str, int]:
    """Groups by what there is to learn from them."""
    found = Counter(
        class_of(len(group), min(group, default=None), max(group, default=None), threshold) for group in groups
    )
    return {name: found[name] for name in CLASSES}


def _learning(tally: Tally) -> list[dict[str, Any]]:
    """Rewards by the newest weights of an episode; neighbours together where there are very many."""
    versions = sorted(tally.versions)
    step = max(1, math.ceil(len(versions) / _VERSIONS))
    points: list[dict[str, Any]] = []
    for start in range(0, len(versions), step):
        tasks: Rewards = {}
        for version in versions[start : start + step]:
            for key, rewards in tally.versions[version].items():
                tasks.setdefault(key, []).extend(rewards)
        points.append(
            {
                "version": versions[start],
                "episodes": sum(map(len, tasks.values())),
                **mean_with_interval(tasks.values()),
            }
        )
    return points
