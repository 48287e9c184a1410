"""The base of games for several agents: a game's rules are a few methods, and who plays is somebody else's business.

PettingZoo's APIs, the collector and the single-player environments all play a game through `begin`, `news` and `say`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from llmgym.env.reading import read_reward
from llmgym.messages import Message, system, user
from llmgym.rewards import Reward
from llmgym.tasks import Task

_YOUR_TURN = "It is your turn."


class IllegalMove(Exception):
    """A message that is no legal move, which is no error of the program; says why, to the player."""


class TextGame(ABC):
    """Rules of a game that is played by messages.

    A subclass defines `setup`, `brief`, `turn`, `read`, `play`, `rewards` and `script`, and keeps the state of a game,
    plain data, on `self`. All chance is in the task, so that the same messages make the same game. An object plays one
    game after another.

    Several agents may be to speak at once. None of their moves is played before all of them are there, so that nobody
    can answer what he should not know yet.

    Attributes:
        agents: Who plays, such as `player_0`. What comes before the number is the agent's role.
        illegal_moves: Moves of one agent that may be illegal before it has lost by that.
        task: The task of the running game.
        quitter: The agent that could not or would not make a legal move, which ended the game; else None.
        over: Whether the game is over.
    """

    agents: Sequence[str]
    illegal_moves: int = 2

    task: Task
    quitter: str | None
    over: bool

    # --- what a game defines ----------------------------------------------------------------------

    @abstractmethod
    def setup(self, task: Task) -> None:
        """Make the state of a new game."""

    @abstractmethod
    def brief(self, agent: str) -> str:
        """What an agent is told first: its role, the rules, and what only it knows."""

    @abstractmethod
    def turn(self) -> Sequence[str]:
        """Who is to move now; several where they move at once, none where the game has ended."""

    @abstractmethod
    def read(self, agent: str, text: str) -> Any:
        """Read the move out of a message; nothing changes by it.

        Raises:
            IllegalMove: There is none, or it is not allowed now.
        """

    @abstractmethod
    def play(self, agent: str, move: Any) -> None:
        """Make a move."""

    @abstractmethod
    def rewards(self) -> Mapping[str, float | None]:
        """What each agent has earned, in a game that is over; it looks at `quitter`. None is unscored."""

    @abstractmethod
    def script(self, agent: str) -> str:
        """What a scripted player says now, from what it may know alone."""

    def metrics(self) -> Mapping[str, float]:
        """Numbers that are recorded beside the rewards of a game that is over."""
        return {}

    # --- what a game calls ------------------------------------------------------------------------

    def tell(self, text: str, *agents: str) -> None:
        """Tell some agents something, or all of them."""
        for agent in agents or self.agents:
            self._news[agent].append(text)

    def others(self, agent: str) -> list[str]:
        """All but one agent."""
        return [other for other in self.agents if other != agent]

    # --- what plays it ----------------------------------------------------------------------------

    def begin(self, task: Task) -> None:
        """Start a game."""
        self.task, self.quitter, self.over = task, None, False
        self._news: dict[str, list[str]] = {agent: [] for agent in self.agents}
        self._illegal = dict.fromkeys(self.agents, 0)
        self._briefed: list[str] = []
        self._moves: dict[str, Any] = {}  # that wait for those of others
        self.setup(task)
        self._call()

    @property
    def waiting(self) -> list[str]:
        """Agents whose messages are waited for."""
        return [] if self.over else [agent for agent in self._due if agent not in self._moves]

    @property
    def illegal(self) -> Mapping[str, int]:
        """How many illegal moves each agent has made."""
        return self._illegal

    def news(self, agent: str) -> tuple[Message, ...]:
        """What is new to an agent since it last spoke, as fresh messages; first of all what it is told at the start."""
        told = "\n".join(self._news[agent]) or (_YOUR_TURN if agent in self.waiting else "")
        new = (user(told),) if told else ()
        return new if agent in self._briefed else (system(self.brief(agent)), *new)

    def say(self, agent: str, text: str) -> None:
        """Take a message of an agent that is waited for.

        Raises:
            ValueError: It is not.
        """
        if agent not in self.waiting:
            raise ValueError(f"{agent!r} is not to speak now; waiting for {', '.join(self.waiting) or 'nobody'}")
        if agent not in self._briefed:
            self._briefed.append(agent)
        self._news[agent] = []
        try:
            self._moves[agent] = self.read(agent, text)
        except IllegalMove as error:
            self._illegal[agent] += 1
            if self._illegal[agent] >= self.illegal_moves:
                self.tell(f"{agent} made too many illegal moves, and the game is over.")
                self.quit(agent)
            else:
                self.tell(f"That is no legal move: {error} Try again.", agent)
            return
        if not self.waiting:
            moves, self._moves = self._moves, {}
            for mover in self._due:
                if not self.over:
                    self.play(mover, moves[mover])
            self._call()

    def earned(self, agent: str) -> Reward:
        """What an agent has earned in a game that is over, with the metrics of the game and its own.

        Raises:
            TypeError: It is no number, or a metric is none.
        """
        metrics = {**self.metrics(), "illegal_moves": float(self._illegal[agent])}
        return read_reward(Reward(score=self.rewards()[agent], metrics=metrics))

    def quit(self, agent: str) -> None:
        """End the game since an agent cannot go on."""
        if not self.over:
            self.quitter, self.over = agent, True

    def _call(self) -> None:
        """See whose turn it is."""
        self._due = list(self.turn())
        self.over = self.over or not self._due


def role_of(agent: str) -> str:
    """What comes before the number of an agent: "player" for `player_0`."""
    return agent.rpartition("_")[0]
