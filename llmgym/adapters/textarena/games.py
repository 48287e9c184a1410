"""Games of TextArena as objects of one episode, which leave nothing behind in the process.

Its modules draw from the global generators, print, download lists of words when they are imported, and go through sets
of strings in an order that differs from process to process. While a game is at work, these names mean others in its
modules.
"""

from __future__ import annotations

import builtins
import contextlib
import copy
import importlib
import random
import threading
import warnings
from collections.abc import Callable, Generator
from functools import cache
from types import ModuleType, SimpleNamespace
from typing import Any

from llmgym.adapters.packages import generators_kept
from llmgym.adapters.textarena.settings import SETTINGS
from llmgym.adapters.textarena.table import GAMES, Entry
from llmgym.envs.wordle.words import guessable, secrets
from llmgym.tasks import stable_hash

_lock = threading.RLock()  # the names of a module are the same for all threads
_TRIES = 100
_DRAWN = 20.0  # sets that a game of Set can be about


class Dice(random.Random):
    """Stands for the module `random`."""

    Random = random.Random


class InOrder(dict[Any, None]):
    """Stands for `set`, and keeps the order in which things came."""

    def __init__(self, items: Any = ()) -> None:
        super().__init__(dict.fromkeys(items))

    def add(self, item: Any) -> None:
        """Put something in."""
        self[item] = None


class Game:
    """A game of one episode.

    Attributes:
        entry: Which.
        env: TextArena's environment.
        plan: What the settings that were drawn are known to be won by, where there are such.
        prompt: What the player is told first.
        reward: What the game paid, from 0 to 1, once it is over.
        over: Whether it is.
        by_error: Whether a move that is none ended it.
    """

    def __init__(self, name: str, seed: int) -> None:
        """Begin a game.

        Args:
            name: A name of `GAMES`.
            seed: What it is drawn from.

        Raises:
            Unfit: The package makes no game of that.
        """
        self.entry = GAMES[name]
        self._dice = Dice(seed)
        self.reward, self.over, self.by_error = 0.0, False, False
        family = self.entry.family
        seeds = family == "Sokoban"  # the generators of all of the process
        with private(self.entry, self._dice), generators_kept() if seeds else contextlib.nullcontext():
            settings, self.plan = SETTINGS[family](self._dice) if family in SETTINGS else ({}, None)
            self.env = made(self.entry.id, **settings) if family in _NEW else copy.copy(_pristine(self.entry.id))
            try:
                self.env.reset(num_players=1, seed=seed % 2**31)
            except (ZeroDivisionError, RuntimeError) as error:  # no light is on; no room was found
                raise Unfit(str(error)) from error
            self.prompt = self._seen()

    def play(self, text: str) -> str:
        """Make a move, and give what the player sees of it."""
        if self.entry.family == "Set":
            text = _three_cards(text)
        with private(self.entry, self._dice):
            try:
                self.over, _ = self.env.step(text)
            except AttributeError:
                if self.entry.family != "FifteenPuzzle":
                    raise
                self.over, self.reward = True, 1.0  # it calls what its state does not have, to say that the game is won
                return "You have won."
            except (ValueError, IndexError, KeyError, TypeError):  # of what the player wrote
                self.over = self.by_error = True
                return "That is no move. The game is over."
            seen = self._seen()
        if "You hit a mine" in seen and not self.over:  # which Minesweeper forgives, unless it happens twice in a row
            self.over = self.by_error = True
            self.reward = float(self.env._get_percentage_completion())
            return f"{seen}\nThe game is over."
        return "\n".join(part for part in (seen, self._close() if self.over else "") if part) or "Go on."

    def _close(self) -> str:
        rewards, infos = self.env.close()
        reward, reason = rewards[0], infos[0].get("reason")
        self.by_error = bool(infos[0]["invalid_move"])
        if isinstance(reward, str):  # swapped with the reason, by Countdown, Cryptarithm and ThreeCardMonte
            reward, reason = str(reason).rpartition(" ")[2], f"Invalid Move: {reward}"
        value = float(reward) / (_DRAWN if self.entry.family == "Set" else 1.0)
        self.reward = min(max(value, 0.0), 1.0)
        return str(reason or "The game is over.")

    def _seen(self) -> str:
        from textarena import ObservationType

        _, messages = self.env.get_observation()
        own = ObservationType.PLAYER_ACTION
        # Countdown and Cryptarithm give the player's text where the kind of an observation belongs.
        told = (text for _, text, kind in messages if isinstance(kind, ObservationType) and kind is not own)
        return "\n".join(told).strip()


