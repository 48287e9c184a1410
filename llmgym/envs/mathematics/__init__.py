"""Math: problems of many kinds, one reply, an answer that is compared exactly."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llmgym.env import Episode, ToolEnv
from llmgym.envs.mathematics import rows
from llmgym.envs.mathematics.problems import KINDS, Level, Problems
from llmgym.loading import expect_modules
from llmgym.messages import Message
from llmgym.rewards import Reward
from llmgym.tasks import Task, TaskSet
from llmgym.verifiers import math


class Math(ToolEnv):
    r"""Solve a mathematical problem and put the answer into a box.

    ## Description

    One problem, one reply. Problems are generated, their answers are exact, and each has one: stories of people and
    things with facts that do not matter, linear equations, systems, quadratics, polynomials with their derivatives and
    integrals, sequences, numbers in other bases, number theory, counting, probabilities, geometry with units, and
    proportions. The numbers of an answer never all stand in its problem. Problems of your own come from a file.

    ## Actions

    Text. There are no tools.

    ## Observations

    The problem, after a system message that says how to answer.

    ## Rewards

    1 where the answer of the reply is right, else 0. The last `\boxed{...}` counts, or "the answer is ..." behind it,
    else the whole of a reply that is one line; text in `<think>` never counts. `llmgym.verifiers.math` compares:
    5/6, `\frac{5}{6}` and `\dfrac56` are one number, and so are 1234 and 1,234; 0.83 is none of 5/6. A unit may be left
    out and must fit where one is named (24 `cm^2` are 0.0024 `m^2`, and not 24 `m^2`), a percent sign too. Solutions of
    an equation count in any order. A list where one number is asked is wrong.

    Metrics: `no_answer`, `unparsable`, `too_long` or `timeout`, where that is why a reply earns nothing.

    ## Episode End

    Terminates with the first message (truncates where it calls a tool, since there is none).

    ## Arguments

    - `level` ("medium"): "easy" (one step, small numbers), "medium", or "hard" (several steps, fractions, larger
      numbers).
    - `kinds` (all): kinds of problems, named in `llmgym.envs.mathematics.problems.KINDS`.
    - `tasks`: a file of rows with `question` (or `prompt`, or `messages`) and `answer` (or `expected_answer`), in LaTeX
      or plain. `form` names the kind of the answer where its looks do not say it (`interval`, say). Rows of NeMo Gym's
      math servers, with `responses_create_params`, are such rows; these and `messages` are asked as they stand, without
      the system message. Answers beyond numbers, sets, tuples, intervals and words need the extra `verifiers`.

    ## Registered Variants

    - `llmgym/Math-v0`: medium.
    - `llmgym/Math-easy-v0`: easy.
    - `llmgym/Math-hard-v0`: hard.

    ## Version History

    - v0: first version.
    """

    max_turns = 1
    system_prompt = (
        "Solve the problem. Think step by step if you like, and end with the final answer in \\boxed{}, for example "
        "\\boxed{42}."
    )

    def __init__(
        self,
        *,
        level: Level = "medium",
        kinds: Sequence[str] = tuple(KINDS),
        tasks: TaskSet | str | Path | None = None,
        **options: Any,
    ) -> None:
        """Make the environment.

        Args:
            level: How hard generated problems are.
            kinds: Kinds of generated problems.
            tasks: Other problems.
            **options: Passed to `ToolEnv`.

        Raises:
            ConfigError: An argument is unknown.
        """
        problems = Problems(level, tuple(kinds))
        expect_modules("Math", "verifiers", "math_verify")
        super().__init__(tasks=TaskSet.generated(problems) if tasks is None else tasks, **options)

    read_row = staticmethod(rows.read_row)
    row_schema = staticmethod(rows.schema)

    def opening(self, task: Task) -> list[Message]:
        """The problem after the system message; a chat history says by itself how to answer."""
        return super().opening(task) if isinstance(task.prompt, str) else task.messages

    async def verify(self, episode: Episode) -> Reward:
        """Compare the answer of the reply with the one that is right."""
        task = episode.task
        verdict = await math.acheck(episode.final_text, task.answer, kind=task.metadata.get("form"))
        return verdict.reward

    def oracle(self, task: Task) -> list[str]:
        """Put the answer into a box."""
        return [f"\\boxed{{{task.answer}}}"]
