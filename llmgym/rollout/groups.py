"""Groups: the episodes of one task, while they run and when they are there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from llmgym.rollout.stop import Stop
from llmgym.trajectory import Trajectory


@dataclass(frozen=True, slots=True)
class Group:
    """The episodes of one task or, where an episode has several agents, the shares of one of them.

    Attributes:
        id: `env_id/task_id`.
        trajectories: By repeat; failures are among them, unscored.
        agent: Whose share of the episodes it is.
    """

    id: str
    trajectories: list[Trajectory]
    agent: str = "agent"

    @property
    def trainable(self) -> bool:
        """Whether any of it is to be trained on."""
        return any(trajectory.trainable for trajectory in self.trajectories)

    @property
    def rewards(self) -> list[float | None]:
        """Reward of each episode; None where unscored."""
        return [trajectory.reward for trajectory in self.trajectories]


@dataclass(slots=True)
class OpenGroup:
    """A group that is not whole yet, or whose stragglers still run.

    Attributes:
        ahead: Episodes that have not ended, started or not.
        wanted: Episodes that make it whole.
        ended: Those that count, by repeat, with a trajectory for each agent; None where the store has them.
        finished: How many of these are not failures.
        running: How to end those that run.
        given: Whether it was passed on.
    """

    ahead: int
    wanted: int
    ended: dict[int, list[Trajectory] | None] = field(default_factory=dict)
    finished: int = 0
    running: dict[int, Stop] = field(default_factory=dict)
    given: bool = False

    @property
    def whole(self) -> bool:
        """Whether enough episodes have finished, so that any more would be stragglers."""
        return self.finished >= self.wanted

    def add(self, repeat: int, trajectories: list[Trajectory] | None, *, finished: bool) -> None:
        """Note an episode that ended; the one that makes the group whole ends the others."""
        self.ended[repeat] = trajectories
        self.finished += finished
        if self.whole:
            for stop in self.running.values():
                stop.request()


def counted(trajectories: Sequence[Trajectory]) -> Trajectory:
    """As which of its agents an episode counts, once: the first that is trained, if there is one."""
    return next((one for one in trajectories if one.trainable), trajectories[0])
