"""A game for one: the policy has one seat, and scripted players have the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from llmgym.env import Episode, ToolEnv
from llmgym.errors import ConfigError
from llmgym.messages import Message
from llmgym.multiagent.game import TextGame
from llmgym.rewards import Reward
from llmgym.tasks import Task, TaskSet, stable_hash


class SoloGame(ToolEnv):
    """Base of environments that are a game against scripted players.

    The collector plays all seats of the same game where a run has `policies`.

    Attributes:
        rules: Makes the game: its class, or what a constructor has put here before the base's.
        game: The game that is played.
    """

    rules: Callable[[], TextGame]

    def __init__(self, *, seat: str | None = None, tasks: TaskSet | str | Path | None = None, **options: Any) -> None:
        """Make the environment.

        Args:
            seat: The agent that the policy plays; None for any, by the task.
            tasks: The games.
            **options: Passed to `ToolEnv`.

        Raises:
            ConfigError: There is no such seat.
        """
        self.game = self.rules()
        if seat is not None and seat not in self.game.agents:
            raise ConfigError(f"seat is {seat!r}; there is {', '.join(self.game.agents)}")
        self._fixed_seat = seat
        super().__init__(tasks=tasks, **options)

    def setup(self, task: Task) -> None:
        """Start the game, and have the others speak until it is the policy's turn."""
        agents = self.game.agents
        self.seat = self._fixed_seat or agents[stable_hash("seat", task.content_hash) % len(agents)]
        self.game.begin(task)
        self._play_others()

    def opening(self, task: Task) -> list[Message]:
        """What the policy's agent is told first."""
        return list(self.game.news(self.seat))

    def respond(self, message: Message) -> list[Message]:
        """Take the move, have the others move, and tell what came of it."""
        self.game.say(self.seat, message["content"])
        self._play_others()
        return list(self.game.news(self.seat))

    def _play_others(self) -> None:
        while others := [agent for agent in self.game.waiting if agent != self.seat]:
            self.game.say(others[0], self.game.script(others[0]))
        if self.game.over:
            self.finish()

    def verify(self, episode: Episode) -> Reward:
        """What the policy's agent has earned; one that was cut off has lost."""
        self.game.quit(self.seat)
        return self.game.earned(self.seat)

    def oracle(self, task: Task) -> Iterator[str]:
        """Play well until the game is over."""
        while not self.game.over:
            yield self.solve()

    def solve(self) -> str:
        """A good message of the policy's agent now; it may know the scripts of the others."""
        return self.game.script(self.seat)
