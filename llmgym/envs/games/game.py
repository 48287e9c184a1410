"""A game of a bounded number of moves."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from llmgym.env import Episode, ToolEnv
from llmgym.errors import ToolError
from llmgym.messages import Message, assistant, tool_call
from llmgym.rewards import Reward
from llmgym.tasks import Task, TaskSet
from llmgym.verifiers.text import folded, without_thoughts

_TAG = re.compile(r"<(?:move|action|guess)>([^<]*)", re.IGNORECASE)
_READ = 64_000  # characters of a reply that are looked at
_MARKS = " \t\r\n*`\"'."
_BARE = 200  # characters of a reply that may be a move without a tag
_LONGEST = 2_000  # characters of a move in a tag


class Game(ToolEnv):
    """Base of games.

    Every move costs one of a number that the game has, an illegal one too, and so does a message without a move: no
    policy plays for ever, whatever it sends and however many calls it puts into a message.

    Attributes:
        rules: The rules, for the system message; a subclass may set them in its constructor.
        by_tool: How to move by the tool.
        by_text: How to move in text, with an example in a tag `<move>`.
        unit: What one move is called, and several.
        endings: What is said at the end of a game that is won, and of one that is lost.
    """

    rules: str
    by_tool: str
    by_text: str
    unit: tuple[str, str] = ("move", "moves")
    endings: tuple[str, str] = ("You have won.", "You have lost.")

    def __init__(self, *, offer_tools: bool = True, tasks: TaskSet | str | Path | None = None, **options: Any) -> None:
        """Make the environment.

        Args:
            offer_tools: Offer a tool to move with; otherwise moves are written in a tag, which is read in either case.
            tasks: The games.
            **options: Passed to `ToolEnv`.
        """
        if not offer_tools:
            self.tools = {}
        self.system_prompt = f"{self.rules}\n{self.by_tool if self.tools else self.by_text}"
        super().__init__(tasks=tasks, **options)

    @abstractmethod
    def begin(self, task: Task) -> int:
        """Set up the game; gives the number of moves."""

    @abstractmethod
    def play(self, move: Any) -> None:
        """Make one move, and set `won` or `lost` where it decides the game.

        Raises:
            ToolError: It is illegal; says why. Nothing has changed.
        """

    @abstractmethod
    def show(self) -> str:
        """What the player sees."""

    @abstractmethod
    def read_moves(self, text: str) -> Sequence[Any]:
        """Read moves out of a tag.

        Raises:
            ToolError: It is no move; says why.
        """

    @abstractmethod
    def arguments(self, moves: Sequence[Any]) -> dict[str, Any]:
        """The arguments of the tool that make some moves."""

    @abstractmethod
    def spell(self, moves: Sequence[Any]) -> str:
        """Some moves as `read_moves` reads them."""

    def setup(self, task: Task) -> None:
        """Start the game."""
        self.won = self.lost = False
        self.moves_left = self.begin(task)
        self.metrics.update({"moves": 0.0, "illegal_moves": 0.0})

    def respond(self, message: Message) -> str | None:
        """Make the moves that a text states, or say that there are none."""
        reply = folded(without_thoughts(message["content"][-_READ:])).strip()
        tags = _TAG.findall(reply)
        try:
            stated = (tags[-1] if tags else reply).strip(_MARKS)
            if len(stated) > (_LONGEST if tags else _BARE) or not (moves := self.read_moves(stated)):
                raise ToolError("There is no move in it.")
        except ToolError as error:
            self._spend()
            self.count("illegal_moves")
            how = self.by_tool if self.tools else self.by_text
            return f"I could not read a move. {error} {how}\n{self._ending()}"
        try:
            return self.make(moves)
        except ToolError as error:
            return str(error)

    def make(self, moves: Sequence[Any]) -> str:
        """Make moves up to the first illegal one, and say what became of them.

        Raises:
            ToolError: One was illegal, or the game was over.
        """
        if self.is_over:
            raise ToolError("the game is over.")
        for number, move in enumerate(moves, 1):
            self._spend()
            try:
                self.play(move)
            except ToolError as error:
                self.count("illegal_moves")
                which = f"move {number} of {len(moves)}: " if len(moves) > 1 else ""
                rest = " The moves after it were not made." if number < len(moves) else ""
                raise ToolError(f"{which}{error}{rest}\n{self._state()}") from None
            if self.is_over:
                break
        return self._state()

    @property
    def is_over(self) -> bool:
        """Whether no move can be made any more."""
        return self.won or self.lost or self.moves_left <= 0

    def _spend(self) -> None:
        self.moves_left -= 1
        self.count("moves")

    def _state(self) -> str:
        return f"{self.show()}\n{self._ending()}"

    def _ending(self) -> str:
        if self.is_over:
            self.finish()
        if self.won or self.lost:
            return self.endings[self.lost]
        one, many = self.unit
        return f"You have {self.moves_left or 'no'} {one if self.moves_left == 1 else many} left."

    def progress(self) -> dict[str, float]:
        """Metrics of an ended game."""
        return {}

    def verify(self, episode: Episode) -> Reward:
        """1 for a win."""
        return Reward(won=float(self.won), metrics=self.progress())

    @abstractmethod
    def solution(self, task: Task) -> Iterator[Sequence[Any]]:
        """Moves that win, in the portions in which they are made."""

    def oracle(self, task: Task) -> Iterator[Message | str]:
        """Make the moves of a solution, by the tool where there is one."""
        for moves in self.solution(task):
            if self.tools:
                yield assistant("", tool_call(next(iter(self.tools)), **self.arguments(moves)))
            else:
                yield f"<move>{self.spell(moves)}</move>"
