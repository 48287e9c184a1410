"""PythonSession: questions about data that a Python session holds, answered over several cells."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llmgym.env import Episode, ToolEnv
from llmgym.envs.cells import Cells
from llmgym.envs.python_session.questions import Problems
from llmgym.messages import Message, assistant, tool_call
from llmgym.rewards import Reward
from llmgym.sandbox import Level, Sandbox
from llmgym.tasks import Task, TaskSet, one_column, row_schema, task_from_row
from llmgym.tools import tool
from llmgym.verifiers import math, numbers

_PROMPT = (
    "Answer the questions. The tool python runs code in a session that keeps its variables from call to call; it shows "
    "what the code prints and the value of an expression at its end. When you have an answer, reply with it, without a "
    "tool call."
)


class PythonSession(ToolEnv):
    r"""Answer questions about data in a Python session that keeps its state.

    ## Description

    A Python session holds records of orders, rentals, shifts or auctions, which nobody has shown to the model; the
    prompt says what the variables and the keys are called. A question is about those records that meet some
    conditions: a sum, the largest sum of a group, the record with which a running total reaches a goal, and the like.
    Further questions are each about some of the records of the one before. In harder variants persons are kept in a
    list of their own, and records carelessly: some twice, towns in any case, prices as text. All answers are whole
    numbers.

    ## Actions

    Calls of the tool `python`, which runs a cell in the session; a message without a call answers the question.

    ## Observations

    What is in the session, and the first question. Of `python`, what the cell prints, with the value of an expression
    at its end and what is raised, at most 8,000 characters. A cell that runs for more than 10 seconds is interrupted,
    and the state stays; a session that a cell ends is started anew with its data. After an answer that is not the last,
    the next question; whether an answer was right is not said.

    ## Rewards

    1 where all questions are answered rightly, else 0. Each reply to a question is read as a number, as
    [Calculator](Calculator.md) does: the last `\boxed{}`, "the answer is ..." or "Answer: ..." counts, else a line that
    is a number alone, else the last number. Text in `<think>` never counts. What a cell prints is no answer.

    Metrics: `answered` (questions that were answered), `right` (the share that was answered rightly), `cells` (cells
    that were run), `tool_calls`, `tool_errors`.

    ## Episode End

    Terminates with the answer to the last question; truncates after `max_turns` messages.

    ## Arguments

    - `records` (40): how many records there are, from 12 to 500.
    - `questions` (2): questions of a task, from 1 to 4.
    - `filters` (1): conditions of the first question, from 0 to 3; each further question adds one.
    - `untidy` (False): whether the records are kept carelessly.
    - `joined` (False): whether persons are kept in a list of their own, with their homes.
    - `least` ("landlock"): the weakest level of the [sandbox](../sandbox.md) that will do. At "process" code is kept
      from accidents alone, and has a network.
    - `tasks`: a file of rows with a `prompt` (or `messages`), an `answer`, a number or a text, and `variables`, an
      object of JSON values that the session holds. `follow_ups` may list further questions: the `answer` then lists one
      for each question. `cells` may list the code that the oracle runs for each.

    ## Registered Variants

    - `llmgym/PythonSession-v0`: two questions about 40 records.
    - `llmgym/PythonSession-easy-v0`: one question about all of 20 records.
    - `llmgym/PythonSession-hard-v0`: three questions about 60 records that are kept carelessly, and persons apart.

    ## Version History

    - v0: first version.
    """

    max_turns = 16
    system_prompt = _PROMPT

    def __init__(
        self,
        *,
        records: int = 40,
        questions: int = 2,
        filters: int = 1,
        untidy: bool = False,
        joined: bool = False,
        least: Level = "landlock",
        tasks: TaskSet | str | Path | None = None,
        **options: Any,
    ) -> None:
        """Make the environment.

        Args:
            records: How many records there are.
            questions: Questions of a task.
            filters: Conditions of the first question.
            untidy: Whether the records are kept carelessly.
            joined: Whether persons are kept apart.
            least: The weakest level of the sandbox that will do.
            tasks: Other tasks.
            **options: Passed to `ToolEnv`.

        Raises:
            ConfigError: An argument is out of range, or there is no such level of the sandbox.
        """
        problems = Problems(records, questions, filters, untidy, joined)
        self.sandbox = Sandbox(least=least)
        self.cells: Cells | None = None
        super().__init__(tasks=TaskSet.generated(problems) if tasks is None else tasks, **options)

    @staticmethod
    def read_row(row: dict[str, Any]) -> Task:
        """Make the task of a row with `variables`, and an `answer` for each question."""
        task = task_from_row(row)
        variables, others = task.metadata.get("variables"), task.metadata.get("follow_ups", [])
        if not isinstance(variables, dict) or not all(map(str.isidentifier, variables)):
            raise ValueError(f"`variables` is an object of names in Python and their values, not {variables!r:.100}")
        answers = list(task.answer) if isinstance(task.answer, list) else [task.answer]
        if not isinstance(others, list) or len(answers) != 1 + len(others):
            raise ValueError("the `answer` lists one for the prompt and one for each of the `follow_ups`")
        for one in answers:
            if isinstance(one, bool) or not isinstance(one, int | float | str):
                raise TypeError(f"an answer is a number or a text, not {one!r:.100}")
        return Task(id=task.id, prompt=task.prompt, answer=answers, metadata=task.metadata)

    @staticmethod
    def row_schema() -> dict[str, Any]:
        """The JSON Schema of such a row."""
        one = {"type": ["number", "string"]}
        answer = {"anyOf": [one, {"type": "array", "items": one, "minItems": 1}]}
        schema = row_schema()
        schema["properties"] |= {
            "variables": {"type": "object", "description": "What the session holds, by name."},
            "follow_ups": {"type": ["array", "null"], "items": {"type": "string"}, "description": "Further questions."},
            "cells": {
                "type": ["array", "null"],
                "items": {"type": "string"},
                "description": "The oracle's, by question.",
            },
        }
        known = [one_column("answer", answer), one_column("expected_answer", answer, without=["answer"])]
        title = "Questions about data in a Python session"
        return {**schema, "title": title, "required": ["variables"], "allOf": [{"anyOf": known}]}

    def setup(self, task: Task) -> None:
        """Start with no answers; the session is started with the first cell."""
        assert self.sandbox is not None
        self.cells = Cells(self.sandbox, task.metadata["variables"])
        self.answers: list[str] = []
        self.metrics.update({"answered": 0.0, "cells": 0.0})

    async def teardown(self) -> None:
        """End the session."""
        if self.cells is not None:
            await self.cells.aclose()

    @tool(serial=True)
    async def python(self, code: str) -> str:
        """Run code in the Python session, which keeps its variables; only the standard library is there.

        Args:
            code: Python source. What it prints, and the value of an expression at its end, is the result.
        """
        assert self.cells is not None
        self.count("cells")
        return await self.cells.run(code)

    def respond(self, message: Message) -> str | None:
        """Take an answer, and ask the next question."""
        assert self.task is not None
        self.answers.append(message["content"])
        self.count("answered")
        others = self.task.metadata.get("follow_ups", [])
        return others[len(self.answers) - 1] if len(self.answers) <= len(others) else None

    def verify(self, episode: Episode) -> Reward:
        """Compare each answer with the one that is right."""
        rights = episode.task.answer
        found = [_is_right(given, right) for given, right in zip(self.answers, rights, strict=False)]
        share = sum(found) / len(rights)
        return Reward(correct=float(share == 1), metrics={"right": share})

    def oracle(self, task: Task) -> Iterator[Message | str]:
        """Run the cells of each question, and answer with what the last one shows."""
        cells = task.metadata.get("cells") or [repr(answer) for answer in task.answer]
        for cell in cells:
            yield assistant("", tool_call("python", code=cell))
            yield f"The answer is {self.transcript[-1]['content']}."


def _is_right(given: str, right: float | str) -> bool:
    if isinstance(right, str):
        return bool(math.check(given, right, kind="text"))
    return bool(numbers.check(given, right, units="ignored"))
