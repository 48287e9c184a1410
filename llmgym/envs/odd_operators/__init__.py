"""Odd operators: calculations with signs that mean something else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llmgym.env import Episode, ToolEnv
from llmgym.envs.odd_operators.operators import RULES, apply, fault
from llmgym.envs.odd_operators.problems import Problems, sign_of
from llmgym.errors import ToolError
from llmgym.messages import Message, assistant, tool_call
from llmgym.rewards import Reward
from llmgym.tasks import Task, TaskSet, one_column, row_schema, task_from_row
from llmgym.tools import tool
from llmgym.verifiers import numbers

_WITH_TOOLS = (
    "Solve the problem. Only the tool `calculate` knows what the signs mean: it applies one sign to two numbers. Call "
    "it once for each operation, with the results of earlier calls. When you have the final result, reply without a "
    "call: The answer is ..."
)
_WITHOUT_TOOLS = "Solve the problem with the meanings that it gives. End your reply with: The answer is ..."


class OddOperators(ToolEnv):
    r"""Calculate with signs that do not mean what they usually do.

    ## Description

    A problem is an expression, or a list of steps, over signs such as `+`, `*` or `#`, each of which has another
    meaning in each problem: a rule ("3 times a, plus 2 times b, plus 5"), or a table that makes the result digit by
    digit. A tool applies a sign to two numbers, and nothing else says what it means; or the problem tells the meanings
    and there is no tool. All numbers have at most `digits` digits. What usual arithmetic gives is never the answer.

    ## Actions

    Calls of `calculate`, any number of them in a message; then a message without a call, which ends the episode and
    states the answer. A sign that the problem does not have, and numbers that are out of range, are answered with
    an error.

    ## Observations

    The problem; then the result of each call, a whole number.

    ## Rewards

    1 where the number that the final message states is the result of the last step, else 0, whatever calls have been
    made: a result that a tool gave and the message does not state earns nothing. How the number is read says
    `llmgym.verifiers.numbers`: the last box or "the answer is ..." counts, else a line that is a number alone,
    else the last number. An episode that ends with a tool call earns 0.

    Metrics: `excess_calls` (calls that succeeded beyond one for each operation), `tool_calls`, `tool_errors`;
    `no_answer`, `unparsable` or `too_long`, where that is why a reply earns nothing.

    ## Episode End

    Terminates with the first message that calls no tool; truncates after `max_turns` messages.

    ## Arguments

    - `steps` (4): operations of a problem, 1 to 60.
    - `operators` (3): signs of a problem, 1 to 8.
    - `digits` (3): most digits of a number, 2 to 6.
    - `tables` (True): some signs work digit by digit, by a table; otherwise all have a rule.
    - `conditions` (False): in some steps, whether an earlier result is even decides which sign is applied.
    - `told` (False): the problem tells what the signs mean, and there is no tool.
    - `tasks`: a file of rows with `prompt` (or `messages`), `answer`, and `operators`: an object of signs, each with a
      `rule` (linear, distance, product, extremes or digits) and its numbers `p`, `q` and `r`, or with the rule `table`
      and a `table` of ten texts of ten digits. `digits` is 3 where a row has none. Rows of NeMo Gym's
      `math_advanced_calculations` do not say what their operators give, and are refused.

    ## Registered Variants

    - `llmgym/OddOperators-v0`: four operations with a tool.
    - `llmgym/OddOperators-easy-v0`: one operation with a tool, on numbers of two digits.
    - `llmgym/OddOperators-told-v0`: three operations whose meanings are told, without a tool.
    - `llmgym/OddOperators-hard-v0`: sixteen operations with a tool, some of which depend on earlier results.

    ## Version History

    - v0: first version.
    """

    max_turns = 16

    def __init__(
        self,
        *,
        steps: int = 4,
        operators: int = 3,
        digits: int = 3,
        tables: bool = True,
        conditions: bool = False,
        told: bool = False,
        tasks: TaskSet | str | Path | None = None,
        **options: Any,
    ) -> None:
        """Make the environment.

        Args:
            steps: Operations of a problem.
            operators: Signs of a problem.
            digits: Most digits of a number.
            tables: Some signs have a table.
            conditions: Earlier results decide on some signs.
            told: Tell what the signs mean, instead of offering a tool.
            tasks: Other problems.
            **options: Passed to `ToolEnv`.

        Raises:
            ConfigError: An argument is out of range.
        """
        problems = Problems(steps, operators, digits, tables, conditions, told)
        self.tools = {} if told else dict(self.tools)
        self.system_prompt = _WITHOUT_TOOLS if told else _WITH_TOOLS
        super().__init__(tasks=TaskSet.generated(problems) if tasks is None else tasks, **options)

    @staticmethod
    def read_row(row: dict[str, Any]) -> Task:
        """Make the task of a row with `operators`."""
        if row.get("ground_truth") is not None and row.get("operators") is None:
            raise ValueError("a row of math_advanced_calculations does not say what its operators give: no `operators`")
        task = task_from_row(row)
        if found := fault(task.metadata.get("operators")):
            raise ValueError(found)
        digits = task.metadata.get("digits", 3)
        if type(digits) is not int or not 2 <= digits <= 6:
            raise ValueError(f"digits are 2 to 6, this is {digits!r:.40}")
        if numbers.final_number(str(task.answer)) is None:
            raise ValueError(f"answer {task.answer!r:.40} is not a number")
        return Task(
            id=task.id, prompt=task.prompt, answer=str(task.answer), metadata={**task.metadata, "digits": digits}
        )

    @staticmethod
    def row_schema() -> dict[str, Any]:
        """The JSON Schema of a row with `operators`."""
        number = {"type": ["integer", "string"], "description": "The number that is right."}
        operator = {
            "type": "object",
            "properties": {
                "rule": {"enum": list(RULES)},
                **{name: {"type": "integer"} for name in ("p", "q", "r")},
                "table": {"type": "array", "items": {"type": "string", "pattern": "^[0-9]{10}$"}},
            },
            "required": ["rule"],
        }
        base = row_schema()
        more = {
            "operators": {"type": "object", "minProperties": 1, "additionalProperties": operator},
            "digits": {"type": ["integer", "null"], "minimum": 2, "maximum": 6, "default": 3},
        }
        known = [one_column("answer", number), one_column("expected_answer", number, without=["answer"])]
        return {
            **base,
            "title": "A problem of OddOperators",
            "properties": {**base["properties"], **more},
            "required": ["operators"],
            "allOf": [{"anyOf": known}],
        }

    def setup(self, task: Task) -> None:
        """Count from none."""
        self.calculated = 0

    @tool
    def calculate(self, a: int, sign: str, b: int) -> int:
        """Apply a sign of the problem to two whole numbers, and get the result of `a sign b`.

        Args:
            a: The number to the left of the sign.
            sign: The sign, such as "+".
            b: The number to the right of the sign.
        """
        assert self.task is not None
        operators, digits = self.task.metadata["operators"], self.task.metadata["digits"]
        if sign.strip() not in operators:
            raise ToolError(f"no sign {sign[:20]!r} in this problem; there is {', '.join(operators)}")
        for number in (a, b):
            if not 0 <= number < 10**digits:
                shown = number if abs(number) < 10**12 else "a number of more than 12 digits"
                raise ToolError(f"{shown} is out of range; numbers are from 0 to {10**digits - 1}")
        self.calculated += 1
        return apply(operators[sign.strip()], a, b, digits)

    def verify(self, episode: Episode) -> Reward:
        """Compare the number that the final message states with the result of the last step."""
        reward = numbers.check(episode.final_text, episode.task.answer).reward
        needed = len(episode.task.metadata.get("steps", ()))
        reward.metrics["excess_calls"] = float(max(0, self.calculated - needed))
        return reward

    def oracle(self, task: Task) -> Iterator[Message | str]:
        """Call the tool for one step after another, with what the earlier calls gave, and state the last result."""
        results, steps = list[int](), task.metadata.get("steps", []) if self.tools else []
        for step in steps:
            a, b = (results[int(value) - 1] if isinstance(value, str) else value for value in step[1:])
            yield assistant("", tool_call("calculate", a=a, sign=sign_of(step, results), b=b))
            results.append(int(self.transcript[-1]["content"]))
        yield f"The answer is {results[-1] if results else task.answer}."
