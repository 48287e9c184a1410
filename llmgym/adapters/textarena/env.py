"""Games of TextArena for one player as environments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np

from llmgym.adapters.packages import expect_package
from llmgym.adapters.splitting import SplitTasks, split_of
from llmgym.adapters.textarena.games import begin
from llmgym.adapters.textarena.oracles import SECRETS, moves
from llmgym.adapters.textarena.table import GAMES, REFUSED, SINGLE
from llmgym.env import Episode, ToolEnv
from llmgym.errors import ConfigError
from llmgym.messages import Message, user
from llmgym.rewards import Reward
from llmgym.tasks import Task
from llmgym.verifiers.text import without_thoughts

_READ = 4_000  # characters of a message that a game is given: its last ones
_WON = 1.0 - 1e-9


class TextArena(ToolEnv):
    """Games of TextArena for one player that can be solved.

    ## Description

    TextArena has games that are played in text. A task is a game and a seed. Games whose secrets are few (a number up
    to 20, a word of a list) are in one split by their secret, so that no secret of a test was trained on; TowerOfHanoi,
    which is always the same game, has only the split "train". Countdown, Cryptarithm and PegJump, which are one game
    each in the package, are given numbers, sums and holes that differ.

    ## Actions

    A text with a move in square brackets, as the rules of the game say. Some games take nothing beside it.

    ## Observations

    The rules and the board as the game words them; then what is new after each move.

    ## Rewards

    1 for a game that is won, else 0. With `scoring="partial"` what the game pays, which for most is a share of what was
    reached, and for Set the sets found out of 20.

    Metrics: `score` (what the game paid), `by_error` (1 where a move that is none ended it), `moves`.

    ## Episode End

    Terminates when the game is over: most end at the second message in a row that is no move. Truncates after
    `max_turns`.

    ## Arguments

    - `game` (None): a name such as "wordle", a list of them, of which a task has any, or None for all.
    - `scoring` ("full"): or "partial".

    ## Registered Variants

    - `llmgym/TextArena-v0`: a game by chance.
    - `llmgym/TextArena-wordle-v0` and so on: one game.

    ## Version History

    - v0: textarena 0.7.4.
    """

    verify_from = "replay"
    system_prompt = "You play a game. Give your move as the rules say, in square brackets, one in each message."

    def __init__(
        self,
        *,
        game: str | Sequence[str] | None = None,
        scoring: Literal["full", "partial"] = "full",
        **options: Any,
    ) -> None:
        """Make the environment.

        Args:
            game: One game, several, or None for all.
            scoring: "full" pays 1 for a game that is won, and else nothing; "partial" what the game pays.
            **options: Passed to `ToolEnv`.

        Raises:
            MissingExtraError: textarena is not installed.
            ConfigError: An argument makes no sense.
        """
        expect_package("TextArena", "textarena", "textarena", "0.7.4", "textarena")
        names = (game,) if isinstance(game, str) else tuple(game or GAMES)
        for name in names:
            if name not in GAMES:
                why = (
                    f"cannot be made right: {REFUSED[name]}"
                    if name in REFUSED
                    else f"is none; there is {', '.join(GAMES)}"
                )
                raise ConfigError(f"the game {name!r} of TextArena {why}")
        if scoring not in ("full", "partial"):
            raise ConfigError(f"scoring must be 'full' or 'partial'; it is {scoring!r}")
        self.partial = scoring == "partial"
        options.setdefault("tasks", games(names))
        super().__init__(**options)

    def setup(self, task: Task) -> None:
        """Begin the game."""
        self.game = begin(task.metadata["game"], task.metadata["seed"])

    def opening(self, task: Task) -> list[Message]:
        """The rules and the board."""
        return [*super().opening(task)[:-1], user(self.game.prompt)]

    def respond(self, message: Message) -> str:
        """Make a move."""
        self.count("moves")
        answer = self.game.play(without_thoughts(message["content"])[-_READ:].strip())
        if self.game.over:
            self.finish()
        return answer

    def verify(self, episode: Episode) -> Reward:
        """Say what the game paid."""
        game = self.game
        right = game.reward if self.partial else float(game.reward >= _WON and not game.by_error)
        return Reward(won=right, metrics={"score": game.reward, "by_error": float(game.by_error)})

    def oracle(self, task: Task) -> Iterator[str]:
        """Win."""
        yield from moves(self.game.entry.family, self.game.env, self.game.plan)


def games(names: Sequence[str]) -> SplitTasks:
    """Games by random seeds; those that hide the same are in one split.

    Args:
        names: Names of `GAMES`.
    """
    tasks = SplitTasks(partial(_draw, tuple(names)), "TextArena")
    if all(GAMES[name].family in SINGLE for name in names):
        tasks.splits = ("train",)
    return tasks


def _draw(names: Sequence[str], rng: np.random.Generator, split: str) -> Task | None:
    name, seed = names[int(rng.integers(len(names)))], int(rng.integers(2**62))
    if _split(name, seed) != split:
        return None
    return Task(prompt=GAMES[name].summary, metadata={"game": name, "seed": seed})


def _split(name: str, seed: int) -> str:
    family = GAMES[name].family
    if family in SINGLE:
        return "train"
    return split_of(family, SECRETS[family](begin(name, seed).env) if family in SECRETS else seed)
