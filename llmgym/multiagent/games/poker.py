"""Leduc poker as mathematics: its betting, what best play against a strategy earns, and how far one is from optimal.

Southey et al., "Bayes' Bluff: Opponent Modelling in Poker", 2005. Six cards, two each of three ranks; each player puts
in an ante of 1 and gets a card. There are two rounds of betting, with raises of 2 and then of 4 and two of them at most
in a round; between them a card is turned up. A pair with that card wins, then the higher card.

A history is a text of letters: `f`, `c` (call or check) and `r`, with a slash between the rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

RANKS = "JQK"
STAKE = 13  # the most that a hand can cost
_RAISES = (2, 4)
_MOST_RAISES = 2

#: Chances of the actions of a player who holds a card, when a card is turned up or not (""), after a history.
Strategy = Callable[[str, str, str], Mapping[str, float]]


def actions(history: str) -> str:
    """What may be done after a history."""
    bets = history.rpartition("/")[2]
    fold = "f" if bets.endswith("r") else ""
    return fold + ("cr" if bets.count("r") < _MOST_RAISES else "c")


def actor(history: str) -> int:
    """Which player is to act: 0 begins each round."""
    return len(history.rpartition("/")[2]) % 2


def is_over(history: str) -> bool:
    """Whether a hand has ended."""
    return history.endswith("f") or ("/" in history and _round_is_over(history))


def deals_next(history: str) -> bool:
    """Whether the card is to be turned up now."""
    return "/" not in history and not history.endswith("f") and _round_is_over(history)


def _round_is_over(history: str) -> bool:
    bets = history.rpartition("/")[2]
    return len(bets) > 1 and bets.endswith("c")


def paid(history: str) -> list[int]:
    """What each player has put in."""
    put = [1, 1]
    for size, bets in zip(_RAISES, history.split("/"), strict=False):
        for turn, action in enumerate(bets):
            if action != "f":
                put[turn % 2] = put[1 - turn % 2] + size * (action == "r")
    return put


def won(history: str, cards: str, public: str) -> int:
    """What player 0 has won, in a hand that is over."""
    put = paid(history)
    if history.endswith("f"):
        quitter = (len(history.rpartition("/")[2]) - 1) % 2
        return put[1] if quitter == 1 else -put[0]
    first, second = (_strength(card, public) for card in cards)
    return 0 if first == second else put[1] if first > second else -put[0]


def _strength(card: str, public: str) -> int:
    return RANKS.index(card) + len(RANKS) * (card == public)


class BestResponse:
    """The best that a player can do against a strategy, without seeing its card.

    Attributes:
        value: Chips a hand that it wins.
        choices: What it does, by its card, the card turned up and the history.
    """

    def __init__(self, strategy: Strategy, player: int) -> None:
        """Find it, exactly.

        Args:
            strategy: How the other plays.
            player: 0, who begins each round, or 1.
        """
        self._strategy, self._player = strategy, player
        self.choices: dict[tuple[str, str, str], str] = {}
        self.value = sum(
            self._value(own, "", "", {other: (2 - (own == other)) / 5 for other in RANKS}) / 3 for own in RANKS
        )

    def _value(self, own: str, public: str, history: str, chances: Mapping[str, float]) -> float:
        """What is won from here on, summed over the other's cards with the chances that they and its actions have."""
        if is_over(history):
            sign = 1 if self._player == 0 else -1
            pairs = {other: own + other if self._player == 0 else other + own for other in chances}
            return sum(sign * chance * won(history, pairs[other], public) for other, chance in chances.items())
        if deals_next(history):
            return sum(
                self._value(
                    own, card, f"{history}/",
                    {other: chance * (2 - (own == card) - (other == card)) / 4 for other, chance in chances.items()},
                )
                for card in RANKS
            )  # fmt: skip
        if actor(history) == self._player:
            values = {action: self._value(own, public, history + action, chances) for action in actions(history)}
            self.choices[own, public, history] = best = max(values, key=values.__getitem__)
            return values[best]
        plays = {other: self._strategy(other, public, history) for other in chances}
        return sum(
            self._value(own, public, history + action, {o: c * plays[o].get(action, 0.0) for o, c in chances.items()})
            for action in actions(history)
        )


def exploitability(strategy: Strategy) -> float:
    """What best play wins against a strategy, in chips a hand over both places; 0 for optimal play."""
    return (BestResponse(strategy, 0).value + BestResponse(strategy, 1).value) / 2


def mixture(strategies: Sequence[Strategy]) -> Strategy:
    """How a player plays who draws one of some strategies, each as likely as another, for a whole hand.

    What it does at a decision is what those do that come to it, by how likely they come to it by their own actions.
    """

    def play(card: str, public: str, history: str) -> dict[str, float]:
        total = dict.fromkeys(actions(history), 0.0)
        for strategy in strategies:
            comes = 1.0
            for place, action in enumerate(history):
                before = history[:place]
                if action != "/" and actor(before) == actor(history):
                    comes *= strategy(card, public if "/" in before else "", before).get(action, 0.0)
            for action, chance in strategy(card, public, history).items():
                total[action] += comes * chance
        norm = sum(total.values())
        return {action: chance / norm for action, chance in total.items()} if norm else uniform(card, public, history)

    return play


def uniform(card: str, public: str, history: str) -> dict[str, float]:
    """Any action as likely as another."""
    allowed = actions(history)
    return dict.fromkeys(allowed, 1 / len(allowed))


def cautious(card: str, public: str, history: str) -> dict[str, float]:
    """A rule of thumb: raise with the best cards, call with middling ones, and give up the rest where it costs."""
    allowed = actions(history)
    strong = card == public if public else card == "K"
    weak = card == "J" or (card == "Q" and history.endswith("rr")) or (card == "Q" and bool(public))
    wanted = "r" if strong else "f" if weak and card != public else "c"
    return {wanted if wanted in allowed else "c": 1.0}