@contextlib.contextmanager
def private(entry: Entry, dice: Dice) -> Generator[None]:
    """Let the names of a game's modules mean what they are to mean in one episode.

    Args:
        entry: The game.
        dice: What the episode draws from.
    """
    with _lock:
        places = _places(entry.id)
        for module, name, stand_in, _ in places:
            setattr(module, name, dice if stand_in is random else stand_in)
        try:
            yield
        finally:
            for module, name, _, before in places:
                if before is None:
                    delattr(module, name)
                else:
                    setattr(module, name, before)


class Unfit(Exception):
    """A seed that the package makes no game of."""


def begin(name: str, seed: int) -> Game:
    """The game of a seed: the first that can be played, of those that are drawn from it."""
    for attempt in range(_TRIES):
        with contextlib.suppress(Unfit):
            game = Game(name, stable_hash(seed, attempt))
            if (fits := _FIT.get(game.entry.family)) is None or fits(game.env):
                return game
    raise RuntimeError(f"no game of {name} in {_TRIES} tries from the seed {seed}")


def _solvable(env: Any) -> bool:
    """Half of all shuffles of fifteen tiles have no way back: those where tiles and the gap are at odds."""
    tiles = [16 if tile is None else tile for row in env.board for tile in row]
    swaps = 0
    for place in range(16):
        while tiles[place] != place + 1:
            other = tiles[place] - 1
            tiles[place], tiles[other] = tiles[other], tiles[place]
            swaps += 1
    row, column = next((r, c) for r in range(4) for c in range(4) if env.board[r][c] is None)
    return (swaps + row + column) % 2 == 0


def _pushed_in_time(env: Any) -> bool:
    from llmgym.adapters.textarena.searches import sokoban

    moves = sokoban(env)
    return moves is not None and 0 < len(moves) < env.max_turns


def _has_twenty_sets(env: Any) -> bool:
    from llmgym.adapters.textarena.searches import first_set

    board, deck = list(env.state.game_state["board"]), list(env.state.game_state["deck"])
    for _ in range(int(_DRAWN)):
        if first_set(board) is None:
            board += [deck.pop() for _ in range(min(3, len(deck)))]
        if (found := first_set(board)) is None:
            return False
        board = [card for place, card in enumerate(board) if place not in found]
        while len(board) < 12 and deck:
            board.append(deck.pop())
    return True


_FIT: dict[str, Callable[[Any], bool]] = {
    "FifteenPuzzle": _solvable,
    "Set": _has_twenty_sets,
    "Sokoban": _pushed_in_time,
}


def _three_cards(text: str) -> str:
    """A move of Set without a card that is named twice: the same card thrice is a set there, and takes others away."""
    first = text.partition("[")[2].partition("]")[0].split(",")
    return text if len({card.strip() for card in first}) == len(first) else ""


# --- what stands for what -------------------------------------------------------------------------


def _silent(*args: object, **options: object) -> None:
    """Stands for `print`."""


class _Words:
    """Stands for NLTK's lists of words, which are downloads, by those of llmgym's Wordle."""

    @staticmethod
    def words(name: str = "en") -> list[str]:
        """Rarer words too, or only common ones."""
        if name != "en-basic":
            return sorted(word for length in (4, 5, 6) for word in guessable(length))
        return [word for length in (4, 5, 6) for word in secrets(length)]


