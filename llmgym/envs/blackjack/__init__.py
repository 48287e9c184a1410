"""Blackjack: play hands as well as can be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from llmgym.envs.blackjack.hands import Hands, card, read_hands
from llmgym.envs.blackjack.strategy import RANKS, VALUES, Action, best, hand
from llmgym.envs.games import Game
from llmgym.errors import ToolError
from llmgym.tasks import Task, TaskSet, schema_of_row
from llmgym.tools import tool

_ACTIONS: dict[str, Action] = {"hit": "hit", "stand": "stand", "double": "double", "stay": "stand", "stick": "stand"}
_RULES = """You play blackjack. Rules:
- Each card is drawn from all thirteen ranks (A, 2 to 9, T, J, Q, K) with the same chance, whatever came before.
- T, J, Q and K count 10, an ace counts 11 or, where that would be over 21, 1. Over 21 you lose at once.
- You see one card of the dealer. When you stand, the dealer draws up to 16 and stands on every 17.
- The higher total wins the stake, equal totals give it back. 21 with two cards is a 21 like any other.
- There is no splitting, no insurance and no surrender.
What counts is not luck but play: you win when every decision that you make is the best one, that with the highest
expected winnings (basic strategy for these rules). A total of 21 stands by itself."""


class Blackjack(Game):
    """Play hands of blackjack as well as can be.

    ## Description

    Ten hands against the dealer. What is scored are the decisions, not the outcome: a dynamic programme computes the
    expected winnings of each action in each situation under the stated rules, exactly, and an action is right where
    none has more (two that are equally good are both right). The cards of each hand are laid out in advance, so that
    a choice in one changes no other. Hands are exchanged until no constant action and no simple rule plays all of them
    right: standing from 12, hitting to 15, playing as the dealer does, going by the dealer's card, and these with one
    exception for soft hands or a 12.

    The rules: an endless shoe, the dealer stands on every 17, a natural is a 21 like any other, and no splitting;
    doubling with the first two cards where `may_double`.

    ## Actions

    Calls of `act` with `hit`, `stand` or `double`. A text with `<move>hit</move>` does the same, and so does one that
    is nothing but such a word.

    ## Observations

    The rules and the first hand; then after each call the cards, how a hand ended, and the next one.

    ## Rewards

    1 where all hands are played and every decision was right, else 0.

    Metrics: `right` (the share of decisions that were right), `winnings` (in stakes), `moves`, `illegal_moves`.

    ## Episode End

    Terminates after the last hand or when the moves are spent, six for each hand, or twice what the best player makes
    where that is more. Doubling where it is not allowed costs one, and so does a message without a move. Truncates
    after `max_turns` messages.

    ## Arguments

    - `hands` (10): hands of a task, 3 to 20.
    - `may_double` (False): whether the first two cards may be doubled.
    - `offer_tools` (True): the tool `act`; otherwise moves are written.
    - `tasks`: a file of rows with `hands`, a list of texts of 12 to 24 cards in the order in which they are dealt
      (player, dealer, player, dealer's hidden card, then those that are drawn), and where wanted `may_double`. Rows
      of NeMo Gym hold no cards, and cannot be read.

    ## Registered Variants

    - `llmgym/Blackjack-v0`: ten hands.
    - `llmgym/Blackjack-easy-v0`: five hands.
    - `llmgym/Blackjack-hard-v0`: fifteen hands, with doubling.

    ## Version History

    - v0: first version.
    """

    max_turns = 60

    endings = ("All hands are played.", "All hands are played.")
    rules = _RULES
    by_tool = "Call act with your decision."
    by_text = "Write your decision in a tag, such as <move>hit</move>."

    def __init__(
        self,
        *,
        hands: int = 10,
        may_double: bool = False,
        offer_tools: bool = True,
        tasks: TaskSet | str | Path | None = None,
        **options: Any,
    ) -> None:
        """Make the environment.

        Args:
            hands: Hands of a task.
            may_double: Whether the first two cards may be doubled.
            offer_tools: Offer the tool.
            tasks: Other hands.
            **options: Passed to `ToolEnv`.

        Raises:
            ConfigError: An argument is out of range.
        """
        given = TaskSet.generated(Hands(hands, may_double)) if tasks is None else tasks
        super().__init__(offer_tools=offer_tools, tasks=given, **options)

    read_row = staticmethod(read_hands)

    @staticmethod
    def row_schema() -> dict[str, Any]:
        """The JSON Schema of a row with `hands`."""
        cards = {"type": "string", "pattern": f"^[{RANKS}]{{12,24}}$"}
        return schema_of_row(
            "Hands of blackjack",
            {
                "hands": {
                    "type": "array",
                    "items": cards,
                    "minItems": 1,
                    "maxItems": 20,
                    "description": "Cards of each hand: player, dealer, player, dealer's hidden card, those to draw.",
                },
                "may_double": {"type": ["boolean", "null"], "default": False},
            },
            required=["hands"],
        )

    @tool
    def act(self, action: Action) -> str:
        """Decide what to do with the hand.

        Args:
            action: hit for one more card, stand for no more, or double for twice the stake and exactly one more card.
        """
        return self.make([action])

    def begin(self, task: Task) -> int:
        self.dealt, self.may_double = list(task.metadata["hands"]), task.metadata["may_double"]
        self.number, self.decided, self.right, self.winnings = 0, 0, 0, 0
        self.news: list[str] = []
        self._deal()
        return max(6 * len(self.dealt), 2 * len(task.answer))

    def opening(self, task: Task) -> list[Any]:
        """The task, with the first hand to decide on."""
        messages = super().opening(task)
        messages[-1]["content"] += f"\n\n{self.show()}"
        return messages

    def play(self, move: Action) -> None:
        may_double = self.may_double and len(self.held) == 2
        if move == "double" and not may_double:
            allowed = "with your first two cards" if self.may_double else "in this game never"
            raise ToolError(f"you may double {allowed}; hit or stand.")
        self.news = []
        self.decided += 1
        self.right += move in best(hand(self.held), VALUES[self.cards[1]], may_double)
        if move != "stand":
            self.held += card(self.cards, len(self.held) + 2)
        if move != "hit" or hand(self.held)[0] >= 21:
            self._settle(2 if move == "double" else 1)
            self._deal()

    def _deal(self) -> None:
        """The next hand that leaves something to decide."""
        while self.number < len(self.dealt):
            self.cards = self.dealt[self.number]
            self.held = self.cards[0] + self.cards[2]
            if hand(self.held)[0] < 21:
                return
            self._settle(1)
        self.won = self.right == self.decided
        self.lost = not self.won

    def _settle(self, stake: int) -> None:
        """End the hand."""
        total, dealers, used = hand(self.held)[0], self.cards[1] + self.cards[3], len(self.held) + 2
        while total <= 21 and hand(dealers)[0] < 17:
            dealers += card(self.cards, used)
            used += 1
        other = hand(dealers)[0]
        result = -1 if total > 21 else 1 if other > 21 else (total > other) - (total < other)
        self.winnings += stake * result
        said = {1: "you win", 0: "nobody wins", -1: "you lose"}[result] + f" {stake}" * bool(result)
        of_dealer = f", the dealer {' '.join(dealers)} ({other})" if total <= 21 else ""
        self.news.append(f"Hand {self.number + 1}: you had {' '.join(self.held)} ({total}){of_dealer}: {said}.")
        self.number += 1

    def show(self) -> str:
        if self.number == len(self.dealt):
            return "\n".join(self.news)
        total, soft = hand(self.held)
        held = f"{' '.join(self.held)} ({'soft ' * soft}{total})"
        now = f"Hand {self.number + 1} of {len(self.dealt)}: you have {held}, the dealer shows {self.cards[1]}."
        return "\n".join([*self.news, now])

    def read_moves(self, text: str) -> list[Action]:
        words = text.lower().split()
        if len(words) == 1 and words[0] in _ACTIONS:
            return [_ACTIONS[words[0]]]
        raise ToolError("A move is hit, stand or double.")

    def arguments(self, moves: Sequence[Action]) -> dict[str, Any]:
        return {"action": moves[0]}

    def spell(self, moves: Sequence[Action]) -> str:
        return moves[0]

    def progress(self) -> dict[str, float]:
        return {"right": self.right / max(self.decided, 1), "winnings": float(self.winnings)}

    def solution(self, task: Task) -> Iterator[Sequence[Action]]:
        """The best decisions, from what is shown."""
        while not self.is_over:
            may_double = self.may_double and len(self.held) == 2
            yield [best(hand(self.held), VALUES[self.cards[1]], may_double)[0]]
