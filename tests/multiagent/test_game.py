"""What all games have in common: turns, moves at once, illegal moves, and who is told what."""

from __future__ import annotations

import itertools
import json
import pickle
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.messages import assistant
from llmgym.multiagent import IllegalMove, TextGame, role_of
from llmgym.multiagent.games.debate import DebateGame
from llmgym.multiagent.games.leduc import LeducGame
from llmgym.registry import make_core
from llmgym.tasks import Task

GAMES = ["Leduc", "Negotiation", "Taboo", "Debate", "Secret"]


class Match(TextGame):
    """Both name a number at once, twice; the sum of each counts."""

    agents = ("player_0", "player_1")

    def setup(self, task: Task) -> None:
        self.sums = dict.fromkeys(self.agents, 0)
        self.played = 0

    def brief(self, agent: str) -> str:
        return f"You are {agent}."

    def turn(self) -> Sequence[str]:
        return self.agents if self.played < 4 else ()

    def read(self, agent: str, text: str) -> int:
        if not text.isdecimal():
            raise IllegalMove("Say a number.")
        return int(text)

    def play(self, agent: str, move: int) -> None:
        self.sums[agent] += move
        self.played += 1
        self.tell(f"{agent}: {move}", *self.others(agent))

    def rewards(self) -> Mapping[str, float]:
        return {agent: float(agent != self.quitter) * self.sums[agent] for agent in self.agents}

    def script(self, agent: str) -> str:
        return "1"


def texts(game: TextGame, agent: str) -> list[str]:
    return [message["content"] for message in game.news(agent)]


def test_moves_at_once_are_not_seen_before_all_are_there() -> None:
    game = Match()
    game.begin(Task(id="a"))
    assert game.waiting == ["player_0", "player_1"]
    assert texts(game, "player_1") == ["You are player_1.", "It is your turn."]
    game.say("player_1", "5")
    assert game.waiting == ["player_0"]
    assert texts(game, "player_1") == []
    assert texts(game, "player_0") == ["You are player_0.", "It is your turn."]
    game.say("player_0", "five")
    assert texts(game, "player_0") == ["That is no legal move: Say a number. Try again."]
    assert game.sums == {"player_0": 0, "player_1": 0}
    game.say("player_0", "3")
    assert game.waiting == ["player_0", "player_1"]
    assert texts(game, "player_0") == ["player_1: 5"]
    assert texts(game, "player_1") == ["player_0: 3"]
    with pytest.raises(ValueError, match="'judge_0' is not to speak now"):
        game.say("judge_0", "3")


def test_illegal_moves_end_the_game_as_a_loss_of_their_seat() -> None:
    game = Match()
    game.begin(Task(id="a"))
    game.say("player_1", "7")
    game.say("player_0", "x")
    game.say("player_0", "y")
    assert (game.over, game.quitter, game.waiting) == (True, "player_0", [])
    assert game.rewards()["player_0"] == 0
    assert game.illegal == {"player_0": 2, "player_1": 0}
    assert texts(game, "player_1") == ["player_0 made too many illegal moves, and the game is over."]
    game.begin(Task(id="b"))
    assert (game.over, game.quitter, dict(game.illegal)) == (False, None, {"player_0": 0, "player_1": 0})


def test_roles() -> None:
    assert [role_of(agent) for agent in DebateGame.agents] == ["debater", "debater", "judge"]


def played(name: str, seed: int, texts: Mapping[str, Sequence[str]] | None = None) -> tuple[TextGame, list[Any]]:
    """Play a game by scripts, or by given texts of each agent first; gives the game and all that was told."""
    env: Any = make_core(f"llmgym/{name}-v0")
    env.reset(seed=seed)
    game: TextGame = env.game
    game.begin(env.task)
    said, told = {agent: itertools.chain((texts or {}).get(agent, ())) for agent in game.agents}, list[Any]()
    while not game.over:
        agent = game.waiting[0]
        told.append((agent, game.news(agent)))
        game.say(agent, next(said[agent], None) or game.script(agent))
    told += [(agent, game.news(agent)) for agent in game.agents]
    return game, told


@pytest.mark.parametrize("name", GAMES)
def test_the_same_messages_make_the_same_game(name: str) -> None:
    for seed in range(10):
        game, told = played(name, seed)
        again, retold = played(name, seed)
        assert told == retold
        assert game.rewards() == again.rewards()
        assert game.quitter is None
        assert sum(game.illegal.values()) == 0
        assert set(game.rewards()) == set(game.agents)
        json.dumps(game.metrics())
        pickle.loads(pickle.dumps(game))


@pytest.mark.parametrize("name", GAMES)
@given(data=st.data())
def test_games_end_whatever_is_said(name: str, data: st.DataObject) -> None:
    lines = st.lists(st.text(max_size=30) | st.sampled_from(
        ["call", "raise", "<accept/>", "<offer>9 books</offer>", "<quote>1</quote>", "<verdict></verdict>", "<guess>a"]
    ), max_size=8)  # fmt: skip
    agents = make_core(f"llmgym/{name}-v0").game.agents  # type: ignore[attr-defined]
    game, _ = played(name, 3, {agent: data.draw(lines) for agent in agents})
    assert game.over
    assert all(reward is None or -1 <= reward <= 1 for reward in game.rewards().values())


@pytest.mark.parametrize(("name", "secret"), [
    ("Leduc", lambda game: []), ("Taboo", lambda game: [("guesser_0", game.secret)]),
    ("Debate", lambda game: [("judge_0", f"{n}. {who} sold") for n, (who, _) in enumerate(game.lines, 1)]),
    ("Secret", lambda game: [("attacker_0", game.code)]),
])  # fmt: skip
def test_nobody_is_told_what_he_must_not_know(name: str, secret: Any) -> None:
    for seed in range(10):
        env: Any = make_core(f"llmgym/{name}-v0")
        env.reset(seed=seed)
        env.game.begin(env.task)
        for agent, hidden in secret(env.game):
            assert not any(hidden in message["content"] for message in env.game.news(agent))


def test_leduc_shows_a_player_no_card_of_the_other_before_the_end() -> None:
    game = LeducGame()
    game.begin(Task(id="a", metadata={"deals": ["JKQ"]}))
    assert "You hold J" in texts(game, "player_0")[1]
    assert "You hold K" in texts(game, "player_1")[1]
    game.say("player_0", "call")
    game.say("player_1", "raise")
    game.say("player_0", "<move>call</move>")
    assert texts(game, "player_0") == ["Q is turned up. There are 6 chips in the pot."]
    game.say("player_0", "check")
    game.say("player_1", "Raise.")
    assert "K" not in texts(game, "player_0")[0]
    game.say("player_0", "fold")
    assert texts(game, "player_1") == ["player_0 folds.\nplayer_1 wins 3."]
    assert game.rewards() == {"player_0": -3 / 13, "player_1": 3 / 13}


@pytest.mark.parametrize("name", GAMES)
def test_one_seat_of_a_game(name: str) -> None:
    """The environment for one plays the game that PettingZoo and the collector play."""
    for seat in make_core(f"llmgym/{name}-v0").game.agents:  # type: ignore[attr-defined]
        env: Any = make_core(f"llmgym/{name}-v0", seat=seat)
        env.reset(seed=4)
        ended = env.game.over
        while not ended:
            _, reward, ended, _, info = env.step(assistant(env.game.script(seat)))
        game, _ = played(name, 4)
        assert reward == game.rewards()[seat]
        assert info["metrics"]["illegal_moves"] == 0
