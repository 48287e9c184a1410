"""Tasks of Blackjack: hands whose cards are laid out in advance, so that a choice in one changes no other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import product
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

#: What is asked: a hand, the dealer's card, and the best actions.
Choice = tuple[Hand, int, tuple[Action, ...]]
#: What a simple rule does with a hand, against the dealer's card.
Rule = Callable[[Hand, int], Action]


def _below(strong: int, weak: int, soft: int = 0, doubles: int = 12) -> Rule:
    """Hits below a total against an ace or 7 and more, or another one; doubles, on two cards it may be, up to 11."""

    def rule(held: Hand, up: int) -> Action:
        total, is_soft = held
        if doubles <= total <= 11:
            return "double"
        return "hit" if total < max(strong if up == 1 or up > 6 else weak, soft if is_soft else 0) else "stand"

    return rule


#: Rules that play no task right: blind ones, those of one's own cards, and the best one without its exceptions.
RULES: dict[str, Rule] = {
    "stand": lambda held, up: "stand",
    "hit": lambda held, up: "hit",
    "double": lambda held, up: "double",
    "never bust": _below(12, 12),
    "as the dealer": _below(17, 17),
    "to 15": _below(15, 15),
    "as the dealer, soft 17 too": _below(17, 17, 18),
    "by the dealer's card": _below(17, 12),
    "by the dealer's card, 12 too": lambda held, up: _below(17, 13 if up < 4 else 12)(held, up),
    **{
        f"hit below {strong} or {weak}, soft below {soft}, double from {doubles}": _below(strong, weak, soft, doubles)
        for strong, weak, soft, doubles in product((17, 18), (12, 13), (0, 18, 19), (10, 12))
    },
}


@dataclass(frozen=True, slots=True)
class Hands:
    """Makes tasks.

    Attributes:
        hands: Hands of a task.
        may_double: Whether the first two cards may be doubled.
    """

    hands: int
    may_double: bool

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not 3 <= self.hands <= 20:
            raise ConfigError(f"hands is {self.hands}; 3 to 20")

    def __call__(self, rng: np.random.Generator) -> Task:
        """Hands that no simple rule plays right: one after another is exchanged until it is so."""
        dealt, fewest = self._deal(rng), len(RULES) + self.hands
        while fewest:
            for place, other in enumerate(self._deal(rng)):
                changed = [*dealt[:place], other, *dealt[place + 1 :]]
                asked = sum(asked for _, asked, _ in changed)
                lost = set[str]().union(*(lost for *_, lost in changed))
                lacking = len(RULES) - len(lost) + max(0, self.hands + 2 - asked)
                if lacking <= fewest:
                    dealt, fewest = changed, lacking
                if not fewest:
                    break
        return as_task([cards for cards, *_ in dealt], self.may_double)

    def _deal(self, rng: np.random.Generator) -> list[tuple[str, int, set[str]]]:
        """The cards of some hands, how often each is asked about, and the rules that play it wrong."""
        dealt = ["".join(RANKS[i] for i in row) for row in rng.integers(13, size=(self.hands, _CARDS)).tolist()]
        asked = [decisions(cards, self.may_double) for cards in dealt]
        return [
            (cards, len(choices), set[str]().union(*(_fooled(*choice) for choice in choices)))
            for cards, choices in zip(dealt, asked, strict=True)
        ]


@cache
def _fooled(held: Hand, up: int, best: tuple[Action, ...]) -> frozenset[str]:
    """The rules that make a wrong choice."""
    return frozenset(name for name, rule in RULES.items() if rule(held, up) not in best)


def card(cards: str, number: int) -> str:
    """A card of a hand: the player's, the dealer's, the player's, the dealer's hidden one, then those to be drawn."""
    return cards[number % len(cards)]


def decisions(cards: str, may_double: bool) -> list[Choice]:
    """What the best player is asked in a hand."""
    asked = list[Choice]()
    held, up = cards[0] + cards[2], VALUES[cards[1]]
    while hand(held)[0] < 21:
        actions = best(hand(held), up, may_double and len(held) == 2)
        asked.append((hand(held), up, actions))
        if actions[0] != "hit":
            break
        held += card(cards, len(held) + 2)
    return asked


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
