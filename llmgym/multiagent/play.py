"""A game with its tasks: what PettingZoo's two APIs share."""

from __future__ import annotations

import secrets
from typing import Any

from llmgym.env.reading import take_task
from llmgym.messages import format_message
from llmgym.multiagent.game import TextGame
from llmgym.tasks import Task, TaskSet


class Play:
    """One game after another, of tasks that a seed draws.

    Attributes:
        game: The game.
        metadata: What PettingZoo knows of it.
    """

    def __init__(self, game: TextGame, tasks: TaskSet, name: str, split: str = "train") -> None:
        """Take a game.

        Args:
            game: Its rules.
            tasks: Its tasks.
            name: What it is called; tasks are drawn under it.
            split: Split of the tasks.
        """
        self.game = game
        self.metadata: dict[str, Any] = {"name": name, "render_modes": ["ansi"], "render_fps": 4}
        self._tasks, self._split, self._name = tasks, split, name
        self._seed, self._episode = secrets.randbits(63), 0

    def reset(self, seed: int | None, options: dict[str, Any] | None) -> None:
        """Start a game; a seed starts a stream of tasks, which goes on without one.

        Raises:
            TaskError: There is no such task.
        """
        if seed is not None:
            self._seed, self._episode = seed, 0
        self.game.begin(self._task(options or {}))

    def _task(self, options: dict[str, Any]) -> Task:
        task = take_task({**options}, None, self._tasks)  # of any name, since PettingZoo's own suites pass such
        if task is None:
            task = self._tasks.draw(self._split, self._seed, self._episode, scope=self._name)
            self._episode += 1
        return task

    def info(self, agent: str) -> dict[str, Any]:
        """What is known of the game beside what an agent is told; at its end with metrics, and whether it is scored."""
        told: dict[str, Any] = {"task_id": self.game.task.id}
        if self.game.over:
            earned = self.game.earned(agent)
            told |= {"metrics": earned.metrics, "scored": earned.value is not None}
        return told

    def rewards(self) -> dict[str, float]:
        """What the agents earn with the last move; PettingZoo has no word for unscored, which is 0 here."""
        over = self.game.over
        return {agent: self.game.earned(agent).value or 0.0 if over else 0.0 for agent in self.game.agents}

    def render(self) -> str:
        """What is new to each agent, as text."""
        return "\n".join(
            f"{agent}: {format_message(message)}" for agent in self.game.agents for message in self.game.news(agent)
        )
