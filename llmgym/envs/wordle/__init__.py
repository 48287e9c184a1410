"""Wordle: guess a secret word from marks on the letters of each guess."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llmgym.env import Episode, ToolEnv
from llmgym.envs.wordle.game import Clues, feedback, read_guess, show
from llmgym.envs.wordle.words import SecretWords, guessable, prompt
from llmgym.messages import Message
from llmgym.rewards import Part, Reward
from llmgym.tasks import RowTasks, Task, TaskSet, schema_of_row

SHAPING = 0.2
WIN = 0.5
SPEED = 0.3

_RULES = """You play a word guessing game. The secret is an English word, and you have {guesses} guesses.
Each reply makes one guess, written as <guess>word</guess>. I answer with a mark under each letter:
G: the letter is in the word, at this place.
Y: the letter is in the word, at another place.
X: the word does not have the letter, or has it no more often than other marks show.{strict}"""
_STRICT = "\nEvery guess must use all that the marks have shown: G letters stay in place, Y letters occur again."


class Wordle(ToolEnv):
    """Guess a secret word from marks on the letters of each guess.

    ## Description

    The secret is a common English word, taken from SCOWL's list of American English. The reply to a
    guess marks each of its letters: right place, elsewhere in the word, or not in it. Repeated
    letters are marked as in the well-known game: a letter is marked no more often than the secret
    has it, right places first, then from the left. Secrets of the test split never occur in training.

    ## Actions

    Text with one guess: `<guess>crane</guess>`. `[crane]` is understood too, and so is a word of the right length that
    is meant as a guess: after "my guess is", in quotes or bold, in capitals, or alone on the first or last line.
    There are no tools. A reply without a guess, or with one that is no word of the right length (or, with
    `strict`, ignores a clue), costs a turn but no guess, and is answered with what is wrong.

    ## Observations

    The rules as a system message and the length of the word; then after each guess its letters
    over their marks `G`, `Y` and `X`, and how many guesses are left.

    ## Rewards

    At most 1 in all, which takes a win with the first guess:

    - 0.2, handed out as clues come: half of it for letters found to be in the word, half for letters
      whose place is found. A clue counts once, those of an opener not at all, and a win collects what is left,
      so that no order of clues is worth more than another.
    - 0.5 for a win (part `win`).
    - `0.3 * (1 - (guesses made - 1) / guesses)` for a win (part `speed`).

    Metrics: `guesses`, `invalid_guesses`, `progress`.

    ## Episode End

    Terminates when the word or the last guess has been guessed; truncates after `max_turns` messages.

    ## Arguments

    - `length` (5): letters of the secret, 4 to 6.
    - `guesses` (6): guesses that the player has.
    - `openers` (0): first guesses made in advance; each secret then gives so many tasks, each with one
      of them. It is not counted as a guess.
    - `strict` (False): every guess must agree with the letters that the marks have shown.
    - `check_words` (True): a guess must be in the word list, for lengths that the list has.
    - `tasks`: a file of rows with a column `word` and, where wanted, `opener`, of any length.

    ## Registered Variants

    - `llmgym/Wordle-v0`: five letters, six guesses.
    - `llmgym/Wordle-easy-v0`: four letters, eight guesses, a first guess made in advance.
    - `llmgym/Wordle-hard-v0`: six letters, six guesses, `strict`.

    ## Version History

    - v0: first version.
    """

    max_turns = 10

    def __init__(
        self,
        *,
        length: int = 5,
        guesses: int = 6,
        openers: int = 0,
        strict: bool = False,
        check_words: bool = True,
        tasks: TaskSet | str | Path | None = None,
        **options: Any,
    ) -> None:
        """Make the environment.

        Args:
            length: Letters of the secret.
            guesses: Guesses that the player has.
            openers: Tasks for each secret, each with another first guess made in advance.
            strict: Refuse guesses that ignore a clue.
            check_words: Refuse guesses that are not in the word list.
            tasks: Other secrets.
            **options: Passed to `ToolEnv`.

        Raises:
            ValueError: An argument is out of range.
        """
        if not 4 <= length <= 6:
            raise ValueError(f"length is {length}; the word list has lengths 4 to 6 (pass `tasks` for other words)")
        if guesses < 1 or not 0 <= openers <= 16:
            raise ValueError(f"guesses is {guesses} and openers is {openers}; at least 1, and 0 to 16")
        self.guesses = guesses
        self.strict = strict
        self.check_words = check_words
        self.system_prompt = _RULES.format(guesses=guesses, strict=_STRICT if strict else "")
        if tasks is None:
            tasks = RowTasks(SecretWords(length, openers), self.read_row)
        super().__init__(tasks=tasks, **options)

    @staticmethod
    def read_row(row: dict[str, Any]) -> Task:
        """Make the task of a row with a `word` and maybe an `opener`."""
        word, opener = row["word"], row.get("opener")
        for text in (word, word if opener is None else opener):
            if not (isinstance(text, str) and text.isascii() and text.isalpha() and text.islower()):
                raise ValueError(f"{text!r} is not a word of lower-case letters")
        if opener is not None and (len(opener) != len(word) or opener == word):
            raise ValueError(f"opener {opener!r} is the secret or not of its length")
        metadata = {"opener": opener} if opener else {}
        return Task(id=row.get("id", ""), prompt=prompt(word, opener), answer=word, metadata=metadata)

    @staticmethod
    def row_schema() -> dict[str, Any]:
        """The JSON Schema of a row with a `word`."""
        letters = {"pattern": "^[a-z]+$"}
        return schema_of_row(
            "A secret of Wordle",
            {
                "word": {**letters, "type": "string", "description": "The secret, in lower-case letters."},
                "opener": {
                    **letters,
                    "type": ["string", "null"],
                    "description": "The first guess, made in advance: another word of as many letters.",
                },
            },
            required=["word"],
        )

    def setup(self, task: Task) -> None:
        """Start with a fresh board."""
        self.secret: str = task.answer
        self.clues = Clues()
        self.made: list[str] = []
        if opener := task.metadata.get("opener"):
            self.clues.learn(opener, feedback(self.secret, opener))
        self.known_at_start = self.clues.progress(len(self.secret))
        self.metrics.update({"guesses": 0.0, "invalid_guesses": 0.0})

    def respond(self, message: Message) -> str:
        """Mark a guess, or say why it is none."""
        guess = read_guess(message["content"], len(self.secret))
        if problem := self._problem(guess):
            self.count("invalid_guesses")
            return f"{problem} That did not count as a guess; you have {self.guesses - len(self.made)} left."
        assert guess is not None
        return self._play(guess)

    def _problem(self, guess: str | None) -> str | None:
        size = len(self.secret)
        if guess is None:
            return f"I found no guess. Write one word of {size} letters as <guess>word</guess>."
        if len(guess) != size or not (guess.isascii() and guess.isalpha()):
            return f"{guess[:40]!r} is not a word of {size} letters."
        known = guessable(size) if self.check_words else frozenset[str]()
        if known and guess not in known and guess != self.secret:
            return f"{guess!r} is not in the word list."
        if self.strict and (conflict := self.clues.conflict(guess)):
            return f"{guess!r} ignores a clue: {conflict}."
        return None

    def _play(self, guess: str) -> str:
        before = self.clues.progress(len(self.secret))
        marks = feedback(self.secret, guess)
        self.clues.learn(guess, marks)
        self.made.append(guess)
        self.count("guesses")
        gained = self.clues.progress(len(self.secret)) - before
        self.reward(SHAPING * gained / (1 - self.known_at_start))
        left = self.guesses - len(self.made)
        if guess == self.secret:
            ending = "That is the word."
        elif left:
            ending = f"You have {left} {'guess' if left == 1 else 'guesses'} left."
        else:
            ending = f"You have no guesses left. The word was {self.secret.upper()}."
        if guess == self.secret or not left:
            self.finish()
        return f"{show(guess, marks)}\n{ending}"

    def verify(self, episode: Episode) -> Reward:
        """Score a win, and more for one with fewer guesses."""
        won = bool(self.made) and self.made[-1] == self.secret
        speed = 1 - (len(self.made) - 1) / self.guesses if won else 0.0
        progress = self.clues.progress(len(self.secret))
        return Reward(win=Part(float(won), WIN), speed=Part(speed, SPEED), metrics={"progress": progress})

    def oracle(self, task: Task) -> Iterator[str]:
        """State the secret."""
        yield f"<guess>{task.answer}</guess>"
