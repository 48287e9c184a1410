"""In which order tasks come: a plan that ends, the same for ever, or a curriculum by what has been solved."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import count
from typing import Any, Protocol

import numpy as np

from llmgym.errors import ConfigError
from llmgym.rollout.config import RolloutConfig, TaskSettings
from llmgym.rollout.groups import Group
from llmgym.rollout.instances import TaskSource
from llmgym.rollout.thresholds import reaches

#: An environment, the place of a task in its plan (`TaskSource.plan`), and how often the task has come before.
Visit = tuple[TaskSource, int, int]


class TaskOrder(Protocol):
    """Which task comes next; asked whenever there is room for another group."""

    def size(self, sources: Sequence[TaskSource], config: RolloutConfig) -> int | None:
        """How many tasks will come; None for no end."""
        ...

    def identity(self, config: RolloutConfig) -> dict[str, Any]:
        """What of the order, and of the size of groups, makes two runs the same, as JSON data."""
        ...

    def visits(self, sources: Sequence[TaskSource], config: RolloutConfig) -> Iterator[Visit] | AsyncIterator[Visit]:
        """The tasks, one by one; each is drawn when there is room for it, and made by whoever runs it."""
        ...

    def observe(self, group: Group, config: RolloutConfig) -> None:
        """See what came of a task."""
        ...


class Plan:
    """`num_tasks` of each environment, once; the environments take turns."""

    def size(self, sources: Sequence[TaskSource], config: RolloutConfig) -> int:
        """See `TaskOrder`; raises `ConfigError` where `num_tasks` does not fit."""
        return sum(_num_tasks(source, config.tasks) for source in sources)

    def identity(self, config: RolloutConfig) -> dict[str, Any]:
        """See `TaskOrder`; each task comes once, so that a run may be extended by repeats."""
        return {"name": "plan"}

    def visits(self, sources: Sequence[TaskSource], config: RolloutConfig) -> Iterator[Visit]:
        """See `TaskOrder`."""
        sizes = [_num_tasks(source, config.tasks) for source in sources]
        for index in range(max(sizes)):
            for source, size in zip(sources, sizes, strict=True):
                if index < size:
                    yield source, index, 0

    def observe(self, group: Group, config: RolloutConfig) -> None:
        """Makes no difference."""


class Endless:
    """Tasks without end for training: a finite split is shuffled anew for each pass through it."""

    def size(self, sources: Sequence[TaskSource], config: RolloutConfig) -> None:
        """No end."""

    def identity(self, config: RolloutConfig) -> dict[str, Any]:
        """See `TaskOrder`."""
        return {"name": "endless", **_group_size(config)}

    def visits(self, sources: Sequence[TaskSource], config: RolloutConfig) -> Iterator[Visit]:
        """See `TaskOrder`."""
        sizes = [source.size(config.tasks.split) for source in sources]
        for index in count():
            for source, size in zip(sources, sizes, strict=True):
                yield source, index, index // size if size else 0

    def observe(self, group: Group, config: RolloutConfig) -> None:
        """Makes no difference."""


class Curriculum:
    """Tasks without end, those most often that are solved about half of the time, where there is most to learn.

    A task of a finite split is drawn in proportion to `p (1 - p)`, the variance of its outcome, where p is the share
    of its episodes that reached `success_threshold`; tasks that were not tried yet count as 1/2. Where an environment
    makes tasks without end, none comes twice: there p is the environment's. The past fades, since the policy changes.
    """

    def __init__(self, *, memory: float = 0.7, floor: float = 0.1) -> None:
        """Configure it.

        Args:
            memory: Weight of earlier episodes against the latest group's, in [0, 1).
            floor: Least chance of an entry relative to the greatest possible, in (0, 1]: what is never solved now may
                be later.
        """
        self._memory, self._floor = memory, floor
        self._arms: dict[str, int] = {}  # by group, or by environment where tasks do not come again
        self._solved = np.ones(0)
        self._tried = np.ones(0)

    def size(self, sources: Sequence[TaskSource], config: RolloutConfig) -> None:
        """No end."""

    def identity(self, config: RolloutConfig) -> dict[str, Any]:
        """See `TaskOrder`."""
        return {"name": "curriculum", "memory": self._memory, "floor": self._floor, **_group_size(config)}

    @property
    def weights(self) -> dict[str, float]:
        """Chance of each entry, by group id or environment id, for those that have come up."""
        chances = self._chances()
        return {name: float(chances[arm]) for name, arm in self._arms.items()}

    def visits(self, sources: Sequence[TaskSource], config: RolloutConfig) -> Iterator[Visit]:
        """See `TaskOrder`."""
        sizes = [source.size(config.tasks.split) for source in sources]
        starts = np.cumsum([0, *(size or 1 for size in sizes)])
        self._solved, self._tried = np.full(starts[-1], 0.5), np.ones(starts[-1])
        endless = [(source, start) for source, start, size in zip(sources, starts, sizes, strict=False) if not size]
        self._arms = {source.id: int(start) for source, start in endless}
        drawn = np.zeros(starts[-1], dtype=np.int64)
        rng = np.random.default_rng(config.tasks.seed)
        while True:
            arm = int(rng.choice(len(drawn), p=self._chances()))
            which = int(np.searchsorted(starts, arm, side="right")) - 1
            source, size, before = sources[which], sizes[which], int(drawn[arm])
            drawn[arm] += 1
            index = before if size is None else arm - int(starts[which])
            if size is not None:
                task = source.plan(config.tasks.split, config.tasks.seed, index)
                self._arms[f"{source.id}/{task.id}"] = arm
            yield source, index, 0 if size is None else before

    def observe(self, group: Group, config: RolloutConfig) -> None:
        """See what came of a task."""
        rewards = [reward for reward in group.rewards if reward is not None]
        arm = self._arms.get(group.id, self._arms.get(group.trajectories[0].env_id))
        if arm is None or not rewards:
            return
        solved = sum(reaches(reward, config.groups.success_threshold) for reward in rewards)
        self._solved[arm] = self._memory * self._solved[arm] + solved
        self._tried[arm] = self._memory * self._tried[arm] + len(rewards)

    def _chances(self) -> np.ndarray:
        p = self._solved / self._tried
        weights = np.maximum(4 * p * (1 - p), self._floor)
        return weights / weights.sum()


def _group_size(config: RolloutConfig) -> dict[str, Any]:
    """A task that comes again goes on with the repeats after those of its last group, so that their number counts."""
    return {"num_repeats": config.groups.num_repeats, "num_spare_repeats": config.groups.num_spare_repeats}


def _num_tasks(source: TaskSource, tasks: TaskSettings) -> int:
    """Tasks of an environment that a run takes.

    Raises:
        ConfigError: There are not that many, or there is no end of them.
    """
    size = source.size(tasks.split)
    if tasks.num_tasks is None:
        if size is None:
            raise ConfigError(
                f"{source.id} makes tasks without end: set num_tasks=N, or --num-tasks N at the command line"
            )
        return size
    if size is not None and tasks.num_tasks > size:
        raise ConfigError(
            f"num_tasks is {tasks.num_tasks}, but the split {tasks.split!r} of {source.id} has {size} tasks; "
            "raise num_repeats for more episodes of each"
        )
    return tasks.num_tasks
