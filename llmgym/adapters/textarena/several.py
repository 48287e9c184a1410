"""Games of TextArena for several players, as PettingZoo, the collector and environments for one play them."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from llmgym.adapters.packages import expect_packages
from llmgym.adapters.textarena.candidates import chooses, moves
from llmgym.adapters.textarena.games import Dice, made, private
from llmgym.adapters.textarena.table import SEVERAL, SEVERAL_REFUSED
from llmgym.errors import ConfigError
from llmgym.multiagent import IllegalMove, SoloGame, TextGame
from llmgym.multiagent.tags import line
from llmgym.tasks import Task, TaskSet, stable_hash
from llmgym.verifiers.text import without_thoughts

_TRIES = 30  # lines of which the oracle takes the best
# Characters of a message that a game is given: its last ones, in a game without talk and with it. The patterns of the
# package take time that grows with their square, and with the third power of blanks.
_MOVE_READ, _TALK_READ = 500, 2_000
_MOVE = re.compile(r"\[[^\[\]\n]{1,60}\]")
_CHOICES = {
    "IteratedPrisonersDilemma": re.compile(r"\[(?:cooperate|defect)\]", re.IGNORECASE),
    "TruthAndDeception": re.compile(r"\[fact [12]\]", re.IGNORECASE),
}


class ArenaGame(TextGame):
    """A game of TextArena, which keeps its own rules on moves that are none: most end at the second one in a row.

    A player is told what the game tells it. Of what others write it hears all where the game is one of talking, on one
    line, and else their moves alone.

    Attributes:
        entry: Which.
        env: TextArena's environment.
        moves_made: Messages of all players so far.
    """

    def __init__(self, name: str) -> None:
        """Take a game.

        Args:
            name: A name of `SEVERAL`.
        """
        self.entry = SEVERAL[name]
        self.agents: Sequence[str] = tuple(f"player_{number}" for number in range(self.entry.players))

    def setup(self, task: Task) -> None:
        """Begin the game."""
        seed = stable_hash("game", task.metadata["seed"])
        self._dice, self.moves_made, self._earned = Dice(seed), 0, dict[str, float | None]()
        with private(self.entry, self._dice):
            self.env = made(self.entry.id)
            self.env.reset(num_players=len(self.agents), seed=seed % 2**31)
        self._prompts: dict[str, list[str]] = {agent: [] for agent in self.agents}
        self._pass_on(opening=True)

    def brief(self, agent: str) -> str:
        """The rules, as the game words them."""
        return "\n".join(self._prompts[agent])

    def turn(self) -> Sequence[str]:
        """Who is to move; players who move at once do so in turn, and are told of it after all have."""
        return [] if self.env.state.done else [self.agents[int(self.env.state.current_player_id)]]

    def read(self, agent: str, text: str) -> str:
        """Take any text: the game says itself what is no move, but for two whose rules would pay for that.

        Raises:
            IllegalMove: One of them is to be told a choice, and is told none or several.
        """
        most = _TALK_READ if self.entry.talk else _MOVE_READ
        text = line(without_thoughts(text)[-most:], most)
        choices = _CHOICES.get(self.entry.family)
        # A guesser who names both facts would always be right there, and who names no choice would cooperate.
        if (
            choices is not None
            and chooses(self.entry.family, self.env)
            and len(set(choices.findall(text.lower()))) != 1
        ):
            raise IllegalMove("Name one choice, in square brackets.")
        return text

    def play(self, agent: str, move: str) -> None:
        """Give the game a text."""
        player = self.agents.index(agent)
        before = _errors(self.env, player)
        self.moves_made += 1
        with private(self.entry, self._dice):
            try:
                self.env.step(move)
            except (ValueError, IndexError, KeyError, TypeError, AttributeError):  # of what the player wrote
                self._illegal[agent] += 1
                self.tell(f"That is no move. {agent} has lost.")
                self.quit(agent)
                return
        self._illegal[agent] += _errors(self.env, player) > before
        if self.entry.family == "UltimateTicTacToe" and not self.env.state.done and _is_full(self.env):
            self.env.state.set_draw("The boards are full: the game is a draw!")
        self._pass_on()
        if self.env.state.done:
            self._close()

    def _close(self) -> None:
        rewards, infos = self.env.close()
        self._earned = {agent: _number(rewards.get(number)) for number, agent in enumerate(self.agents)}
        losers = [agent for number, agent in enumerate(self.agents) if infos[number]["invalid_move"]]
        if losers and len(self.agents) == 2:  # of more, the others may have gone on
            self.quitter = losers[0]
        if reason := infos[0].get("reason"):
            self.tell(f"{reason} The game is over.")

    def _pass_on(self, *, opening: bool = False) -> None:
        """Tell each player what the game has for it; the game's own record of it all is of no use."""
        from textarena import ObservationType

        state = self.env.state
        state.logs = []
        for number, agent in enumerate(self.agents):
            told, state.observations[number] = state.observations[number], []
            for sender, text, kind in told:
                if opening and kind is ObservationType.PROMPT:
                    self._prompts[agent].append(text.strip())
                elif kind is not ObservationType.PLAYER_ACTION:
                    self.tell(text.strip(), agent)
                elif sender != number and (said := self._heard(text)):
                    self.tell(f"Player {sender}: {said}", agent)

    def _heard(self, text: str) -> str:
        return text.strip() if self.entry.talk else " ".join(_MOVE.findall(text)[-3:])

    def rewards(self) -> Mapping[str, float | None]:
        """What the game pays, from -1 to 1; who cannot go on has lost it to the others."""
        if self.env.state.done:
            return self._earned
        others = len(self.agents) - 1
        return {agent: -1.0 if agent == self.quitter else 1.0 / others for agent in self.agents}

    def metrics(self) -> Mapping[str, float]:
        """How long it took."""
        return {"moves": float(self.moves_made)}

    def script(self, agent: str) -> str:
        """A legal move by chance."""
        return next(self.legal(agent), "")

    def legal(self, agent: str, order: int = 0) -> Iterator[str]:
        """The legal moves among those that are tried on a copy of the game with other dice.

        Args:
            agent: Who is to move.
            order: Names an order by chance; 0 is that of the script.
        """
        player = self.agents.index(agent)
        tried = moves(self.entry.family, self.env, player)
        Dice(stable_hash("script", self.task.metadata["seed"], self.moves_made, order)).shuffle(tried)
        for move in tried:
            with private(self.entry, Dice(0)):
                env = copy.deepcopy(self.env)
                env.step(move)
            if _errors(env, player) <= _errors(self.env, player):
                yield move


