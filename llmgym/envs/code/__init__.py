"""Code: write a function or a program for a rule; hidden tests decide."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from llmgym.env import Episode, ToolEnv
from llmgym.envs.code.problems import Form, Problems
from llmgym.envs.code.rows import read_row, schema
from llmgym.errors import TaskError
from llmgym.messages import Message, assistant, tool_call
from llmgym.rewards import Reward
from llmgym.sandbox import Level, Sandbox
from llmgym.tasks import Task, TaskSet
from llmgym.tools import Tool, tool
from llmgym.verifiers import code
from llmgym.verifiers.base import MAX_ANSWER

_WITH_TESTS = (
    "Solve the problem. The tool run_tests runs a program on the examples; call it as often as you need. When you are "
    "done, reply without a tool call, with the whole program in a Python code block."
)
_SHOWN = 400  # characters of a value that a tool shows


class Code(ToolEnv):
    """Write a Python function, or a program, for a rule that is told in words.

    ## Description

    A rule is a few steps in a row on lists of integers, text, lists of words, dicts or numbers, such as "Keep only the
    numbers that are divisible by 3. Sort them from largest to smallest. Replace the list by its running totals." A
    function follows it from argument to returned value, a program from standard input to standard output. The prompt
    shows one to five examples; hidden tests on other inputs decide, among them an empty, a small and a large one.
    Problems are generated: no constant passes more than a third of the hidden tests, and neither the argument itself,
    nor the rule without one of its steps or branches, nor, from two steps on, any single step passes all.

    ## Actions

    A message with the program, in a fenced block of Python or alone. The last block that defines the function counts,
    else the last. With `offer_tests` the tool `run_tests` runs a program on the examples of the prompt, and the program
    of the message without a call counts.

    ## Observations

    The rule and its examples; of `run_tests`, what the program gives for each example and what it should.

    ## Rewards

    1 where all hidden tests pass, else 0; with `score="share"` the share of those that pass. The program runs in a
    [sandbox](../sandbox.md) with the standard library, and what it gives is compared outside, as the
    [verifier of code](../verifiers.md#code) says: a tuple is a list, true is no number, what a function prints does not
    count, lines and words of a program are compared without the blanks around them. Text in `<think>` never counts.

    Metrics: `tests` (how many there are), `passed` (the share of them that pass), and how many end as `wrong_answer`,
    `runtime_error`, `syntax_error`, `time_limit`, `memory_limit` or `output_limit`.

    ## Episode End

    Terminates with the first message that calls no tool; truncates after `max_turns` messages.

    ## Arguments

    - `steps` (3): steps of a rule, from 1 to 8.
    - `form` ("function"): or "program", which reads standard input.
    - `forks` (False): whether one of the steps may depend on a condition.
    - `examples` (2): examples in the prompt, from 1 to 5.
    - `tests` (12): hidden tests, from 8 to 40.
    - `offer_tests` (False): the tool `run_tests`, for tasks that have examples.
    - `score` ("all"): or "share".
    - `least` ("landlock"): the weakest level of the sandbox that will do. At "process" a program is kept from accidents
      alone: it could read what is right in the memory of the process that knows.
    - `tasks`: a file of rows with a `prompt` (or `messages`) and tests in `answer`: an object with `inputs`, `outputs`
      and, for a function, `fn_name`; or of NeMo Gym's, which have them as `unit_tests` in their `verifier_metadata`. A
      row's `metadata` may have `examples`, of the same form, for `run_tests`, and a `solution` for the oracle.

    ## Registered Variants

    - `llmgym/Code-v0`: functions of three steps.
    - `llmgym/Code-easy-v0`: functions of one step, with three examples.
    - `llmgym/Code-program-v0`: programs of three steps that read standard input.
    - `llmgym/Code-tests-v0`: functions of four steps, with a tool that runs the examples, eight turns.
    - `llmgym/Code-hard-v0`: functions of seven steps, one of which may depend on a condition, with one example.

    ## Version History

    - v0: first version.
    """

    max_turns = 1

    def __init__(
        self,
        *,
        steps: int = 3,
        form: Form = "function",
        forks: bool = False,
        examples: int = 2,
        tests: int = 12,
        offer_tests: bool = False,
        score: code.Score = "all",
        least: Level = "landlock",
        tasks: TaskSet | str | Path | None = None,
        **options: Any,
    ) -> None:
        """Make the environment.

        Args:
            steps: Steps of a rule.
            form: What is to be written.
            forks: Whether a step may depend on a condition.
            examples: Examples in the prompt.
            tests: Hidden tests.
            offer_tests: Offer a tool that runs the examples.
            score: What some of the tests are worth.
            least: The weakest level of the sandbox that will do.
            tasks: Other problems.
            **options: Passed to `ToolEnv`.

        Raises:
            ConfigError: An argument is out of range, or there is no such level of the sandbox.
        """
        problems = Problems(steps, form, forks, examples, tests)
        self.score: code.Score = score
        self.offer_tests = offer_tests
        self.sandbox = Sandbox(least=least)
        self.tools = self.tools if offer_tests else {}
        self.system_prompt = _WITH_TESTS if offer_tests else None
        super().__init__(tasks=TaskSet.generated(problems) if tasks is None else tasks, **options)

    read_row = staticmethod(read_row)
    row_schema = staticmethod(schema)

    def offered(self, task: Task) -> Iterable[Tool]:
        """The tool, for tasks that have examples."""
        return self.tools.values() if "examples" in task.metadata else ()

    @tool
    async def run_tests(self, program: str) -> str:
        """Run a program on the examples of the problem.

        Args:
            program: The whole Python source, with the function or the program that is asked for.
        """
        assert self.task is not None
        assert self.sandbox is not None
        if len(program) > MAX_ANSWER:
            return f"The program has {len(program):,} characters; at most {MAX_ANSWER:,} are run."
        examples = code.Cases.of(self.task.metadata["examples"])
        source = code.program_of(program, examples.function)
        outcomes = await code.run_cases(source, examples, self.sandbox, seconds=20.0)
        passed = sum(outcome.status == "passed" for outcome in outcomes)
        lines = [
            f"Example {place}: {'passed' if outcome.status == 'passed' else _failed(outcome, right)}"
            for place, (outcome, right) in enumerate(zip(outcomes, examples.outputs, strict=True), 1)
        ]
        return "\n".join([*lines, f"{passed} of {len(outcomes)} examples passed."])

    async def verify(self, episode: Episode) -> Reward:
        """Run the hidden tests."""
        assert self.sandbox is not None
        verdict = await code.acheck(episode.final_text, episode.task.answer, score=self.score, sandbox=self.sandbox)
        return verdict.reward

    def oracle(self, task: Task) -> Iterator[Message | str]:
        """Give the program that the problem was made with, after its examples have passed."""
        solution = task.metadata.get("solution")
        if solution is None:
            raise TaskError(f"task {task.id} has no `solution` in its metadata, which its oracle would give")
        if self.offer_tests and "examples" in task.metadata:
            yield assistant("", tool_call("run_tests", program=solution))
        yield f"```python\n{solution}\n```"


def _failed(outcome: code.Outcome, right: Any) -> str:
    return f"failed: {_cut(outcome.shown)}; it should give {_cut(repr(right))}"


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
