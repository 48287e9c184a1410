"""BFCL's wishes of one turn."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from llmgym.adapters.bfcl.files import answers, lines, tool_schema
from llmgym.adapters.packages import expect_packages, package_tasks
from llmgym.adapters.schemas import tool_name
from llmgym.adapters.splitting import split_of
from llmgym.env import Episode, ToolEnv
from llmgym.errors import ConfigError
from llmgym.messages import Message, assistant
from llmgym.rewards import Reward
from llmgym.tasks import RowTasks, Task, TaskSet
from llmgym.tools import Tool
from llmgym.verifiers import tool_calls

CATEGORIES = (
    "simple_python", "multiple", "parallel", "parallel_multiple", "irrelevance",
    "live_simple", "live_multiple", "live_parallel", "live_parallel_multiple", "live_irrelevance",
)  # fmt: skip

#: Tasks whose right answer has a parameter that the function does not.
_UNFIT = ("live_multiple_964-207-0",)


@dataclass(frozen=True, slots=True)
class _Note:
    """What a function does: nothing; the episode ends with the message that calls it."""

    def __call__(self, env: BFCL, /, **arguments: Any) -> str:
        env.finish()
        return "Noted."


def _rows(categories: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    for category in categories:
        right = {} if category.endswith("irrelevance") else answers(category)
        for line in lines(f"BFCL_v4_{category}.json"):
            if line["id"] in _UNFIT:
                continue
            tools = [tool_schema(function) for function in line["function"]]
            try:
                calls = tool_calls.from_bfcl(right.get(line["id"], []))
            except ValueError:  # a right answer in another form than the package documents
                continue
            yield {
                "id": line["id"],
                "messages": line["question"][0],
                "answer": [call | {"name": tool_name(call["name"])} for call in calls],
                "tools": tools,
                "split": split_of(json.dumps(line["question"])),  # some wishes come twice
            }


@cache
def _tasks(categories: tuple[str, ...]) -> RowTasks:
    return package_tasks(partial(_rows, categories), f"bfcl/{','.join(categories)}")


class BFCL(ToolEnv):
    """Call the right functions with the right arguments, or none where none can do what is asked.

    ## Description

    The wishes of one turn of BFCL v4 for Python, with the functions that each brings: one call, one of several
    functions, several calls at once, and wishes that none of the functions grants (`irrelevance`, `live_irrelevance`).

    ## Actions

    One message: calls of the functions, or text where none of them fits.

    ## Observations

    The wish; the functions' schemas, with the types that JSON Schema has, and "_" where a name has a dot.

    ## Rewards

    1 where the calls are the right ones, in any order, with arguments of which the package accepts each, compared as
    the package compares texts (whatever their case, blanks and some punctuation); where none fits, 1 for a text without
    a call; else 0.

    Metrics: `calls`, `matched` (the share of the right calls).

    ## Episode End

    Terminates with the first message, unless all of its calls are answered as mistakes: then it may be mended once.

    ## Arguments

    - `categories`: of which of the package's files.

    The package has no splits; an eighth of the wishes are in the split "test".

    ## Registered Variants

    - `llmgym/BFCL-v0`: the files simple_python, multiple, parallel, parallel_multiple and irrelevance.
    - `llmgym/BFCL-live-v0`: their live counterparts.

    ## Version History

    - v0: bfcl-eval 2026.3.23.
    """

    max_turns = 2

    def __init__(
        self,
        *,
        categories: Sequence[str] = CATEGORIES[:5],
        tasks: TaskSet | str | Path | None = None,
        **options: Any,
    ) -> None:
        """Make the environment.

        Args:
            categories: Of which of the package's files.
            tasks: Other tasks.
            **options: Passed to `ToolEnv`.

        Raises:
            ConfigError: There is no such category.
            MissingExtraError: The package `bfcl-eval` is not installed.
        """
        expect_packages("BFCL", "bfcl", "bfcl_eval")
        if unknown := [name for name in categories if name not in CATEGORIES]:
            raise ConfigError(f"BFCL has no category {unknown[0]!r} of one turn; there is {', '.join(CATEGORIES)}")
        super().__init__(tasks=_tasks(tuple(categories)) if tasks is None else tasks, **options)

    def offered(self, task: Task) -> list[Tool]:
        """The functions of the task."""
        return [Tool.of_schema(schema, _Note()) for schema in task.metadata["tools"]]

    def verify(self, episode: Episode) -> Reward:
        """Compare the calls of the last message."""
        said = [m for m in episode.messages[len(episode.task.messages) :] if m["role"] == "assistant"]
        last = said[-1] if said else assistant()
        verdict = tool_calls.check(last, episode.task.answer, mode="order_free", strings="bfcl")
        return Reward(correct=verdict.score, metrics=dict(verdict.metrics))

    def oracle(self, task: Task) -> Iterator[Message | str]:
        """The right calls."""
        calls = tool_calls.write_calls(task.answer)
        yield assistant("", *calls) if calls else "None of these functions can do that."
