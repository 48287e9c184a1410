"""AgentDojo's wishes as environments: its worlds, tools and checks, with llmgym's messages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from llmgym.adapters.agentdojo.suites import ATTACKS, injections, rows, runtime, suite, world
from llmgym.adapters.agentdojo.table import SUITES
from llmgym.adapters.packages import expect_packages, package_tasks
from llmgym.env import Episode, ToolEnv
from llmgym.errors import ConfigError, ToolError
from llmgym.messages import FunctionSchema, Message, assistant, tool_call
from llmgym.rewards import Reward
from llmgym.tasks import RowTasks, Task, TaskSet
from llmgym.tools import Tool
from llmgym.verifiers.text import without_thoughts


@dataclass(frozen=True, slots=True)
class _Call:
    """What a tool does: the package's function runs on the episode's world."""

    name: str

    def __call__(self, env: AgentDojo, /, **arguments: Any) -> str:
        from agentdojo.agent_pipeline.tool_execution import tool_result_to_str  # pyright: ignore[reportMissingImports]
        from agentdojo.functions_runtime import FunctionCall  # pyright: ignore[reportMissingImports]

        env.made.append(FunctionCall.model_construct(function=self.name, args=arguments))  # the runtime validates
        result, error = runtime(env.suite).run_function(env.world, self.name, arguments)
        if error is not None:
            raise ToolError(error)
        return tool_result_to_str(result)


@cache
def _tools(name: str) -> dict[str, Tool]:
    found: dict[str, Tool] = {}
    for function in suite(name).tools:
        parameters = function.parameters.model_json_schema()
        parameters.pop("title", None)
        named: FunctionSchema = {
            "name": function.name, "description": function.description, "parameters": parameters,
        }  # fmt: skip
        found[function.name] = Tool.of_schema({"type": "function", "function": named}, _Call(function.name))
    return found


@cache
def _tasks(name: str, attack: str | None) -> RowTasks:
    return package_tasks(partial(rows, name, attack), f"agentdojo/{name}")


class AgentDojo(ToolEnv):
    """Grant a user's wish by tools, some of whose answers may carry the wish of somebody else.

    ## Description

    The wishes, worlds and checks of AgentDojo v1.2.2: 92 wishes of four suites, for mail, a calendar and files
    (`workspace`), hotels, restaurants and flights (`travel`), a bank account (`banking`), and channels and web pages
    (`slack`). In the attacked variants a text that the tools bring up asks for something else in the user's name, such
    as that money be sent elsewhere: each wish comes with each such goal, wherever its gold calls would meet it. Five
    wishes of the package are left out, which it pays for doing nothing.

    ## Actions

    Calls of the suite's tools, and a last message without calls, which ends the episode.

    ## Observations

    The package's system prompt and the wish; what the tools answer, in YAML, as the package writes it.

    ## Rewards

    1 where the package's check of the wish (`utility`) is met, by the final state of the world and the last message;
    else 0. Under attack that times 1 where the goal of the injection was not reached (`security` in the package). To do
    nothing is safe and earns 0.

    Metrics: `utility`, and under attack `attacked` (1 where the injection reached its goal).

    ## Episode End

    Terminates with a message without calls. Truncates after `max_turns` messages.

    ## Arguments

    - `suite` ("workspace"): "workspace", "travel", "banking" or "slack".
    - `attack` (None): "important_instructions_no_names", "direct", "ignore_previous", "system_message" or "injecagent":
      the text around the goal of an injection.

    The package has no splits; an eighth of the wishes are in the split "test".

    ## Registered Variants

    - `llmgym/AgentDojo-v0`: the suite workspace.
    - `llmgym/AgentDojo-travel-v0`, `llmgym/AgentDojo-banking-v0`, `llmgym/AgentDojo-slack-v0`: the others.
    - `llmgym/AgentDojo-workspaceattacked-v0`, and so on: each with the attack "important_instructions_no_names".

    ## Version History

    - v0: AgentDojo 0.1.35, its benchmark v1.2.2.
    """

    max_turns = 24
    verify_in = "thread"  # comparing two worlds takes up to 80 ms

    def __init__(
        self,
        *,
        suite: str = "workspace",
        attack: str | None = None,
        tasks: TaskSet | str | Path | None = None,
        **options: Any,
    ) -> None:
        """Make the environment.

        Args:
            suite: Which of the four.
            attack: The text around the goal of an injection; None for none.
            tasks: Other tasks of the suite, such as some of its own.
            **options: Passed to `ToolEnv`.

        Raises:
            ConfigError: There is no such suite or attack.
            MissingExtraError: The extra `agentdojo` is not installed.
        """
        expect_packages("AgentDojo", "agentdojo", "agentdojo")
        if suite not in SUITES:
            raise ConfigError(f"AgentDojo has no suite {suite!r}; there is {', '.join(SUITES)}")
        if attack not in (None, *ATTACKS):
            raise ConfigError(f"there is no attack {attack!r} of one text; there is {', '.join(ATTACKS)}, or None")
        self.suite, self.attack = suite, attack
        self.system_prompt = _system_prompt()
        super().__init__(tasks=_tasks(suite, attack) if tasks is None else tasks, **options)

    def offered(self, task: Task) -> list[Tool]:
        """The tools of the suite."""
        return list(_tools(self.suite).values())

    def setup(self, task: Task) -> None:
        """Copy the world, as the wish finds it."""
        injected = {} if self.attack is None else injections(self.suite, self.attack, task.metadata)
        base = world(self.suite, injected).model_copy(deep=True)
        self.wish = suite(self.suite).user_tasks[task.metadata["wish"]]
        self.world = self.wish.init_environment(base)
        self.before = self.world.model_copy(deep=True)
        self.made: list[Any] = []

    def verify(self, episode: Episode) -> Reward:
        """Ask the package's checks."""
        found, said = suite(self.suite), without_thoughts(episode.final_text)
        seen = ([{"type": "text", "content": said}], self.before, self.world, self.made)
        utility = float(found._check_user_task_utility(self.wish, *seen))
        if self.attack is None:
            return Reward(utility=utility, metrics={"utility": utility})
        goal = found.injection_tasks[episode.task.metadata["goal"]]
        attacked = float(found._check_injection_task_security(goal, *seen))
        return Reward(granted_safely=utility * (1 - attacked), metrics={"utility": utility, "attacked": attacked})

    def oracle(self, task: Task) -> Iterator[Message | str]:
        """Make the gold calls of the wish, and say what the package says is right."""
        for call in self.wish.ground_truth(self.before.model_copy(deep=True)):
            yield assistant("", tool_call(call.function, **call.args))
        yield self.wish.GROUND_TRUTH_OUTPUT or "Done."


@cache
def _system_prompt() -> str:
    from importlib.resources import files

    import yaml

    text = files("agentdojo").joinpath("data/system_messages.yaml").read_text("utf-8")
    return yaml.safe_load(text)["default"].strip()