def _errors(env: Any, player: int) -> tuple[bool, int]:
    """Of two of these, the greater one is after a move that was none."""
    return bool(env.state.game_info[player]["invalid_move"]), env.state.error_count


def _is_full(env: Any) -> bool:
    """Whether no cell of any board is free: the game itself does not end where a board was filled that nobody won."""
    return not any(cell == " " for board in env.state.game_state["board"] for row in board for cell in row)


def _number(value: Any) -> float | None:
    """A reward; some games give a text in its place, of which nothing is known."""
    return min(max(float(value), -1.0), 1.0) if isinstance(value, int | float) else None


class TextArenaMulti(SoloGame):
    """Games of TextArena for two players or more.

    ## Description

    TextArena has games that are played in text. Here are those for several players that need no judge and no network:
    board games, cards and dice, matrix games, and games of talking. A task is a seed. The players who are not the
    policy make legal moves by chance; as a game for several agents all of them are policies.

    ## Actions

    A text with a move in square brackets, as the rules of the game say.

    ## Observations

    The rules and the board as the game words them; then what is new to the player after each move. Of what others write
    a player hears all where the game is one of talking, and else their moves alone.

    ## Rewards

    What the game pays: 1 for a win, -1 for a loss, and between them for a draw, or for a place in the middle. A player
    who quits, or whose second move in a row is none, has lost.

    Metrics: `moves` (of all players), `illegal_moves`.

    ## Episode End

    Terminates when the game is over. Truncates after `max_turns`, which loses.

    ## Arguments

    - `game` ("connectfour"): a name such as "liarsdice".
    - `seat` (None): `player_0` and so on; None for any, by the task.

    ## Registered Variants

    - `llmgym/TextArenaMulti-v0`: Connect Four.
    - `llmgym/TextArenaMulti-liarsdice-v0` and so on: another game.

    ## Version History

    - v0: textarena 0.7.4.
    """

    oracle_kind = "reference"

    def __init__(self, *, game: str = "connectfour", **options: Any) -> None:
        """Make the environment.

        Args:
            game: Which one.
            **options: Passed to `SoloGame`.

        Raises:
            MissingExtraError: textarena is not installed.
            ConfigError: An argument makes no sense.
        """
        expect_packages("TextArena", "textarena", "textarena")
        if game not in SEVERAL:
            refused = SEVERAL_REFUSED.get(game)
            why = (
                f"cannot be made right: {refused}" if refused else f"is none for several; there is {', '.join(SEVERAL)}"
            )
            raise ConfigError(f"the game {game!r} of TextArena {why}")
        self.rules = partial(ArenaGame, game)
        options.setdefault("tasks", TaskSet.generated(_draw))
        super().__init__(**options)

    def setup(self, task: Task) -> None:
        """Begin the game."""
        self._line: dict[int, str] = {}
        super().setup(task)

    def solve(self) -> str:
        """The next move of the best line that was found, by trying some against the scripts of the others."""
        game: Any = self.game
        if game.moves_made not in self._line:
            best = -math.inf
            for order in range(1, _TRIES + 1):
                earned, line = self._tried(order)
                if earned > best:
                    best, self._line = earned, line
                if best == 1:
                    break
        return self._line[game.moves_made]

    def _tried(self, order: int) -> tuple[float, dict[int, str]]:
        """What a line earns that is made by chance, and its moves by how many were made before each."""
        game: Any = copy.deepcopy(self.game)
        line: dict[int, str] = {}
        while not game.over:
            agent = game.waiting[0]
            move = next(game.legal(agent, order if agent == self.seat else 0), "")
            if agent == self.seat:
                line[game.moves_made] = move
            game.say(agent, move)
        return game.rewards()[self.seat] or 0.0, line


def _draw(rng: np.random.Generator) -> Task:
    return Task(prompt="A game of TextArena.", metadata={"seed": int(rng.integers(2**62))})
