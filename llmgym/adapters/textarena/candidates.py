"""Moves that may be legal in games of TextArena for several players: what a scripted player chooses from.

They follow from what the player sees, or from the rules alone. Which of them are legal is tried on a copy of the game.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

#: Gives the moves of a player, of TextArena's environment and the player's number.
Candidates = Callable[[Any, int], Iterable[str]]


def moves(family: str, env: Any, player: int) -> list[str]:
    """What a player may try."""
    return list(_CANDIDATES[family](env, player))


def chooses(family: str, env: Any) -> bool:
    """Whether a choice is to be told now, in games in which there is talk before one."""
    if family == "TruthAndDeception":
        return bool(env.state.turn == env.state.max_turns - 1)
    return bool(env.state.game_state["phase"] != "conversation")


def _any(*texts: str) -> Candidates:
    return lambda env, player: texts


def _numbers(count: int, form: str = "[{}]", start: int = 0) -> Candidates:
    return _any(*(form.format(number) for number in range(start, start + count)))


def _alquerque(env: Any, player: int) -> Iterator[str]:
    board = env.state.game_state["board"]
    for row, column in itertools.product(range(5), repeat=2):
        if board[row][column] == "RB"[player]:
            for down, right in itertools.product(range(-2, 3), repeat=2):
                to_row, to = row + down, column + right
                if 0 <= to_row < 5 and 0 <= to < 5 and not board[to_row][to]:
                    yield f"[{chr(97 + column)}{5 - row} {chr(97 + to)}{5 - to_row}]"


def _breakthrough(env: Any, player: int) -> Iterator[str]:
    for row, column in itertools.product(range(env.board_size), repeat=2):
        if env.state.game_state["board"][row][column] == "WB"[player]:
            forward = row + (1, -1)[player]
            for to in (column - 1, column, column + 1):
                if 0 <= to < env.board_size and 0 <= forward < env.board_size:
                    yield f"[{chr(97 + column)}{row + 1}{chr(97 + to)}{forward + 1}]"


def _hand(env: Any, player: int) -> Iterator[str]:
    for place in range(1, 14):
        yield f"[play {place}]"


def _liars_dice(env: Any, player: int) -> Iterator[str]:
    bid, dice = env.state.game_state["current_bid"], sum(env.state.game_state["remaining_dice"].values())
    if bid["quantity"] >= max(1, dice // 2):
        yield "[Call]"
        return
    for quantity, face in itertools.product(range(bid["quantity"], bid["quantity"] + 2), range(1, 7)):
        yield f"[Bid: {quantity}, {face}]"


def _memory(env: Any, player: int) -> Iterator[str]:
    size = range(env.grid_size)
    for one, other in itertools.permutations(itertools.product(size, size), 2):
        yield f"[{one[0]} {one[1]} {other[0]} {other[1]}]"


def _blotto(env: Any, player: int) -> Iterator[str]:
    fields, units = env.field_names, env.num_total_units
    for first, second in itertools.permutations(range(len(fields)), 2):
        share = [units // len(fields)] * len(fields)
        share[first] += units - sum(share)
        moved = share[second] // 2
        share[first], share[second] = share[first] + moved, share[second] - moved
        yield f"[{', '.join(f'{field}:{number}' for field, number in zip(fields, share, strict=True))}]"


def _negotiation(env: Any, player: int) -> Iterator[str]:
    offer, values = env.state.game_state["current_offer"], env.state.game_state["player_values"][player]
    if offer is not None and offer["to_player"] == player:
        gain = sum(values[name] * count for name, count in offer["offered_resources"].items())
        if gain > sum(values[name] * count for name, count in offer["requested_resources"].items()):
            yield "[Accept]"
    for given, wanted in itertools.permutations(values, 2):
        if count := (values[wanted] - 1) // values[given]:  # a little less than it is worth
            yield f"[Deny] Let us trade. [Offer: {count} {given} -> 1 {wanted}]"
    yield "[Deny]"


def _ultimatum(env: Any, player: int) -> Iterator[str]:
    yield from ("[Offer: $4]", "[Offer: $5]", "[Accept]", "[Reject]")


def _ipd(env: Any, player: int) -> Iterator[str]:
    chosen = chooses("IteratedPrisonersDilemma", env)
    yield from ["[Cooperate]", "[Defect]"] if chosen else ["Let us both cooperate."]


def _ipd_of_three(env: Any, player: int) -> Iterator[str]:
    if not chooses("ThreePlayerIPD", env):
        yield "Let us all cooperate."
        return
    others = [other for other in range(3) if other != player]
    for choices in itertools.product(("cooperate", "defect"), repeat=2):
        yield " ".join(f"[{other} {choice}]" for other, choice in zip(others, choices, strict=True))


def _truth(env: Any, player: int) -> Iterator[str]:
    guesses = chooses("TruthAndDeception", env)
    yield from ["[Fact 1]", "[Fact 2]"] if guesses else ["The first one is true.", "The second one is true."]


def _tak(env: Any, player: int) -> Iterator[str]:
    yield from (f"[{cell}]" for cell in range(env.board_size**2))


def _cards(env: Any, player: int) -> Iterator[str]:
    yield from (f"[{card}]" for card in ("A", *range(2, 11), "J", "Q", "K"))


_KUHN = ("[check]", "[bet]", "[fold]", "[call]")
_CANDIDATES: dict[str, Candidates] = {
    "Alquerque": _alquerque,
    "Battleship": lambda env, player: (
        f"[{chr(65 + r)}{c}]" for r in range(env.grid_size) for c in range(env.grid_size)
    ),
    "Breakthrough": _breakthrough,
    "Briscola": _numbers(3, "[play {}]", 1),
    "Chopsticks": _any(*(f"[attack {one} {other}]" for one in (0, 1) for other in (0, 1))),
    "ColonelBlotto": _blotto,
    "ConnectFour": lambda env, player: (f"[col {column}]" for column in range(env.num_cols)),
    "Crusade": lambda env, player: env._legal_moves_for_player(player),
    "GameOfPureStrategy": _cards,
    "GermanWhist": _hand,
    "HighSociety": _numbers(11, "[{}]", 1),
    "IndianPoker": _any("[check]", "[call]", "[bet 1]", "[fold]"),
    "IteratedMatchingPennies": _any("[heads]", "[tails]"),
    "IteratedPrisonersDilemma": _ipd,
    "IteratedRockPaperScissors": _any("[rock]", "[paper]", "[scissors]"),
    "IteratedTwoThirdsAverage": _numbers(67),
    "IteratedUltimatumGame": _ultimatum,
    "KuhnPoker": _any(*_KUHN),
    "LiarsDice": _liars_dice,
    "MemoryGame": _memory,
    "Nim": lambda env, player: (
        f"[{pile} {count}]" for pile, left in enumerate(env.state.game_state["piles"]) for count in range(1, left + 1)
    ),
    "Othello": lambda env, player: (f"[{r}, {c}]" for r in range(env.N) for c in range(env.N)),
    "PigDice": _any("[roll]", "[roll]", "[hold]"),
    "Poker": _any("[check]", "[call]", "[fold]"),
    "SimpleNegotiation": _negotiation,
    "SimpleTak": _tak,
    "Snake": _any("[up]", "[down]", "[left]", "[right]"),
    "Surround": _any("[up]", "[down]", "[left]", "[right]"),
    "ThreePlayerGOPS": _cards,
    "ThreePlayerIPD": _ipd_of_three,
    "ThreePlayerTicTacToe": _numbers(25),
    "TicTacToe": _numbers(9),
    "TruthAndDeception": _truth,
    "UltimateTicTacToe": _any(*(f"[{one} {other}]" for one in range(9) for other in range(9))),
    "WildTicTacToe": _any(*(f"[{mark} {cell}]" for mark in "XO" for cell in range(9))),
}
