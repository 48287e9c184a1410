"""The episodes of a task that a trainer runs at once, one call for each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from llmgym.errors import PolicyError
from llmgym.trainers.common import TaskRef
from llmgym.trajectory import Trajectory

_MOST_FAILURES = 64  # of episodes on end, before the engine is given up
_REMEMBERED = 1 << 16  # tasks whose rewards are known; a stream of new ones has no end


class StandIns:
    """Mean rewards of tasks so far, for their episodes that have none."""

    def __init__(self) -> None:
        """None is known."""
        self._scored: dict[str, tuple[float, int]] = {}

    def of(self, ref: TaskRef) -> float:
        """Mean reward of the scored episodes of a task; 0.0 where there are none."""
        total, count = self._scored.get(ref.dumps(), (0.0, 1))
        return total / count

    def note(self, ref: TaskRef, reward: float) -> None:
        """Remember the reward of an episode."""
        key = ref.dumps()
        total, count = self._scored.pop(key, (0.0, 0))
        self._scored[key] = total + reward, count + 1
        if len(self._scored) > _REMEMBERED:
            del self._scored[next(iter(self._scored))]  # the one that was scored longest ago


class Siblings:
    """Episodes of one task that run at once, for trainers that want a number where an episode has no reward.

    It gets the mean of its siblings: that leaves their baseline where their own rewards put it. Where none of those
    that run at once has a reward, since a trainer runs few at once, that of those before it.
    """

    def __init__(self) -> None:
        """None runs."""
        self._running: dict[str, list[asyncio.Future[float | None]]] = {}
        self._before = StandIns()
        self._failures = 0

    async def reward(self, ref: TaskRef, episode: Awaitable[Trajectory]) -> tuple[Trajectory, float]:
        """Wait for an episode, and where it has no reward for its siblings too.

        Args:
            ref: Its task.
            episode: Runs it.

        Returns:
            The episode, and its reward or the mean of its siblings'; 0.0 where no episode of the task had one yet.

        Raises:
            PolicyError: The policy failed in so many episodes on end that there is nothing left to train on.
        """
        key = ref.dumps()
        siblings = self._running.setdefault(key, [])
        mine: asyncio.Future[float | None] = asyncio.get_running_loop().create_future()
        siblings.append(mine)
        try:
            await asyncio.sleep(0)  # until all that start together are here
            trajectory = await episode
            self._failures = self._failures + 1 if trajectory.status == "policy_error" else 0
            if self._failures >= _MOST_FAILURES:
                raise PolicyError(f"{self._failures} episodes on end got no reply, the last: {trajectory.error}")
            mine.set_result(trajectory.reward)
            if trajectory.reward is not None:
                self._before.note(ref, trajectory.reward)
                return trajectory, trajectory.reward
            done, _ = await asyncio.wait(siblings)
            scored = [reward for sibling in done if (reward := sibling.result()) is not None]
            return trajectory, sum(scored) / len(scored) if scored else self._before.of(ref)
        finally:
            if not mine.done():
                mine.set_result(None)
            if all(sibling.done() for sibling in siblings) and self._running.get(key) is siblings:
                del self._running[key]
