"""Taboo: one describes a word without the words that come to mind first, and the other guesses it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from llmgym.errors import ConfigError
from llmgym.multiagent.game import IllegalMove, TextGame
from llmgym.multiagent.games.concepts import CONCEPTS
from llmgym.multiagent.solo import SoloGame
from llmgym.multiagent.tags import line, spoken, tagged, words
from llmgym.tasks import Task, TaskSet

_CLUE = 300  # characters of a clue
_GIVER = """You are giver_0 and play Taboo with guesser_0. Describe the secret word so that the other guesses it. You \
give \
{clues} clues at most, and after each there is one guess.
The secret word is {secret}. Forbidden are the words {forbidden}, the secret word itself, and all words that hold one \
of \
these. A clue with a forbidden word is withheld. You both win if the word is guessed."""
_GUESSER = """You are guesser_0 and play Taboo with giver_0, who describes a secret word. After each of {clues} clues \
you \
have one guess. Write it as <guess>word</guess>. You both win if you guess it."""


class TabooGame(TextGame):
    """Clues and guesses by turns."""

    agents = ("giver_0", "guesser_0")

    def setup(self, task: Task) -> None:
        """Begin with no clue."""
        self.secret: str = task.metadata["secret"]
        self.forbidden: list[str] = task.metadata["forbidden"]
        self.clues: list[str] = []
        self.guesses: list[str] = []
        self.withheld = 0
        self.guessed = False

    def brief(self, agent: str) -> str:
        """The role and, to the giver, the words."""
        clues: int = self.task.metadata["clues"]
        if agent == "guesser_0":
            return _GUESSER.format(clues=clues)
        return _GIVER.format(clues=clues, secret=self.secret, forbidden=", ".join(self.forbidden))

    def turn(self) -> Sequence[str]:
        """By turns."""
        if self.guessed or len(self.guesses) == self.task.metadata["clues"]:
            return []
        return [self.agents[len(self.clues) > len(self.guesses)]]

    def read(self, agent: str, text: str) -> str:
        """Read a clue, or a guess."""
        if agent == "giver_0":
            if not (clue := line(spoken(text), _CLUE)):
                raise IllegalMove("A clue has words.")
            return clue
        found = words(spoken(text) if (tag := tagged(text, "guess")) is None else tag)
        if len(found) != 1:
            raise IllegalMove("Write one word as your guess, such as <guess>house</guess>.")
        return found[0]

    def play(self, agent: str, move: str) -> None:
        """Give the clue, or see whether the guess is right."""
        if agent == "guesser_0":
            self.guesses.append(move)
            self.guessed = move == self.secret
            self.tell(f"guesser_0 guesses {move}." + " That is right." * self.guessed, "giver_0")
            self.tell("That is right." if self.guessed else f"{move} is wrong.", "guesser_0")
            return
        if broken := self.broken(move):
            self.withheld += 1
            self.tell(f"Your clue was withheld: {broken!r} is forbidden.", "giver_0")
            self.tell("giver_0 said a forbidden word, and the clue was withheld. You still have a guess.", "guesser_0")
            move = ""
        else:
            self.tell(f"giver_0: {move}", "guesser_0")
        self.clues.append(move)

    def broken(self, clue: str) -> str | None:
        """A word of a clue that is forbidden."""
        taboo = [self.secret, *self.forbidden]
        return next((word for word in words(clue) for one in taboo if one in word), None)

    def rewards(self) -> Mapping[str, float | None]:
        """1 for both where the word was guessed."""
        return dict.fromkeys(self.agents, float(self.guessed and self.quitter is None))

    def metrics(self) -> Mapping[str, float]:
        """How many clues it took, and how many were withheld."""
        return {"clues": float(len(self.clues)), "withheld": float(self.withheld)}

    def script(self, agent: str) -> str:
        """Say what comes to mind and is not forbidden; guess what has most in common with the clues."""
        if agent == "giver_0":
            free = [word for word in CONCEPTS.get(self.secret, ()) if self.broken(word) is None]
            return " ".join(free) or "something"
        heard = {word for clue in self.clues for word in words(clue)}
        left = [name for name in CONCEPTS if name not in self.guesses]
        guess = max(left, key=lambda name: len(heard.intersection(CONCEPTS[name])))
        return f"<guess>{guess}</guess>"


@dataclass(frozen=True, slots=True)
class Words:
    """Makes tasks.

    Attributes:
        forbidden: Most words that are forbidden.
        clues: Clues of a game.
    """

    forbidden: int
    clues: int

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not (1 <= self.forbidden <= 5 and 1 <= self.clues <= 10):
            raise ConfigError(f"forbidden is {self.forbidden} and clues is {self.clues}; 1 to 5, and 1 to 10")

    def __call__(self, rng: np.random.Generator) -> Task:
        """A word, and what must not be said."""
        names = list(CONCEPTS)
        secret = names[int(rng.integers(len(names)))]
        related = CONCEPTS[secret]
        number = int(rng.integers(1, self.forbidden + 1))
        forbidden = [related[i] for i in sorted(rng.permutation(len(related))[:number].tolist())]
        metadata = {"secret": secret, "forbidden": forbidden, "clues": self.clues}
        return Task(prompt="A game of Taboo.", metadata=metadata)


class Taboo(SoloGame):
    """Describe a word without the obvious words, or guess it.

    ## Description

    One player knows a secret word and describes it, without the word itself and some that come to mind with it; the
    other guesses. They win or lose together. The scripted players know 48 words with seven others that belong to each.

    ## Actions

    The giver's message is the clue. The guesser writes `<guess>word</guess>`; a message of one word does too.

    ## Observations

    The rules, for the giver the words, and then what the other says.

    ## Rewards

    1 where the word is guessed, else 0.

    Metrics: `clues`, `withheld` (those with a forbidden word), `illegal_moves`.

    ## Episode End

    Terminates when the word is guessed, all guesses are spent, or at the second message that is none. Truncates after
    `max_turns` messages.

    ## Arguments

    - `forbidden` (4): most words that are forbidden, 1 to 5.
    - `clues` (3): clues of a game, 1 to 10.
    - `seat` (None): `giver_0` or `guesser_0`; None for either, by the task.
    - `tasks`: a file of rows with `metadata`, which holds `secret`, a list `forbidden`, and `clues`.

    ## Registered Variants

    - `llmgym/Taboo-v0`: up to four forbidden words, three clues.

    ## Version History

    - v0: first version.
    """

    rules = TabooGame
    max_turns = 12

    def __init__(
        self, *, forbidden: int = 4, clues: int = 3, tasks: TaskSet | str | Path | None = None, **options: Any
    ) -> None:
        """Make the environment.

        Args:
            forbidden: Most words that are forbidden.
            clues: Clues of a game.
            tasks: Other words.
            **options: Passed to `SoloGame`.

        Raises:
            ConfigError: An argument is out of range.
        """
        super().__init__(tasks=TaskSet.generated(Words(forbidden, clues)) if tasks is None else tasks, **options)

    def solve(self) -> str:
        """Say what is not forbidden, or the secret word."""
        assert isinstance(self.game, TabooGame)
        return self.game.script(self.seat) if self.seat == "giver_0" else f"<guess>{self.game.secret}</guess>"
