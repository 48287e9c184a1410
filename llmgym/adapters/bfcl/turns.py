"""BFCL's wishes of several turns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from llmgym.adapters.bfcl.files import answers, lines
from llmgym.adapters.bfcl.services import Call, World, contains, schemas
from llmgym.adapters.packages import expect_packages, package_tasks
from llmgym.adapters.splitting import split_of
from llmgym.env import Episode, ToolEnv
from llmgym.errors import ConfigError, ToolError
from llmgym.messages import Message, assistant, tool_call
from llmgym.rewards import Reward
from llmgym.tasks import RowTasks, Task, TaskSet
from llmgym.tools import Tool

CATEGORIES = ("base", "miss_param", "long_context")
_ERROR = "Error during execution: "


@dataclass(frozen=True, slots=True)
class _Call:
    """What a tool does: the service's function, whose answer is noted."""

    name: str

    def __call__(self, env: BFCLTurns, /, **arguments: Any) -> str:
        answer = env.world.call(Call(self.name, arguments))
        env.answers.append(answer)
        if answer.startswith(_ERROR):
            raise ToolError(answer.removeprefix(_ERROR))
        return answer


def _rows(category: str) -> Iterator[dict[str, Any]]:
    name = f"multi_turn_{category}"
    for place, line in enumerate(lines(f"BFCL_v4_{name}.json")):
        yield {
            "id": line["id"],
            "messages": line["question"][0],
            "answer": answers(name)[line["id"]],
            "turns": line["question"][1:],
            "services": line["involved_classes"],
            "config": line["initial_config"],
            "without": line.get("excluded_function", []),
            "split": split_of("bfcl", place),  # the categories tell the same talks in other ways
        }


@cache
def _tasks(category: str) -> RowTasks:
    return package_tasks(partial(_rows, category), f"bfcl/multi_turn_{category}")


class BFCLTurns(ToolEnv):
    """Grant wishes that a user has one after another, by the functions of simulated services.

    ## Description

    The tasks of several turns of BFCL v4, over its eight services (files, mathematics, messages, posts, tickets,
    trading, travel, a vehicle), 200 in each category. `miss_func` is left out: there a function comes only with a later
    turn, and the tools of an episode here are those that it begins with.

    ## Actions

    Calls of the services' functions, and a message without calls, which ends the turn.

    ## Observations

    The wish; what the functions answer; after each turn the next wish.

    ## Rewards

    The package's: 1 where after each turn the services are in the state that the gold calls bring about, and the
    answers to the calls have those to the gold calls; a turn that wants calls has one, and a turn that wants none,
    since something is missing that only the user knows, has none. Else 0.

    Metrics: `turns_right` (the share of the turns).

    ## Episode End

    Terminates with the last turn. Truncates after `max_turns` messages.

    ## Arguments

    - `category` ("base"): "base", "miss_param" or "long_context".

    The package has no splits; an eighth of the tasks are in the split "test".

    ## Registered Variants

    - `llmgym/BFCLTurns-v0`: base.
    - `llmgym/BFCLTurns-missparam-v0`: some wish lacks what the user tells a turn later.
    - `llmgym/BFCLTurns-longcontext-v0`: services that answer with much that is of no use.

    ## Version History

    - v0: bfcl-eval 2026.3.23.
    """

    max_turns = 60

    def __init__(self, *, category: str = "base", tasks: TaskSet | str | Path | None = None, **options: Any) -> None:
        """Make the environment.

        Args:
            category: Which of the package's files.
            tasks: Other tasks.
            **options: Passed to `ToolEnv`.

        Raises:
            ConfigError: There is no such category.
            MissingExtraError: The package `bfcl-eval` is not installed.
        """
        expect_packages("BFCLTurns", "bfcl", "bfcl_eval")
        if category not in CATEGORIES:
            raise ConfigError(f"BFCL has no category {category!r} of several turns; there is {', '.join(CATEGORIES)}")
        self.category = category
        super().__init__(tasks=_tasks(category) if tasks is None else tasks, **options)

    def offered(self, task: Task) -> list[Tool]:
        """The functions of the task's services, but for those that it leaves out."""
        found = schemas(tuple(task.metadata["services"]))
        kept = [schema for schema in found if schema["function"]["name"] not in task.metadata["without"]]
        return [Tool.of_schema(schema, _Call(schema["function"]["name"])) for schema in kept]

    def setup(self, task: Task) -> None:
        """Load the services twice: for the policy, and for the gold calls."""
        config, long = task.metadata["config"], self.category == "long_context"
        self.world, self.gold_world = (World(task.metadata["services"], config, long) for _ in range(2))
        self.turn = self.called = self.right = 0
        self.answers: list[str] = []

    def respond(self, message: Message) -> list[Message] | None:
        """Compare the turn with its gold calls, and tell the next wish."""
        assert self.task is not None
        self._end_turn(self.task)
        later = self.task.metadata["turns"]
        return list(later[self.turn - 1]) if self.turn <= len(later) else None

    def _end_turn(self, task: Task) -> None:
        gold, called = task.answer[self.turn], self.called
        self.called = int(self.metrics["tool_calls"])  # mistaken ones too
        calls = self.called - called
        wanted = [self.gold_world.call(self.gold_world.read(text)) for text in gold]
        if not gold:
            self.right += calls == 0
        else:
            same = self.world.state() == self.gold_world.state()
            self.right += calls > 0 and same and contains(self.answers, wanted)
        self.turn += 1

    def verify(self, episode: Episode) -> Reward:
        """Whether all turns were right."""
        share = self.right / len(episode.task.answer)
        return Reward(correct=float(share == 1), metrics={"turns_right": share})

    def oracle(self, task: Task) -> Iterator[Message | str]:
        """Make the gold calls of each turn."""
        for gold in task.answer:
            for text in gold:
                name, arguments = self.world.read(text)
                yield assistant("", tool_call(name, **arguments))
            yield "Done." if gold else "Something is missing: please tell me what I need to know."
