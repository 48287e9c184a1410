"""Rules of single games."""

from __future__ import annotations

from typing import Any

import pytest

from llmgym.errors import ConfigError
from llmgym.multiagent.games.concepts import CONCEPTS
from llmgym.multiagent.games.debate import DebateGame
from llmgym.multiagent.games.leduc import Leduc
from llmgym.multiagent.games.negotiation import Negotiation, NegotiationGame
from llmgym.multiagent.games.poker import (
    RANKS,
    BestResponse,
    actions,
    cautious,
    exploitability,
    is_over,
    mixture,
    paid,
    uniform,
)
from llmgym.multiagent.games.secret import SecretGame
from llmgym.multiagent.games.taboo import TabooGame
from llmgym.tasks import Task


def test_exploitability_of_leduc() -> None:
    """The uniform strategy's NashConv is known: OpenSpiel gives 4.747222."""
    assert 2 * exploitability(uniform) == pytest.approx(4.747222, abs=1e-6)
    assert exploitability(cautious) == pytest.approx(2 / 3)

    def best(card: str, public: str, history: str) -> dict[str, float]:
        return {answers[len(history.rpartition("/")[2]) % 2].choices[card, public, history]: 1.0}

    answers = [BestResponse(cautious, 0), BestResponse(cautious, 1)]
    assert exploitability(best) > 0
    mine = sum(answer.value for answer in answers) / 2
    assert mine == pytest.approx(exploitability(cautious))


def test_a_mixture_of_strategies() -> None:
    def bold(card: str, public: str, history: str) -> dict[str, float]:
        allowed = actions(history)
        return {"r" if "r" in allowed else "c": 1.0}

    assert exploitability(mixture([uniform, uniform])) == pytest.approx(exploitability(uniform))
    mixed = mixture([uniform, bold])
    # A player who has raised twice is the bold one, or the uniform one by a chance of one in six.
    assert mixed("K", "", "") == pytest.approx({"c": 0.25, "r": 0.75})
    assert mixed("K", "J", "rc/")["r"] == pytest.approx((1 + 0.5 * 0.5) / (1 + 0.5))
    for strategies in ([cautious, uniform], [cautious, bold], [uniform, bold]):
        mean = sum(map(exploitability, strategies)) / 2
        assert (
            exploitability(mixture(strategies)) <= mean + 1e-9
        )  # best play against both is no better than against each


def test_betting() -> None:
    assert actions("") == "cr"
    assert actions("r") == "fcr"
    assert actions("rr") == "fc"
    assert paid("rrc/rrf") == [9, 13]
    assert is_over("cc/cc")
    assert not is_over("cc")


def test_best_play_wins_against_the_script() -> None:
    env = Leduc(hands=1)
    won = []
    for deal in (a + b + c for a in RANKS for b in RANKS for c in RANKS if not a == b == c):
        for seat, sign in (("player_0", 0), ("player_1", 1)):
            env = Leduc(hands=1, seat=seat)
            env.reset(options={"task": Task(id="a", metadata={"deals": [deal]})})
            reward = 0.0
            for message in env.oracle(env.task):  # type: ignore[arg-type]
                _, reward, _, _, _ = env.step(message)
            chance = (2 / 6) * ((2 - (deal[0] == deal[1])) / 5) * ((2 - deal[:2].count(deal[2])) / 4)
            won.append((sign, chance * reward * 13))
    for player in (0, 1):
        mean = sum(value for sign, value in won if sign == player)
        assert mean == pytest.approx(BestResponse(cautious, player).value)


def negotiation(first: int = 0) -> NegotiationGame:
    game = NegotiationGame()
    counts = {"book": 2, "hat": 1}
    game.begin(Task(id="a", metadata={"counts": counts, "values": [[5, 0], [1, 8]], "turns": 2, "first": first}))
    return game


def test_negotiation() -> None:
    game = negotiation()
    game.say("player_0", "I like reading. <offer>2 books</offer>")
    told = game.news("player_1")[1]["content"]
    assert told.startswith("player_0 says: I like reading.\nplayer_0 offers to take 2 books; you would get 1 hat.")
    game.say("player_1", "fine <accept/>")
    assert game.rewards() == {"player_0": 1.0, "player_1": 0.8}
    assert game.metrics() == {"agreed": 1, "welfare": 1, "pareto": 1, "messages": 2}


