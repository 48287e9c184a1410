"""Detective: a theft, suspects who saw each other, one liar, and not enough questions for all of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from llmgym.env import Episode, ToolEnv
from llmgym.envs.detective.cases import (
    FIRST_HOUR,
    Case,
    Statement,
    everything,
    hour_name,
    investigate,
    spoken,
    suspicions,
)
from llmgym.envs.detective.problems import Cases, Level, task_of
from llmgym.errors import ToolError
from llmgym.messages import Message, assistant, tool_call
from llmgym.rewards import Reward
from llmgym.tasks import Task, TaskSet, schema_of_row, task_from_row
from llmgym.tools import tool

_RULES = (
    "You are a detective. Question the suspects with `ask`, work out what must have happened, and call `accuse` once, "
    "which ends the case."
)
_HOUR = re.compile(r"(?:at )?(\d{1,2})(?:[:.]00)?\s*(?:p\.?\s?m\.?|h|o'?clock)?", re.IGNORECASE)
_NOON = 12
_TALK = 3  # messages without a call that are answered
_LONGEST = 60  # characters of a name that an error repeats


class Detective(ToolEnv):
    """Find out who stole something, when, and where it is hidden, by asking suspects one of whom lies.

    ## Description

    A house of some rooms with doors, an evening of some hours, and suspects who walked through the house and saw each
    other. One of them took a thing while alone in its room and hid it in the next hour. All tell the truth but the
    thief, who lies about the one hour of the theft. Where people can have been follows from what they say of
    themselves and of each other, from the doors, and from who still saw the thing. There are fewer questions than
    suspects times hours, so that each has to be chosen by what is known. All statements together leave one thief and
    one hour, which is proven when a case is made.

    ## Actions

    Calls of `ask(suspect, hour)` and, once, of `accuse(suspect, hour, room)`. Hours are "8 pm", 8, "20:00" or 20. A
    question that was asked before has the same answer and costs nothing.

    ## Observations

    The house and the rules; then what a suspect says: where in that hour, with whom, and in the room of the theft
    whether the thing was there; and how many questions are left.

    ## Rewards

    1 where suspect, hour and room of the accusation are all right, else 0.

    Metrics: `questions` (asked), `thief`, `hour` and `room` (each 1 where it was right), `tool_calls`, `tool_errors`.

    ## Episode End

    Terminates with the accusation, or with the fourth message that calls no tool; truncates after `max_turns` messages.

    ## Arguments

    - `level` ("medium"): "easy" has 4 suspects, 5 hours, 5 rooms and 6 questions to spare; "medium" 5, 5, 6 and 5;
      "hard" 7, 6, 8 and 5. To spare is what there is beyond the questions that the oracle asks, which chooses each by
      the answers to those before; no more than four in five questions may be asked.
    - `tasks`: a file of rows whose `metadata` has a `case` like those of generated tasks; its statements must leave one
      thief and one hour. The prompt and the answer are made of it.

    ## Registered Variants

    - `llmgym/Detective-v0`: five suspects, five hours.
    - `llmgym/Detective-easy-v0`: four suspects, five hours, questions to spare.
    - `llmgym/Detective-hard-v0`: seven suspects, six hours.

    ## Version History

    - v0: first version.
    """

    max_turns = 40
    system_prompt = _RULES

    def __init__(self, *, level: Level = "medium", tasks: TaskSet | str | Path | None = None, **options: Any) -> None:
        """Make the environment.

        Args:
            level: How many suspects, hours and rooms there are.
            tasks: Other cases.
            **options: Passed to `ToolEnv`.

        Raises:
            ConfigError: There is no such level.
        """
        super().__init__(tasks=TaskSet.generated(Cases(level)) if tasks is None else tasks, **options)

    @staticmethod
    def read_row(row: dict[str, Any]) -> Task:
        """Make the task of a row that holds a case."""
        task = task_from_row({**row, "prompt": row.get("prompt") or "case"})
        try:
            case = Case.of(task.metadata["case"])
            left = suspicions(case, everything(case))
        except (KeyError, TypeError, IndexError, ValueError) as error:
            raise ValueError(f"metadata.case is not like those of generated tasks: {error!r}") from None
        if left != [(case.thief, case.hour)]:
            raise ValueError(f"the statements of metadata.case leave {len(left)} thieves and hours, or another one")
        made = task_of(case)
        return Task(id=task.id, prompt=made.prompt, answer=made.answer, metadata={**task.metadata, **made.metadata})

    @staticmethod
    def row_schema() -> dict[str, Any]:
        """The JSON Schema of a row that holds a case."""
        needed = ["rooms", "doors", "suspects", "thing", "scene", "paths", "thief", "hour", "lie", "budget"]
        case = {"type": "object", "required": needed}
        metadata = {"type": "object", "properties": {"case": case}, "required": ["case"]}
        return schema_of_row("A case of Detective", {"metadata": metadata}, required=["metadata"])

    def setup(self, task: Task) -> None:
        """Open the case."""
        self.case = Case.of(task.metadata["case"])
        self.asked: dict[tuple[int, int], Statement] = {}
        self.accused: dict[str, bool] | None = None
        self.talk = 0
        self.metrics["questions"] = 0.0

    @tool
    def ask(self, suspect: str, hour: str | int) -> str:
        """Ask a suspect about an hour: in which room they were, who else was there, and what they saw.

        Args:
            suspect: Name of the suspect.
            hour: Such as "8 pm".
        """
        question = self._suspect(suspect), self._hour(hour)
        if question not in self.asked:
            if len(self.asked) >= self.case.budget:
                raise ToolError("there are no questions left; call `accuse`")
            self.asked[question] = self.case.statement(*question)
            self.count("questions")
        left = self.case.budget - len(self.asked)
        return f"{spoken(self.case, self.asked[question])} ({left} {'question' if left == 1 else 'questions'} left.)"

    @tool
    def accuse(self, suspect: str, hour: str | int, room: str) -> str:
        """Say who did it, when, and where the thing is hidden. This ends the case.

        Args:
            suspect: Name of the thief.
            hour: Hour of the theft, such as "8 pm".
            room: Room in which the thing was hidden in the hour after the theft.
        """
        if self.accused is not None:
            raise ToolError("you have accused already; the first accusation counts")
        case = self.case
        thief, when, where = self._suspect(suspect), self._hour(hour), _place(room, case.rooms, "room")
        self.accused = {"thief": thief == case.thief, "hour": when == case.hour, "room": where == case.stash}
        self.finish()
        return "The case is closed."

    def respond(self, message: Message) -> str | None:
        """Remind of the tools, a few times; talk alone solves no case."""
        self.talk += 1
        if self.talk > _TALK:
            return None
        left = self.case.budget - len(self.asked)
        return f"Nobody answers. Call `ask` ({left} questions left) or `accuse`."

    def _suspect(self, name: str) -> int:
        return _place(name, self.case.suspects, "suspect")

    def _hour(self, given: str | int) -> int:
        """The place of an hour.

        Raises:
            ToolError: There is none.
        """
        found = _HOUR.fullmatch(str(given).strip()[:_LONGEST])
        hour = int(found[1]) if found else -1
        place = (hour - _NOON if hour > _NOON else hour) - FIRST_HOUR
        if not 0 <= place < self.case.hours:
            there = ", ".join(map(hour_name, range(self.case.hours)))
            raise ToolError(f"there is no hour {str(given)[:_LONGEST]!r}; there is {there}")
        return place

    def verify(self, episode: Episode) -> Reward:
        """Look at the accusation."""
        right = self.accused or dict.fromkeys(("thief", "hour", "room"), False)
        return Reward(correct=float(all(right.values())), metrics={name: float(value) for name, value in right.items()})

    def oracle(self, task: Task) -> Iterator[Message | str]:
        """Ask by what the answers leave open, and accuse."""
        case = self.case
        for one in investigate(case, case.statement):
            yield assistant("", tool_call("ask", suspect=case.suspects[one.suspect], hour=hour_name(one.hour)))
        yield assistant("", tool_call("accuse", **task.answer))


def _place(name: str, names: Sequence[str], what: str) -> int:
    """The place of a name, however it is written.

    Raises:
        ToolError: There is none.
    """
    wanted = name.strip().strip("\"'.").lower().removeprefix("the ")
    for place, known in enumerate(names):
        if known.lower() == wanted:
            return place
    raise ToolError(f"there is no {what} {name[:_LONGEST]!r}; there is {', '.join(names)}")
