"""Tasks of Blackjack: hands whose cards are laid out in advance, so that a choice in one changes no other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from llmgym.envs.blackjack.strategy import RANKS, VALUES, Action, Hand, best, hand
from llmgym.envs.games import phrase
from llmgym.errors import ConfigError
from llmgym.tasks import Task

_CARDS = 12  # of a hand; where more are needed, which is rare, they come again
_PHRASINGS = (
    "Play {hands} hands of blackjack.",
    "Here are {hands} hands of blackjack for you to play.",
    "We play blackjack, {hands} hands.",
    "Sit down for {hands} hands of blackjack.",
)

_DOUBLING = (
    "You cannot double.",
    "With your first two cards you may double: the stake is doubled, you get exactly one more card and then stand.",
)

#: What a simple rule does with a hand, against the dealer's card.
Rule = Callable[[Hand, int], Action]
RULES: dict[str, Rule] = {
    "stand": lambda held, up: "stand",
    "hit": lambda held, up: "hit",
    "double": lambda held, up: "double",
    "never bust": lambda held, up: "hit" if held[0] < 12 else "stand",
    "as the dealer": lambda held, up: "hit" if held[0] < 17 else "stand",
    "to 15": lambda held, up: "hit" if held[0] < 15 else "stand",
    "by the dealer's card": lambda held, up: "hit" if held[0] < (17 if up == 1 or up > 6 else 12) else "stand",
}


@dataclass(frozen=True, slots=True)
class Hands:
    """Makes tasks.

    Attributes:
        hands: Hands of a task.
        may_double: Whether the first two cards may be doubled.
        beats: Names of the rules with which a task must not be won.
    """

    hands: int
    may_double: bool
    beats: tuple[str, ...]

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not 3 <= self.hands <= 20:
            raise ConfigError(f"hands is {self.hands}; 3 to 20")
        if unknown := [name for name in self.beats if name not in RULES]:
            raise ConfigError(f"beats has {unknown[0]!r}; there is {', '.join(RULES)}")

    def __call__(self, rng: np.random.Generator) -> Task:
        """Hands that no simple rule plays right."""
        while True:
            dealt = ["".join(RANKS[i] for i in row) for row in rng.integers(13, size=(self.hands, _CARDS)).tolist()]
            choices = [choice for cards in dealt for choice in decisions(cards, self.may_double)]
            if len(choices) < self.hands + 2 or any(wins(RULES[name], choices) for name in self.beats):
                continue
            return as_task(dealt, self.may_double)


def card(cards: str, number: int) -> str:
    """A card of a hand: the player's, the dealer's, the player's, the dealer's hidden one, then those to be drawn."""
    return cards[number % len(cards)]


def decisions(cards: str, may_double: bool) -> list[tuple[Hand, int, tuple[Action, ...]]]:
    """What the best player is asked in a hand: what it holds, the dealer's card, and the best actions."""
    asked: list[tuple[Hand, int, tuple[Action, ...]]] = []
    held, up = cards[0] + cards[2], VALUES[cards[1]]
    while hand(held)[0] < 21:
        actions = best(hand(held), up, may_double and len(held) == 2)
        asked.append((hand(held), up, actions))
        if actions[0] != "hit":
            break
        held += card(cards, len(held) + 2)
    return asked


def wins(rule: Rule, choices: list[tuple[Hand, int, tuple[Action, ...]]]) -> bool:
    """Whether a rule makes each of these choices as well as can be."""
    return all(rule(held, up) in actions for held, up, actions in choices)


def as_task(dealt: list[str], may_double: bool, task_id: Any = "") -> Task:
    """The task of some hands."""
    letters = "".join(actions[0][0].upper() for cards in dealt for _, _, actions in decisions(cards, may_double))
    metadata = {"hands": dealt, "may_double": may_double}
    prompt = f"{phrase(_PHRASINGS, ''.join(dealt)).format(hands=len(dealt))} {_DOUBLING[may_double]}"
    return Task(id=task_id, prompt=prompt, answer=letters, metadata=metadata)


def read_hands(row: dict[str, Any]) -> Task:
    """The task of a row with `hands`: for each its cards in the order in which they are dealt.

    Raises:
        ValueError: They are no hands; says why.
    """
    if row.get("hands") is None and row.get("responses_create_params") is not None:
        raise ValueError("a row of NeMo Gym holds no cards, and its shoe has no seed; write the cards out as `hands`")
    dealt, may_double = row["hands"], row.get("may_double") or False
    if not isinstance(dealt, list) or not 1 <= len(dealt) <= 20:
        raise ValueError("hands is a list of 1 to 20 texts of cards")
    if type(may_double) is not bool:
        raise ValueError(f"may_double is {may_double!r:.100}; true or false")
    for cards in dealt:
        if not isinstance(cards, str) or not 12 <= len(cards) <= 24 or set(cards) - set(RANKS):
            raise ValueError(f"hand {cards!r:.100} is not 12 to 24 of the cards {RANKS}")
    if not any(decisions(cards, may_double) for cards in dealt):
        raise ValueError("no hand leaves anything to decide")
    return as_task(dealt, may_double, row.get("id", ""))
