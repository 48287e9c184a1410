"""The episodes of a task that a trainer runs at once, one call for each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from llmgym.errors import PolicyError
from llmgym.trainers.common import TaskRef
from llmgym.trajectory import Trajectory

_MOST_FAILURES = 64  # of episodes on end, before the engine is given up


class Siblings:
    """Episodes of one task that run at once, for trainers that want a number where an episode has no reward.

    It gets the mean of its siblings: that leaves their baseline where their own rewards put it.
    """

    def __init__(self) -> None:
        """None runs."""
        self._running: dict[str, list[asyncio.Future[float | None]]] = {}
        self._failures = 0

    async def reward(self, ref: TaskRef, episode: Awaitable[Trajectory]) -> tuple[Trajectory, float]:
        """Wait for an episode, and where it has no reward for its siblings too.

        Args:
            ref: Its task.
            episode: Runs it.

        Returns:
            The episode, and its reward or the mean of its siblings'; 0.0 where none of them has one.

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
                return trajectory, trajectory.reward
            done, _ = await asyncio.wait(siblings)
            scored = [reward for sibling in done if (reward := sibling.result()) is not None]
            return trajectory, sum(scored) / max(len(scored), 1)
        finally:
            if not mine.done():
                mine.set_result(None)
            if all(sibling.done() for sibling in siblings) and self._running.get(key) is siblings:
                del self._running[key]
