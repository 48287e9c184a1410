"""Mastermind: find a secret row of colours."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from llmgym.envs.games import Game
from llmgym.envs.mastermind.codes import COLOURS, Codes, as_task, candidates, fits, marks
from llmgym.errors import ToolError
from llmgym.tasks import Task, TaskSet, schema_of_row
from llmgym.tools import tool

Colour = Annotated[str, Meta(min_length=1, max_length=20)]
Code = Sequence[str]

_WORD = re.compile(r"[^\W\d_]+")
_ROW_GUESSES = 10


class Mastermind(Game):
    """Find a secret row of colours.

    ## Description

    A code has some places, each with one of the colours of the game; a colour may occur more than once, or not at
    all. The answer to a guess is how many of its colours are at the right place, and how many more occur in the code
    at another one; a colour counts no more often than the code has it.

    ## Actions

    Calls of `guess` with a list of colours. A text with `<guess>red, blue, blue, pink</guess>` does the same, and so
    does one that is nothing but colours.

    ## Observations

    The rules, the colours and the number of guesses; then after each guess all guesses so far with what they were
    answered, and how many are left.

    ## Rewards

    1 where the code is guessed, else 0.

    Metrics: `moves` (guesses), `illegal_moves`, `exact` (the greatest share of right places in a guess).

    ## Episode End

    Terminates when the code is guessed or the guesses are spent. One of the wrong length or with an unknown colour
    is spent too, and so is a message without a guess. Truncates after `max_turns` messages.

    ## Arguments

    - `length` (4): places of a code, 2 to 6.
    - `colours` (6): colours of a game, 2 to 12, which are drawn from twelve.
    - `guesses` (10): guesses that the player has, 1 to 30.
    - `offer_tools` (True): the tool `guess`; otherwise guesses are written.
    - `tasks`: a file of rows with `code` and `colours`, lists of words, and where wanted `guesses` (10).

    ## Registered Variants

    - `llmgym/Mastermind-v0`: four places, six colours, ten guesses.
    - `llmgym/Mastermind-easy-v0`: three places, six colours, eight guesses.
    - `llmgym/Mastermind-hard-v0`: five places, eight colours, ten guesses.

    ## Version History

    - v0: first version.
    """

    max_turns = 20

    unit = ("guess", "guesses")
    rules = (
        "You play Mastermind: you have to find a secret code, a row of colours. A colour may occur in it several "
        "times. The answer to a guess says how many places are right (exact), and how many more of its colours are "
        "in the code at another place (misplaced). You win when you guess the code itself."
    )
    by_tool = "Call guess with a colour for each place, in order."
    by_text = "Write a colour for each place in a tag, such as <guess>red, blue, blue, pink</guess>."

    def __init__(
        self,
        *,
        length: int = 4,
        colours: int = 6,
        guesses: int = 10,
        offer_tools: bool = True,
        tasks: TaskSet | str | Path | None = None,
        **options: Any,
    ) -> None:
        """Make the environment.

        Args:
            length: Places of a code.
            colours: Colours of a game.
            guesses: Guesses that the player has.
            offer_tools: Offer the tool.
            tasks: Other codes.
            **options: Passed to `ToolEnv`.

        Raises:
            ConfigError: An argument is out of range.
        """
        codes = Codes(length, colours, guesses)
        super().__init__(offer_tools=offer_tools, tasks=TaskSet.generated(codes) if tasks is None else tasks, **options)

    @staticmethod
    def read_row(row: dict[str, Any]) -> Task:
        """Make the task of a row with a `code` and its `colours`."""
        code, colours, guesses = row["code"], row["colours"], row.get("guesses") or _ROW_GUESSES
        for name, words in (("code", code), ("colours", colours)):
            if not (isinstance(words, list) and all(isinstance(w, str) and _WORD.fullmatch(w) for w in words)):
                raise ValueError(f"{name} {words!r:.100} is not a list of words")
        code, colours = [word.lower() for word in code], [word.lower() for word in colours]
        if len(set(colours)) != len(colours) or not 2 <= len(colours) <= 12 or not 2 <= len(code) <= 6:
            raise ValueError("a game has 2 to 12 different colours, and a code of 2 to 6 places")
        if unknown := [colour for colour in code if colour not in colours]:
            raise ValueError(f"{unknown[0]!r} of the code is none of the colours")
        if type(guesses) is not int or not 1 <= guesses <= 30:
            raise ValueError(f"guesses is {guesses!r:.100}; 1 to 30")
        return as_task(code, colours, guesses, row.get("id", ""))

    @staticmethod
    def row_schema() -> dict[str, Any]:
        """The JSON Schema of a row with a `code`."""
        words = {"type": "array", "items": {"type": "string"}, "minItems": 2}
        guesses = {"type": ["integer", "null"], "minimum": 1, "maximum": 30, "default": _ROW_GUESSES}
        return schema_of_row(
            "A code of Mastermind",
            {
                "code": {**words, "maxItems": 6, "description": "The secret, a colour for each place."},
                "colours": {**words, "maxItems": 12, "description": f"All colours, such as {', '.join(COLOURS[:3])}."},
                "guesses": {**guesses, "description": "Guesses that the player has."},
            },
            required=["code", "colours"],
        )

    @tool
    def guess(self, colours: Annotated[list[Colour], Meta(min_length=1, max_length=10)]) -> str:
        """Guess the code.

        Args:
            colours: The colour of each place, in order.
        """
        return self.make([colours])

    def begin(self, task: Task) -> int:
        self.code: Code = task.answer
        self.made: list[tuple[Code, tuple[int, int]]] = []
        return task.metadata["guesses"]

    def play(self, move: Code) -> None:
        assert self.task is not None
        colours = self.task.metadata["colours"]
        guess = [colour.strip().lower() for colour in move]
        if unknown := [colour for colour in guess if colour not in colours]:
            raise ToolError(f"{unknown[0]!r} is none of the colours; there is {', '.join(colours)}.")
        if len(guess) != len(self.code):
            raise ToolError(f"the code has {len(self.code)} places, and the guess {len(guess)}.")
        self.made.append((guess, marks(self.code, guess)))
        self.won = guess == self.code

    def show(self) -> str:
        lines = [
            f"{number}. {' '.join(guess)}: {exact} exact, {misplaced} misplaced"
            for number, (guess, (exact, misplaced)) in enumerate(self.made, 1)
        ]
        return "\n".join(lines) or "No guess has counted yet."

    def read_moves(self, text: str) -> list[Code]:
        assert self.task is not None
        words = _WORD.findall(text.lower())
        if not set(words) & set(self.task.metadata["colours"]):
            raise ToolError("A guess is a row of colours.")
        return [words]

    def arguments(self, moves: Sequence[Code]) -> dict[str, Any]:
        return {"colours": list(moves[0])}

    def spell(self, moves: Sequence[Code]) -> str:
        return ", ".join(moves[0])

    def progress(self) -> dict[str, float]:
        return {"exact": max((exact for _, (exact, _) in self.made), default=0) / len(self.code)}

    def solution(self, task: Task) -> Iterator[Sequence[Code]]:
        """Guess the first code that fits all answers; where luck would not do, the secret with the last guess."""
        fitting = candidates(task.metadata["colours"], len(task.answer))
        while self.moves_left > 1 and not self.won:
            guess = next(code for code in fitting if all(fits(code, *made) for made in self.made))
            yield [guess]
        if not self.won:
            yield [task.answer]
