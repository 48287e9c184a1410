"""Planning: schedules and tours under constraints, judged by the constraints and the best that there is."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from llmgym.env import Episode, ToolEnv
from llmgym.envs.planning.plans import Unreadable, plan_of, read_reply
from llmgym.envs.planning.problems import KINDS, Level, Problems, ask, passes, reached
from llmgym.errors import ConfigError, ToolError
from llmgym.messages import Message, assistant, tool_call
from llmgym.rewards import Reward
from llmgym.tasks import Task, TaskSet, schema_of_row, task_from_row
from llmgym.tools import tool

_TEXT = "Think first if you like. What counts is the last plan in your reply."
_TOOLS = (
    "You may check plans with the tool before you reply with one, without a tool call. What counts is the last plan in "
    "your reply."
)
_LARGEST = 9  # jobs or places of a row, whose best plan is searched for


class Planning(ToolEnv):
    """Plan jobs for people, or a day of visits, so that every rule is kept and the goal is reached.

    ## Description

    A schedule has jobs with durations, some of which come after others, and people who can do some of them, one at
    a time; everything has to be done by an hour, or as early as possible. A tour has places with opening hours,
    prices and points, ways between them, a budget and an hour to be back; it has to be worth so many points, or as many
    as possible. The best value is found by an exact search when a task is made. In about 12 % of the tasks the
    goal cannot be reached, by 1 to 6; then the best value is asked for. Plans that a careless planner would
    make (one after another, in the order told, the most points first) never reach the goal.

    ## Actions

    Text with the plan as JSON: `{"plan": [{"job": "paint", "worker": "Ada", "start": 3}, ...]}`, `{"plan": ["zoo",
    "park"]}`, or `{"impossible": true, "best": 14}`. The last JSON that is one of these counts; without any, a line
    for each job with a person and an hour, the last line that has several places, or "impossible" and a number. With
    `mode="tools"`, calls of `check_plan` before it.

    ## Observations

    The problem in words; from the tool, whether a plan keeps the rules, and when it ends or what it is worth.

    ## Rewards

    1 where the plan keeps every rule and reaches the goal (where that is "as early as possible" or "as many points as
    possible", the best value), or where no plan does and the reply says so with the best value; else 0.

    Metrics: `readable` (a plan or "impossible" could be read), `kept` (the plan keeps all rules), `tool_calls`,
    `tool_errors`.

    ## Episode End

    Terminates with the first message that calls no tool; truncates after `max_turns` messages.

    ## Arguments

    - `level` ("medium"): "easy" has three or four jobs or places, "medium" five or six, "hard" six to eight.
    - `kinds` (schedule, tour): sorts of problems.
    - `mode` ("text"): "tools" offers `check_plan`.
    - `tasks`: a file of rows whose `metadata` has a `problem` like those of generated tasks, of nine jobs or places at
      most; the prompt is made of it where there is none, and the answer always.

    ## Registered Variants

    - `llmgym/Planning-v0`: five or six jobs or places.
    - `llmgym/Planning-easy-v0`: three or four.
    - `llmgym/Planning-tools-v0`: the problems of the first, with a tool that checks plans.
    - `llmgym/Planning-hard-v0`: six to eight.

    ## Version History

    - v0: first version.
    """

    max_turns = 1

    def __init__(
        self,
        *,
        level: Level = "medium",
        kinds: Sequence[str] = ("schedule", "tour"),
        mode: Literal["text", "tools"] = "text",
        tasks: TaskSet | str | Path | None = None,
        **options: Any,
    ) -> None:
        """Make the environment.

        Args:
            level: How large the problems are.
            kinds: Sorts of problems.
            mode: Whether there is a tool that checks plans.
            tasks: Other problems.
            **options: Passed to `ToolEnv`.

        Raises:
            ConfigError: An argument is unknown.
        """
        if mode not in ("text", "tools"):
            raise ConfigError(f"mode is {mode!r}; there is text, tools")
        self.mode = mode
        self.system_prompt = _TOOLS if mode == "tools" else _TEXT
        problems = TaskSet.generated(Problems(level, tuple(kinds)))
        names = None if mode == "tools" else ()
        super().__init__(tasks=problems if tasks is None else tasks, tools=names, **options)

    @staticmethod
    def read_row(row: dict[str, Any]) -> Task:
        """Make the task of a row that holds a problem; what is best is searched for."""
        columns = dict(row)
        metadata = columns.get("metadata")
        problem = metadata.get("problem") if isinstance(metadata, dict) else None
        try:
            kind = KINDS[problem["kind"]]  # type: ignore[index]
            asked = ask(problem)  # type: ignore[arg-type]
            if len(problem["jobs" if problem["kind"] == "schedule" else "places"]) > _LARGEST:  # type: ignore[index]
                raise ValueError(f"a problem has at most {_LARGEST} jobs or places")
            best, plan = kind.search(problem)
        except (KeyError, TypeError, IndexError, AttributeError) as error:
            raise ValueError(f"metadata.problem is not like those of generated tasks: {error!r}") from None
        if not {"prompt", "messages", "responses_create_params"} & {k for k, v in columns.items() if v is not None}:
            columns["prompt"] = asked
        task = task_from_row(columns)
        if not plan:
            raise ValueError("there is no plan at all for metadata.problem")
        answer = {"best": best, "plan": plan if reached(problem, best) else None}  # type: ignore[arg-type]
        return Task(id=task.id, prompt=task.prompt, answer=answer, metadata=task.metadata)

    @staticmethod
    def row_schema() -> dict[str, Any]:
        """The JSON Schema of a row that holds a problem."""
        problem = {"type": "object", "properties": {"kind": {"enum": [*KINDS]}}, "required": ["kind", "goal"]}
        metadata = {"type": "object", "properties": {"problem": problem}, "required": ["problem"]}
        return schema_of_row(
            "A problem of Planning",
            {"metadata": {**metadata, "description": "A problem like those of generated tasks."}},
            description="The prompt is made of the problem where there is none; the answer always is.",
            required=["metadata"],
        )

    def setup(self, task: Task) -> None:
        """Keep the problem."""
        self.problem: dict[str, Any] = task.metadata["problem"]

    @tool
    def check_plan(self, plan: list[Any]) -> str:
        """Check whether a plan keeps the rules, and say when it ends or what it is worth.

        Args:
            plan: The list that stands under "plan" in the reply.
        """
        read = plan_of(plan[:100], self.problem)
        if read is None or read.plan is None:
            raise ToolError("a step is not of the form that is asked for, or names what is not there")
        value, fault = KINDS[self.problem["kind"]].judge(self.problem, read.plan)
        if value is None:
            return f"It does not work: {fault}."
        return f"It works: all is done at hour {value}." if self.problem["kind"] == "schedule" else (
            f"It works: it is worth {value} points."
        )  # fmt: skip

    def verify(self, episode: Episode) -> Reward:
        """Judge the plan, or the claim that there is none."""
        best = episode.task.answer["best"]
        try:
            reply = read_reply(episode.final_text, self.problem)
        except Unreadable:
            return Reward(correct=0.0, metrics={"readable": 0.0, "kept": 0.0})
        kept = reply.plan is not None and KINDS[self.problem["kind"]].judge(self.problem, reply.plan)[0] is not None
        right = passes(self.problem, reply, best)
        return Reward(correct=float(right), metrics={"readable": 1.0, "kept": float(kept)})

    def oracle(self, task: Task) -> Iterator[Message | str]:
        """Check the best plan where there is a tool, and reply with it."""
        plan = task.answer["plan"]
        if plan is None:
            yield json.dumps({"impossible": True, "best": task.answer["best"]})
            return
        if self.mode == "tools":
            yield assistant("", tool_call("check_plan", plan=plan))
        yield json.dumps({"plan": plan})