class _FewWords(_Words):
    """Fewer of them, for WordLadder, which looks for all pairs of words that are some steps apart."""

    @staticmethod
    def words(name: str = "en") -> list[str]:
        return list(secrets(4)[::4]) if name == "en-basic" else _Words.words(name)


def _nouns(words: list[str]) -> list[tuple[str, str]]:
    """Stands for `nltk.pos_tag`, whose model is a download."""
    return [(word, "NN") for word in words]


_NLTK = SimpleNamespace(download=lambda *args, **options: True, pos_tag=_nouns)
#: Games whose constructor draws, or whose reset does not undo what the last episode did.
_NEW = frozenset({"Countdown", "Cryptarithm", "PegJump", "Secretary", "WordSearch"})
_IN_ORDER = frozenset({"Crosswords", "LogicPuzzle", "Sokoban", "WordSearch"})


@cache
def _places(env_id: str) -> list[tuple[ModuleType, str, Any, Any]]:
    """Where a name is to mean another thing while a game is at work: module, name, what it means, what it meant."""
    family = env_id.partition("-")[0]
    stand_ins: dict[str, Any] = {
        "random": random,  # stands for the dice of the game
        "print": _silent,
        "nltk": _NLTK,
        "words": _FewWords if family == "WordLadder" else _Words,
        "pos_tag": _nouns,
        "EnglishDictionary": _dictionary,
    }
    if family in _IN_ORDER:
        stand_ins["set"] = InOrder
    return [
        (module, name, stand_in, vars(module).get(name))
        for module in _modules(family)
        for name, stand_in in stand_ins.items()
        if name in vars(module) or (hasattr(builtins, name) and "envs" in module.__name__)
    ]


@cache
def _modules(family: str) -> list[ModuleType]:
    """The modules of a game, imported without downloads."""
    with warnings.catch_warnings(), generators_kept():
        warnings.simplefilter("ignore")
        import nltk

        download, nltk.download = nltk.download, _NLTK.download
        try:
            names = ["textarena.core", f"textarena.envs.{family}.env", f"textarena.envs.{family}.utils"]
            found = [_imported(name) for name in names]
        finally:
            nltk.download = download
    return [module for module in found if module is not None]


def _imported(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name == name:  # not every game has utilities
            return None
        raise


@cache
def _english() -> Any:
    from textarena.envs.utils import word_lists

    kept = word_lists.nltk, word_lists.words
    word_lists.nltk, word_lists.words = _NLTK, _Words
    try:
        return word_lists.EnglishDictionary(keep_proper_nouns=False, include_nltk=True)
    finally:
        word_lists.nltk, word_lists.words = kept


def _dictionary(**options: Any) -> Any:
    """Stands for the class of dictionaries, which reads and expands two of them for each game."""
    return _english()


def made(env_id: str, **settings: Any) -> Any:
    """TextArena's environment of an id; to be called where names are private."""
    import textarena

    return textarena.make(f"{env_id}-raw", **settings)


@cache
def _pristine(env_id: str) -> Any:
    env = made(env_id)
    if env_id.startswith("WordLadder"):
        env._find_valid_pairs = _pairs_apart
    return env


def _pairs_apart(neighbours: dict[str, list[str]], min_steps: int, max_steps: int) -> Any:
    """The pairs of words that WordLadder draws from, which it would look for anew in each game."""
    return _pairs_of(tuple(neighbours), tuple(map(tuple, neighbours.values())), min_steps, max_steps)


@cache
def _pairs_of(words: tuple[str, ...], near: tuple[tuple[str, ...], ...], min_steps: int, max_steps: int) -> Any:
    from textarena.envs.WordLadder.env import WordLadderEnv

    neighbours: Any = dict(zip(words, near, strict=True))
    return WordLadderEnv._find_valid_pairs(None, neighbours, min_steps, max_steps)  # type: ignore[arg-type]
