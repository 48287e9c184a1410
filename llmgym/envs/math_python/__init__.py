"""MathPython: mathematics that has to be computed, with a Python tool."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from llmgym.env import Episode, ToolEnv
from llmgym.envs.cells import Cells
from llmgym.envs.math_python.problems import Problems
from llmgym.envs.math_python.topics import TOPICS
from llmgym.messages import Message, assistant, tool_call
from llmgym.rewards import Reward
from llmgym.sandbox import Level, Sandbox
from llmgym.tasks import Task, TaskSet, one_column, row_schema, task_from_row
from llmgym.tools import tool
from llmgym.verifiers import math, numbers

_PROMPT = (
    "Solve the problem. The tool execute_python runs code in a session that keeps its variables from call to call; it "
    r"shows what the code prints and the value of an expression at its end. Then reply with the answer in \boxed{}."
)
_TOOL = "execute_python"
_BRACKETS = (("\\(", "\\)"), ("$$", "$$"), ("$", "$"))


class MathPython(ToolEnv):
    r"""Solve mathematical problems that have to be computed, with a Python tool.

    ## Description

    Sums over ranges, counts by brute force, large powers, recurrences, matrices, the calendar, small simulations:
    problems that are easily programmed and beyond mental reach. Of each the answer is a whole number of two digits or
    more, mostly of many. Problems are generated; a harder one joins the numbers of several.

    ## Actions

    Calls of the tool `execute_python`, which runs a cell in a session; a message without a call, which ends the episode
    and gives the answer in `\boxed{}`.

    ## Observations

    The problem; then what each cell prints, with the value of an expression at its end and what is raised, at most
    8,000 characters. A cell that runs for more than 10 seconds is interrupted, and the state stays; where a cell ends
    the session, the next call starts it anew. There is the standard library, and what `imports` names.

    ## Rewards

    1 where the number that the final message states is the right one, else 0: the last `\boxed{}`, or "the answer is
    ..." behind it, else a line that is a number alone, else the last number. Where a row's answer is a formula, the
    [verifier of maths](../verifiers.md#maths-numbers-texts-choices) compares. Text in `<think>` never counts, and what
    a cell prints is no answer.

    Metrics: `cells` (cells that were run), `tool_calls`, `tool_errors`.

    ## Episode End

    Terminates with the first message that calls no tool; truncates after `max_turns` messages.

    ## Arguments

    - `parts` (1): numbers to find for one answer, from 1 to 5.
    - `topics` (all): powers, primes, digits, modulo, pairs, recurrence, determinant, matrix, weekdays, days,
      simulation, coins, digit_sums, gcd, divisors, collatz, circle, grid.
    - `imports` (none): modules that code finds loaded, such as "numpy"; with any, it sees all installed packages.
    - `least` ("landlock"): the weakest level of the [sandbox](../sandbox.md) that will do. At "process" code is kept
      from accidents alone, and has a network.
    - `tasks`: a file of rows with a `prompt` (or `messages`) and an `answer`, a number or LaTeX; or of NeMo Gym's,
      whose answer is the `expected_result`, and whose prompts promise numpy, scipy and pandas. Formulas in answers need
      the extra `verifiers`.

    ## Registered Variants

    - `llmgym/MathPython-v0`: one number of any topic.
    - `llmgym/MathPython-easy-v0`: sums, powers, divisors and remainders.
    - `llmgym/MathPython-hard-v0`: three numbers joined to one.

    ## Version History

    - v0: first version.
    """

    max_turns = 8
    verify_from = "transcript"
    system_prompt = _PROMPT

    def __init__(
        self,
        *,
        parts: int = 1,
        topics: Sequence[str] = tuple(TOPICS),
        imports: Sequence[str] = (),
        least: Level = "landlock",
        tasks: TaskSet | str | Path | None = None,
        **options: Any,
    ) -> None:
        """Make the environment.

        Args:
            parts: Numbers to find for one answer.
            topics: What problems are about.
            imports: Modules that code finds loaded.
            least: The weakest level of the sandbox that will do.
            tasks: Other problems.
            **options: Passed to `ToolEnv`.

        Raises:
            ConfigError: An argument is out of range, or there is no such level of the sandbox.
        """
        problems = Problems(parts, tuple(topics))
        self.sandbox = Sandbox(least=least, imports=imports)
        self.cells: Cells | None = None
        super().__init__(tasks=TaskSet.generated(problems) if tasks is None else tasks, **options)

    @staticmethod
    def read_row(row: dict[str, Any]) -> Task:
        """Make the task of a row with an `answer` or an `expected_result`."""
        task = task_from_row(row)
        metadata = dict(task.metadata)
        expected = metadata.pop("expected_result", None)
        answer = expected if task.answer is None else task.answer
        if isinstance(answer, bool) or not isinstance(answer, int | float | str) or not str(answer).strip():
            raise ValueError(f"the answer is a number or LaTeX, not {answer!r:.100}")
        names = [schema["function"]["name"] for schema in metadata.pop("tools", [])]
        if others := [name for name in names if name != _TOOL]:
            raise ValueError(f"the row offers the tool {others[0]!r}; there is {_TOOL} alone")
        return Task(id=task.id, prompt=task.prompt, answer=_bare(answer), metadata=metadata)

    @staticmethod
    def row_schema() -> dict[str, Any]:
        """The JSON Schema of such a row."""
        answer = {"type": ["number", "string"], "description": "A number, or LaTeX with or without its delimiters."}
        names = ("answer", "expected_answer", "expected_result")
        known = [one_column(name, answer, without=names[:place]) for place, name in enumerate(names)]
        return {**row_schema(), "title": "A problem of MathPython", "allOf": [{"anyOf": known}]}

    def setup(self, task: Task) -> None:
        """Describe the session, which is started with the first cell."""
        assert self.sandbox is not None
        self.cells = Cells(self.sandbox)
        self.metrics["cells"] = 0.0

    async def teardown(self) -> None:
        """End the session."""
        if self.cells is not None:
            await self.cells.aclose()

    @tool(serial=True)
    async def execute_python(self, code: str) -> str:
        """Run Python code in the session, which keeps its variables from call to call.

        Args:
            code: Python source. What it prints, and the value of an expression at its end, is the result.
        """
        assert self.cells is not None
        self.count("cells")
        return await self.cells.run(code)

    async def verify(self, episode: Episode) -> Reward:
        """Compare the answer in the final message with the right one."""
        right = str(episode.task.answer)
        if numbers.parse_number(right) is None:
            return (await math.acheck(episode.final_text, right)).reward
        return numbers.check(episode.final_text, right, relative=1e-6 if "." in right else 0.0).reward

    def oracle(self, task: Task) -> Iterator[Message | str]:
        """Run the program of the problem, and box what it shows."""
        if code := task.metadata.get("code"):
            yield assistant("", tool_call(_TOOL, code=code))
            yield rf"The result is \boxed{{{self.transcript[-1]['content']}}}."
        else:
            yield rf"\boxed{{{task.answer}}}"


def _bare(answer: float | str) -> float | str:
    r"""LaTeX without `\(...\)` or dollars around it."""
    if not isinstance(answer, str):
        return answer
    answer = answer.strip()
    for begin, end in _BRACKETS:
        if answer.startswith(begin) and answer.endswith(end) and len(answer) > len(begin) + len(end):
            return answer[len(begin) : -len(end)].strip()
    return answer
