"""How games are won: what the game knows is looked up in it, and ways are searched for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from llmgym.adapters.textarena import searches


def moves(family: str, env: Any, plan: list[str] | None) -> Iterable[str]:
    """Messages that win the game.

    Args:
        family: Which game.
        env: TextArena's environment, as it is; it goes on between the messages.
        plan: Moves that are known to.
    """
    return plan if plan is not None else _ORACLES[family](env)


def _crosswords(env: Any) -> Iterator[str]:
    solution = env.state.game_state["solution"]
    yield " ".join(
        f"[{row} {column} {letter}]"
        for row, line in enumerate(solution)
        for column, letter in enumerate(line)
        if letter != "."
    )


def _logic_puzzle(env: Any) -> Iterator[str]:
    marks = {
        (row, column): mark
        for grid in env.game_board_solution.values()
        for row, marked in grid.items()
        for column, mark in marked.items()
    }
    yield " ".join(f"[{row} {column} {mark}]" for (row, column), mark in marks.items())


def _minesweeper(env: Any) -> Iterator[str]:
    yield f"[{env.rows // 2} {env.cols // 2}]"
    for row in range(env.rows):
        for column in range(env.cols):
            if env.grid[row][column] != -1 and not env.revealed[row][column]:
                yield f"[{row} {column}]"


def _word_search(env: Any) -> Iterator[str]:
    for word, (row, column, direction) in env.placed_words.items():
        across = direction == "across"
        yield f"[{row} {column} {row + (len(word) - 1) * (not across)} {column + (len(word) - 1) * across}]"


def _set(env: Any) -> Iterator[str]:
    state = env.state.game_state
    while True:
        found = searches.first_set(state["board"]) or searches.first_set(state["board"] + state["deck"][:-4:-1])
        yield f"[{', '.join(str(card + 1) for card in found or (0, 1, 2))}]"


def _secretary(env: Any) -> Iterator[str]:
    draws = env.state.game_state["draws"]
    best = draws.index(max(draws))
    yield from ["[continue]"] * min(best, len(draws) - 1)
    yield "[accept]"


def _sudoku(env: Any) -> Iterator[str]:
    for row, line in enumerate(env.game_board):
        for column, number in enumerate(line):
            if not number:
                yield f"[{row + 1} {column + 1} {env.full_grid[row][column]}]"


def _bracketed(words: Iterable[str]) -> list[str]:
    return [f"[{word}]" for word in words]


_ORACLES: dict[str, Callable[[Any], Iterable[str]]] = {
    "Crosswords": _crosswords,
    "FifteenPuzzle": lambda env: _bracketed(searches.fifteen(env)),
    "FrozenLake": lambda env: _bracketed(searches.frozen_lake(env)),
    "GuessTheNumber": lambda env: [f"[{env.game_number}]"],
    "Hangman": lambda env: [f"[{env.state.game_state['target_word']}]"],
    "LightsOut": lambda env: [f"[{row} {column}]" for row, column in searches.lights_out(env)],
    "LogicPuzzle": _logic_puzzle,
    "Mastermind": lambda env: [f"[{' '.join(map(str, env.state.game_state['secret_code']))}]"],
    "Minesweeper": _minesweeper,
    "PegJump": lambda env: [f"[{source} {to}]" for source, to in searches.pegs(env)],
    "Secretary": _secretary,
    "Set": _set,
    "Sokoban": lambda env: _bracketed(searches.sokoban(env) or []),
    "Sudoku": _sudoku,
    "ThreeCardMonte": lambda env: [f"[{env.ball_pos}]"],
    "TowerOfHanoi": lambda env: searches.hanoi(env.num_disks),
    "WordLadder": lambda env: _bracketed(searches.word_ladder(env)),
    "WordSearch": _word_search,
    "Wordle": lambda env: [f"[{env.state.game_state['secret_word']}]"],
}

#: What a game hides, where few can be drawn: games that hide the same are one, and are in one split.
SECRETS: dict[str, Callable[[Any], Any]] = {
    "Countdown": lambda env: (env.orig_numbers, env.target),
    "Cryptarithm": lambda env: env.equation_raw,
    "GuessTheNumber": lambda env: env.game_number,
    "Hangman": lambda env: env.state.game_state["target_word"],
    "LogicPuzzle": lambda env: env.clues,
    "Mastermind": lambda env: env.state.game_state["secret_code"],
    "PegJump": lambda env: env.initial_empty,
    "WordLadder": lambda env: (env.start_word, env.target_word),
    "Wordle": lambda env: env.state.game_state["secret_word"],
    "FrozenLake": lambda env: (env.state.game_state["grid"], env.state.game_state["player_pos"]),
}
