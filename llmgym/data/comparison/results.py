"""What a run made of each task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from llmgym.data.dataset import Dataset
from llmgym.rollout.thresholds import TOLERANCE


class TaskKey(NamedTuple):
    """The same for the episodes of a task in all runs.

    Attributes:
        env_id: Environment, by its label or else its id.
        task: Hash of the task's content, or the group where that is not known.
        agent: Whose episodes.
    """

    env_id: str
    task: str
    agent: str


@dataclass(frozen=True, slots=True)
class TaskResult:
    """The episodes of a task in a run.

    Attributes:
        group_id: What the run calls the task.
        episodes: How many there are.
        scored: How many of them have a reward.
        solved: How many of these reach the threshold.
        reward: Mean reward of the scored; None where there are none.
        turns: Mean number of assistant messages of the scored.
        tokens: Mean number of sampled tokens of the scored.
    """

    group_id: str
    episodes: int
    scored: int
    solved: int
    reward: float | None
    turns: float | None
    tokens: float | None


_TASKS = f"""
    select source, env_id, if(task_hash = '', group_id, task_hash) as task, agent, min(group_id), count(*),
        count(reward), count(*) filter (reward >= $threshold - {TOLERANCE}), avg(reward),
        avg(num_turns) filter (reward is not null), avg(num_sampled_tokens) filter (reward is not null)
    from rows group by all order by source, env_id, min(group_id), agent
"""


def results_of(data: Dataset) -> list[dict[TaskKey, TaskResult]]:
    """What each file of a set has of each task."""
    found: list[dict[TaskKey, TaskResult]] = [{} for _ in data.indexes]
    for source, env_id, task, agent, *rest in data.query(_TASKS, threshold=data.threshold):
        found[source][TaskKey(env_id, task, agent)] = TaskResult(*rest)
    return found
