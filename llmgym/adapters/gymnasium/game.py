"""A Gymnasium environment of a few actions, played in text: what it shows is described, and moves are read."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import gymnasium

from llmgym.env import Episode, ToolEnv
from llmgym.errors import ConfigError
from llmgym.messages import Message
from llmgym.rewards import Reward
from llmgym.tasks import Task
from llmgym.verifiers.text import without_thoughts

_TAG = re.compile(r"<move>([^<]*)", re.IGNORECASE)
_WORD = re.compile(r"[a-z]+")
_READ = 2_000  # characters of a message that are looked at


class GymnasiumGame(ToolEnv):
    """Base of Gymnasium environments in text.

    A subclass says which environment a task is about (`world_of`), what its observations mean (`describe`), what its
    actions are called (`actions`), and when an episode is won (`is_won`).

    Attributes:
        rules: The rules, for the system message.
        actions: The actions by the words that a policy writes.
        limit: Moves of an episode, those that cannot be read included.
    """

    rules: str
    actions: Mapping[str, Any]
    limit: int = 100

    def __init__(self, *, scoring: Literal["win", "return"] = "win", **options: Any) -> None:
        """Make the environment.

        Args:
            scoring: "win" pays 1 for an episode that is won, and else nothing; "return" the sum of its rewards.
            **options: Passed to `ToolEnv`.

        Raises:
            ConfigError: There is no such scoring.
        """
        if scoring not in ("win", "return"):
            raise ConfigError(f"scoring must be 'win' or 'return'; it is {scoring!r}")
        self.scoring = scoring
        self.system_prompt = (
            f"{self.rules}\nMove by {', '.join(self.actions)}: write one move, or several that are made one after "
            f"another, in a tag, such as <move>{next(iter(self.actions))}</move>. You have {self.limit} moves."
        )
        super().__init__(**options)

    @abstractmethod
    def world_of(self, task: Task, seed: int) -> tuple[gymnasium.Env[Any, Any], Any]:
        """The environment of a task, reset, and its first observation.

        Args:
            task: The task.
            seed: What happens by chance comes of it.
        """

    @abstractmethod
    def describe(self, observation: Any) -> str:
        """What a player sees."""

    def is_won(self, reward: float, terminated: bool) -> bool:
        """Whether a step that earned this has won."""
        return terminated and reward > 0

    def setup(self, task: Task) -> None:
        """Reset the environment."""
        self.world, self.seen = self.world_of(task, int(self.np_random.integers(2**31)))
        self.moves_left, self.total, self.won, self.over = self.limit, 0.0, False, False
        self.metrics["illegal_moves"] = 0.0

    def respond(self, message: Message) -> str:
        """Make the moves of a text."""
        text = without_thoughts(message["content"])[-_READ:]
        tags = _TAG.findall(text)
        words = _WORD.findall((tags[-1] if tags else text).lower())
        if not words or any(word not in self.actions for word in words):
            self.moves_left -= 1
            self.count("illegal_moves")
            return self._state(f"That is no move; there is {', '.join(self.actions)}.")
        for word in words:
            self._move(self.actions[word])
            if self.over or self.moves_left <= 0:
                break
        return self._state(self.describe(self.seen))

    def _move(self, action: Any) -> None:
        self.seen, reward, terminated, truncated, _ = self.world.step(action)
        self.moves_left -= 1
        self.total += float(reward)
        self.won = self.is_won(float(reward), terminated)
        self.over = terminated or truncated

    def _state(self, text: str) -> str:
        if self.won:
            ending = "You have won."
        elif self.over or self.moves_left <= 0:
            ending = "You have lost."
        else:
            return f"{text}\nYou have {self.moves_left} moves left."
        self.finish()
        return f"{text}\n{ending}"

    def verify(self, episode: Episode) -> Reward:
        """1 for a win, or the return."""
        earned = float(self.won) if self.scoring == "win" else self.total
        return Reward(won=earned, metrics={"return": self.total, "moves": float(self.limit - self.moves_left)})

    def oracle(self, task: Task) -> Iterator[str]:
        """Do what wins most often and soonest, by the table of what may happen that the toy environments have."""
        table: Any = self.world.unwrapped.P  # type: ignore[attr-defined]
        words = {action: word for word, action in self.actions.items()}
        best = self.best_actions(table)
        while True:
            yield f"<move>{words[best[int(self.seen)]]}</move>"

    def best_actions(self, table: Mapping[int, Mapping[int, list[tuple[float, int, float, bool]]]]) -> dict[int, int]:
        """The best action in each state, by value iteration over the chance to win, in which later is worth less."""
        worth, gain = dict.fromkeys(table, 0.0), 1.0
        while gain > 1e-6:
            gain = 0.0
            for state in table:
                value = max(self._worth(table[state][action], worth) for action in table[state])
                gain = max(gain, value - worth[state])
                worth[state] = value
        return {
            state: max(actions, key=lambda action: self._worth(table[state][action], worth))
            for state, actions in table.items()
        }

    def _worth(self, outcomes: list[tuple[float, int, float, bool]], worth: Mapping[int, float]) -> float:
        return sum(
            chance * (float(self.is_won(reward, ended)) if ended else 0.98 * worth[int(state)])
            for chance, state, reward, ended in outcomes
        )
