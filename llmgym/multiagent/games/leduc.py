"""Leduc poker for two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from llmgym.errors import ConfigError
from llmgym.multiagent.game import IllegalMove, TextGame
from llmgym.multiagent.games.poker import (
    RANKS,
    STAKE,
    BestResponse,
    actions,
    actor,
    cautious,
    deals_next,
    is_over,
    paid,
    won,
)
from llmgym.multiagent.solo import SoloGame
from llmgym.multiagent.tags import spoken, tagged
from llmgym.tasks import Task, TaskSet

_LETTERS = {"fold": "f", "call": "c", "check": "c", "raise": "r", "bet": "r"}
_RULES = """You are {agent} and play Leduc poker against {other}, {hands} in all.
The deck has six cards: two jacks (J), two queens (Q) and two kings (K). Each player puts in 1 chip and gets a card \
that \
only he sees. There are two rounds of betting, in which a raise is 2 chips in the first and 4 in the second, with two \
raises at most in each. After the first round a card is turned up. If nobody folds, a pair with that card wins, and \
else the higher card.
Answer with your move alone: fold, call or raise. Call is also check, where there is nothing to pay; only a raise can \
be \
answered by fold."""


class LeducGame(TextGame):
    """Some hands of Leduc poker; the players take turns at beginning."""

    agents = ("player_0", "player_1")

    def setup(self, task: Task) -> None:
        """Deal the first hand."""
        self.deals: list[str] = task.metadata["deals"]
        self.number, self.winnings = 0, dict.fromkeys(self.agents, 0)
        self.raises = self.folds = 0
        self._deal()

    def _deal(self) -> None:
        self.history = ""
        for agent in self.agents:
            first = "You begin." if self.seated()[0] == agent else f"{self.seated()[0]} begins."
            self.tell(f"Hand {self.number + 1} of {len(self.deals)}. You hold {self.held(agent)}. {first}", agent)

    def seated(self) -> list[str]:
        """Who begins this hand, and who follows."""
        return [self.agents[(self.number + place) % 2] for place in (0, 1)]

    def held(self, agent: str) -> str:
        """The card of an agent."""
        return self.deals[self.number][self.seated().index(agent)]

    @property
    def public(self) -> str:
        """The card that is turned up, if it is."""
        return self.deals[self.number][2] if "/" in self.history else ""

    def brief(self, agent: str) -> str:
        """The rules."""
        hands = "one hand" if len(self.deals) == 1 else f"{len(self.deals)} hands"
        return _RULES.format(agent=agent, other=self.others(agent)[0], hands=hands)

    def turn(self) -> Sequence[str]:
        """Who is to act."""
        return [] if self.number == len(self.deals) else [self.seated()[actor(self.history)]]

    def read(self, agent: str, text: str) -> str:
        """Read an action."""
        said = spoken(text) if (tag := tagged(text, "move")) is None else tag
        letter = _LETTERS.get(said.lower().strip("*_`'\"., !"))
        if letter is None:
            raise IllegalMove("A move is fold, call or raise, and nothing else.")
        if letter not in actions(self.history):
            why = "There is no raise to fold to." if letter == "f" else "There were two raises already."
            raise IllegalMove(f"{why} You may {' or '.join(self.allowed())}.")
        return letter

    def allowed(self) -> list[str]:
        """What the agent that is to act may do."""
        names = {"f": "fold", "c": "call", "r": "raise"}
        return [names[letter] for letter in actions(self.history)]

    def play(self, agent: str, move: str) -> None:
        """Take an action, and end the round or the hand with it."""
        put = paid(self.history)
        self.history += move
        self.raises, self.folds = self.raises + (move == "r"), self.folds + (move == "f")
        said = {"f": "folds", "r": "raises", "c": "checks" if put[0] == put[1] else "calls"}[move]
        self.tell(f"{agent} {said}.", *self.others(agent))
        if deals_next(self.history):
            self.history += "/"
            self.tell(f"{self.public} is turned up. There are {sum(paid(self.history))} chips in the pot.")
        elif is_over(self.history):
            self._settle()

    def _settle(self) -> None:
        first, second = self.seated()
        cards = self.deals[self.number]
        gain = won(self.history, cards[:2], cards[2])
        self.winnings[first] += gain
        self.winnings[second] -= gain
        shown = "" if self.history.endswith("f") else f" {first} held {cards[0]}, {second} held {cards[1]}."
        winner = first if gain > 0 else second
        self.tell(f"{f'{winner} wins {abs(gain)}' if gain else 'Nobody wins'}.{shown}")
        self.number += 1
        if self.number < len(self.deals):
            self._deal()

    def rewards(self) -> Mapping[str, float | None]:
        """Winnings as a share of the most that could be won; to quit loses all of it."""
        if self.quitter is not None:
            return {agent: -1.0 if agent == self.quitter else 1.0 for agent in self.agents}
        return {agent: chips / (STAKE * len(self.deals)) for agent, chips in self.winnings.items()}

    def metrics(self) -> Mapping[str, float]:
        """How the game went."""
        return {"hands": float(self.number), "raises": float(self.raises), "folds": float(self.folds)}

    def script(self, agent: str) -> str:
        """A rule of thumb."""
        chances = cautious(self.held(agent), self.public, self.history)
        return {"f": "fold", "c": "call", "r": "raise"}[max(chances, key=chances.__getitem__)]


@dataclass(frozen=True, slots=True)
class Deals:
    """Makes tasks.

    Attributes:
        hands: Hands of a game.
    """

    hands: int

    def __post_init__(self) -> None:
        """Check the range."""
        if not 1 <= self.hands <= 50:
            raise ConfigError(f"hands is {self.hands}; 1 to 50")

    def __call__(self, rng: np.random.Generator) -> Task:
        """Some hands."""
        deck = sorted(RANKS * 2)
        deals = ["".join(deck[i] for i in rng.permutation(6)[:3].tolist()) for _ in range(self.hands)]
        return Task(prompt="A game of Leduc poker.", metadata={"deals": deals})


class Leduc(SoloGame):
    """Leduc poker against a cautious player.

    ## Description

    The smallest poker with all that makes poker hard: hidden cards, bluffs, and a card that is turned up between two
    rounds of betting. Players begin by turns. As a game for several agents both places are policies.

    `llmgym.multiagent.games.poker.exploitability` says exactly how far a strategy is from optimal play.

    ## Actions

    A message that is a move: `fold`, `call` (or `check`) or `raise`; so is one with `<move>raise</move>`.

    ## Observations

    The rules, the own card, what the other player does, the card that is turned up, and how hands end.

    ## Rewards

    The chips that were won in all hands, as a share of the most that could be, from -1 to 1; the other player's are
    the opposite. A player whose second move is illegal has lost everything.

    Metrics: `hands`, `raises`, `folds`, `illegal_moves`.

    ## Episode End

    Terminates after the last hand or the second illegal move. Truncates after `max_turns` messages, which loses.

    ## Arguments

    - `hands` (5): hands of a game, 1 to 50.
    - `seat` (None): `player_0` or `player_1`; None for either, by the task.
    - `tasks`: a file of rows with `metadata`, which holds `deals`: texts of three cards, of the player who begins, of
      the other, and the one that is turned up.

    ## Registered Variants

    - `llmgym/Leduc-v0`: five hands.
    - `llmgym/Leduc-single-v0`: one hand, as research knows the game.

    ## Version History

    - v0: first version.
    """

    rules = LeducGame
    max_turns = 60
    oracle_kind = "reference"

    def __init__(self, *, hands: int = 5, tasks: TaskSet | str | Path | None = None, **options: Any) -> None:
        """Make the environment.

        Args:
            hands: Hands of a game.
            tasks: Other games.
            **options: Passed to `SoloGame`.

        Raises:
            ConfigError: An argument is out of range.
        """
        made = TaskSet.generated(Deals(hands), outcomes=24 if hands == 1 else None)
        super().__init__(tasks=made if tasks is None else tasks, **options)

    def solve(self) -> str:
        """The best that can be done against the script without seeing its card."""
        game: Any = self.game
        choices = _best(actor(game.history))
        letter = choices[game.held(self.seat), game.public, game.history]
        return {"f": "fold", "c": "call", "r": "raise"}[letter]


@cache
def _best(player: int) -> dict[tuple[str, str, str], str]:
    return BestResponse(cautious, player).choices
