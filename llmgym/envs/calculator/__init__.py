"""Calculator: nested arithmetic over tools that compute exactly."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

from llmgym.env import Episode, ToolEnv
from llmgym.envs.calculator.arithmetic import Number, call
from llmgym.envs.calculator.problems import Problems
from llmgym.messages import Message, assistant, tool_call
from llmgym.rewards import Reward
from llmgym.tasks import Task, TaskSet, one_column, row_schema, task_from_row
from llmgym.tools import tool
from llmgym.verifiers.numbers import final_number

_WITH_TOOLS = (
    "Solve the problem. The tools calculate exactly; call them as often as you need. When you have the result, "
    "reply without a tool call."
)
_WITHOUT_TOOLS = "Solve the problem and give the result."


class Calculator(ToolEnv):
    r"""Solve nested arithmetic problems with tools that compute exactly.

    ## Description

    A problem nests several operations: as a story, as a phrase ("the product of 3 and the sum of 4 and
    5"), as a list of steps, or in symbols. Tools compute one operation each, on rational numbers, without
    rounding; problems can be solved without them too. Problems are generated, and every answer is an
    integer or an exact decimal of at most six places.

    ## Actions

    Calls of the tools of the operations (`add`, `subtract`, `multiply`, `divide`, `power`, `negate`), any
    number of them in a message; then a message without a call, which ends the episode and states the answer. Arguments
    are JSON numbers, or text such as "3/4". Division by zero and results of more than 300
    digits are answered with an error.

    ## Observations

    The problem; then the result of each call, as an integer, a decimal of up to 30 places, or a
    fraction such as "1/3".

    ## Rewards

    1 where the number that the final message states is exactly the answer, else 0. The last `\boxed{}`, "the answer is
    ..." or "Answer: ..." counts, unless "No, wait" and another number follow; else a line that is a number alone, else
    the last number. What explains a number, in parentheses or after "because", is left out, "5 + 10 = 15" states 15,
    and "3 or 4" states nothing. Separators of thousands ("1,234", "1 234", "1.000.000"), decimal commas ("0,5"),
    "minus" and unicode minus signs, currencies, units, fractions, mixed numbers, repeating decimals, powers
    and "million" are understood; 50% is 50. Text in `<think>` never counts. An episode that ends with a tool call
    earns 0.

    Metrics: `used_tools` (1 where any call succeeded), `answered` (1 where a number was stated),
    `tool_calls`, `tool_errors`.

    ## Episode End

    Terminates with the first message that calls no tool; truncates after `max_turns` messages.

    ## Arguments

    - `depth` (3): levels of nesting; a story has none, and takes `steps` events in a row instead.
    - `steps` (4): operations of a problem, from `depth` to `2**depth - 1`.
    - `max_operand` (100): greatest number in a problem.
    - `decimals` (0): most decimal places of such a number, 0 to 3; stories count whole things.
    - `operations` (add, subtract, multiply, divide): those that problems use. Without `negate`, no number
      is negative.
    - `word_problems` (True): stories, phrases and steps; otherwise symbols alone.
    - `offer_tools` (True): the tools of the operations; otherwise none.
    - `tasks`: a file of rows with `prompt` (or `messages`) and `answer`, a number or text such as "3/4".

    ## Registered Variants

    - `llmgym/Calculator-v0`: four operations.
    - `llmgym/Calculator-easy-v0`: one addition or subtraction of numbers up to 20.
    - `llmgym/Calculator-mental-v0`: the same without tools, one turn.
    - `llmgym/Calculator-hard-v0`: nine operations, five levels deep, powers, negative and decimal numbers.

    ## Version History

    - v0: first version.
    """

    max_turns = 12

    def __init__(
        self,
        *,
        depth: int = 3,
        steps: int = 4,
        max_operand: int = 100,
        decimals: int = 0,
        operations: Sequence[str] = ("add", "subtract", "multiply", "divide"),
        word_problems: bool = True,
        offer_tools: bool = True,
        tasks: TaskSet | str | Path | None = None,
        **options: Any,
    ) -> None:
        """Make the environment.

        Args:
            depth: Levels of nesting.
            steps: Operations of a problem.
            max_operand: Greatest number in a problem.
            decimals: Most decimal places of such a number.
            operations: Operations that problems use.
            word_problems: Tell problems in words too, not in symbols alone.
            offer_tools: Offer the tools of the operations; otherwise a problem is solved in the head.
            tasks: Other problems.
            **options: Passed to `ToolEnv`.

        Raises:
            ConfigError: An argument is out of range, or they do not go together.
        """
        problems = Problems(depth, steps, max_operand, decimals, tuple(operations), word_problems)
        self.tools = {name: tool for name, tool in self.tools.items() if offer_tools and name in operations}
        self.system_prompt = _WITH_TOOLS if self.tools else _WITHOUT_TOOLS
        super().__init__(tasks=TaskSet.generated(problems) if tasks is None else tasks, **options)

    @staticmethod
    def read_row(row: dict[str, Any]) -> Task:
        """Make the task of a row whose answer is a number."""
        task = task_from_row(row)
        number = isinstance(task.answer, int | float | str) and not isinstance(task.answer, bool)
        if not number or final_number(str(task.answer)) is None:
            raise ValueError(f"answer {task.answer!r} is not a number")
        return task

    @staticmethod
    def row_schema() -> dict[str, Any]:
        """The JSON Schema of a row whose answer is a number."""
        number = {"type": ["number", "string"], "description": "The number that is right; a text states one."}
        known = [one_column("answer", number), one_column("expected_answer", number, without=["answer"])]
        return {**row_schema(), "title": "A problem of Calculator", "allOf": [{"anyOf": known}]}

    @tool
    def add(self, a: Number, b: Number) -> str:
        """Add two numbers.

        Args:
            a: First number.
            b: Second number.
        """
        return call("add", a, b)

    @tool
    def subtract(self, a: Number, b: Number) -> str:
        """Subtract the second number from the first.

        Args:
            a: Number to subtract from.
            b: Number to subtract.
        """
        return call("subtract", a, b)

    @tool
    def multiply(self, a: Number, b: Number) -> str:
        """Multiply two numbers.

        Args:
            a: First number.
            b: Second number.
        """
        return call("multiply", a, b)

    @tool
    def divide(self, a: Number, b: Number) -> str:
        """Divide the first number by the second.

        Args:
            a: Number to divide.
            b: Number to divide by, not 0.
        """
        return call("divide", a, b)

    @tool
    def power(self, base: Number, exponent: Number) -> str:
        """Raise a number to a power.

        Args:
            base: Number to raise.
            exponent: Whole number from -1000 to 1000.
        """
        return call("power", base, exponent)

    @tool
    def negate(self, a: Number) -> str:
        """Change the sign of a number.

        Args:
            a: The number.
        """
        return call("negate", a)

    def verify(self, episode: Episode) -> Reward:
        """Compare the number that the final message states with the answer."""
        stated = final_number(episode.final_text)
        metrics = {
            "used_tools": float(episode.metrics["tool_calls"] > episode.metrics["tool_errors"]),
            "answered": float(stated is not None),
        }
        correct = stated is not None and stated == final_number(str(episode.task.answer))
        return Reward(correct=float(correct), metrics=metrics)

    def oracle(self, task: Task) -> Iterator[Message | str]:
        """Call one tool after another, with what the earlier ones gave, and state the last result."""
        plan = task.metadata.get("plan")
        result = (yield from self._carry_out(plan)) if plan is not None and self.tools else str(task.answer)
        yield f"The answer is {result}."

    def _carry_out(self, plan: Any) -> Generator[Message, None, str]:
        if isinstance(plan, str):
            return plan
        operation, *rest = plan
        first = yield from self._carry_out(rest[0])
        values = [first] if len(rest) == 1 else [first, (yield from self._carry_out(rest[1]))]
        names = self.tools[operation].schema["function"]["parameters"]["properties"]
        yield assistant("", tool_call(operation, **dict(zip(names, map(_as_json, values), strict=True))))
        return self.transcript[-1]["content"]


def _as_json(number: str) -> Number:
    """A number as a model would write it in JSON: plain where that is exact, else as text."""
    if number.lstrip("-").isdigit():
        return int(number) if len(number) < 16 else number
    return float(number) if "/" not in number and len(number) < 16 else number