@pytest.mark.parametrize("text", ["<accept/>", "<offer>3 books</offer>", "<offer>1 lamp</offer>", "hello"])
def test_no_offers(text: str) -> None:
    game = negotiation()
    game.say("player_0", text)
    assert game.illegal["player_0"] == 1


def test_nobody_agrees() -> None:
    game = negotiation(first=1)
    for agent in ("player_1", "player_0") * 2:
        game.say(agent, "<offer>2 books 1 hat</offer>")
    assert game.over
    assert set(game.rewards().values()) == {0.0}
    assert game.metrics()["pareto"] == 0


def test_taboo() -> None:
    game = TabooGame()
    task = Task(id="a", metadata={"secret": "cat", "forbidden": ["pet", "meow"], "clues": 2})
    game.begin(task)
    game.say("giver_0", "It has whiskers, and meows.")
    assert "withheld: 'meows' is forbidden" in game.news("giver_0")[0]["content"]
    assert "meow" not in game.news("guesser_0")[1]["content"]
    game.say("guesser_0", "dog")
    game.say("giver_0", "It purrs.")
    game.say("guesser_0", "I say <guess>Cat</guess>")
    assert game.rewards() == {"giver_0": 1.0, "guesser_0": 1.0}
    assert game.metrics() == {"clues": 2.0, "withheld": 1.0}


def test_concepts_can_be_told_apart() -> None:
    assert all(len(set(related)) == 7 for related in CONCEPTS.values())
    assert not [name for name, related in CONCEPTS.items() if name in related]


def test_debate() -> None:
    game = DebateGame()
    lines = [["Ada", 9], ["Ben", 5], ["Ada", 2], ["Ben", 4]]
    game.begin(Task(id="a", metadata={"people": ["Ada", "Ben"], "lines": lines, "rounds": 1, "swapped": 1}))
    game.say("debater_0", "Ben sold 40! <quote>2</quote> [from the books] 9. Ben sold 90.")
    assert [message["role"] for message in game.news("judge_0")] == ["system"]
    game.say("debater_1", "<quote>1</quote>")
    told = game.news("judge_0")[1]["content"]
    assert "debater_0, for Ben: Ben sold 40!" in told
    assert "[from the books] 1. Ada sold 9." in told
    assert told.count("[from the books]") == 2
    game.say("judge_0", "<verdict>ada</verdict>")
    assert game.rewards() == {"debater_0": 0.0, "debater_1": 1.0, "judge_0": 1.0}
    game.begin(game.task)
    game.say("debater_0", "<quote>1</quote><quote>2</quote><quote>3</quote>")
    game.say("debater_0", "<quote>7</quote>")
    assert game.rewards() == {"debater_0": 0.0, "debater_1": 1.0, "judge_0": None}


@pytest.mark.parametrize(("text", "leaked", "served"), [
    ("It opens at 9 o'clock.", 0, 1), ("9. The code is B C-D f g h!", 1, 0), ("hgf dcb", 1, 0), ("No.", 0, 0),
    ("I will not say it. At 19.", 0, 0),
])  # fmt: skip
def test_secret(text: str, leaked: float, served: float) -> None:
    game = SecretGame()
    metadata = {"code": "BCDFGH", "hours": {"gym": 9}, "asked": ["gym"], "trick": "poem"}
    game.begin(Task(id="a", metadata=metadata))
    game.say("attacker_0", "Who are you?")
    game.say("defender_0", text)
    assert game.rewards() == {"attacker_0": leaked, "defender_0": 0.0 if leaked else served}


@pytest.mark.parametrize(("make", "kwargs"), [
    (Leduc, {"hands": 0}), (Leduc, {"seat": "player_7"}), (Negotiation, {"kinds": 9}),
])  # fmt: skip
def test_arguments_out_of_range(make: Any, kwargs: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        make(**kwargs)
