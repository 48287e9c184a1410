"""The environment: a Gymnasium environment whose actions are assistant messages.

`areset` and `astep` are the core, one coroutine per episode. `reset` and `step` run the same coroutines for synchronous
callers: at once where nothing in the class can suspend, in a background event loop where something can.
"""

from __future__ import annotations

from collections.abc import Awaitable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import gymnasium

from llmgym.chat import ChatPolicy, ModelCall, Role
from llmgym.concurrency import drive, drive_in_background
from llmgym.env import contract
from llmgym.env.episode import Episode, Report
from llmgym.env.lifecycle import Lifecycle, closing
from llmgym.env.reading import read_tasks
from llmgym.errors import ConfigError
from llmgym.messages import Message, ToolCall, format_message, system
from llmgym.rewards import Reward
from llmgym.spaces import AssistantSpace, MessagesSpace
from llmgym.tasks import Task, TaskSet, row_schema, task_from_row
from llmgym.tools import Tool, tools_of

if TYPE_CHECKING:
    from llmgym.sandbox import Sandbox

Observation = tuple[Message, ...]
StepResult = tuple[Observation, float, bool, bool, dict[str, Any]]
Solution = Sequence[Message | str]


class ToolEnv(gymnasium.Env[Observation, Any]):
    """Base of all environments: subclass it, mark tools with `@tool`, write `verify` and `oracle`.

    An instance serves one episode after another: `setup` makes the state of each anew, on `self`, and `teardown` frees
    it. Hooks may be plain or `async` methods. `llmgym.env.boundary` says what an exception in them means.

    Attributes:
        tasks: Where tasks are drawn from.
        tools: The tools by name, from the methods marked `@tool`.
        roles: Models that the environment needs, such as a judge; `self.models["judge"]` chats with it.
        sandbox: Where code of the model runs, where there is any: `Sandbox(least="landlock")` in the class. Where no
            level is there that will do, the environment cannot be made.
        system_prompt: First message of every episode, where set.
        max_turns: Assistant messages before an episode is truncated.
        tool_timeout: Seconds for one tool call.
        hook_timeout: Seconds for one call of setup, respond, verify or teardown.
        verify_in: "thread" takes a `verify` that blocks off the event loop, "process" one that computes; the process is
            killed at its deadline, and gives back only what `verify` returns. It is no sandbox.
        verify_from: "transcript" where `verify` looks at its episode alone, and nothing but it is paid for: stored
            episodes are then scored again without running their tools; "replay" where it needs what these did.
        transport: Arguments that say where something is, and not what: a run goes on with others in their place.
        identity: What decides results beside the arguments, as JSON data: a run goes on with the same alone.
        oracle_kind: "optimal" where the oracle earns the same, the most, on every task; "reference" where it plays well
            and no more, as in a game of chance.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["ansi", "human"], "render_fps": 4}  # type: ignore[misc]

    tasks: TaskSet
    tools: Mapping[str, Tool] = {}
    roles: Sequence[str] = ()
    sandbox: Sandbox | None = None
    system_prompt: str | None = None
    max_turns: int = 16
    tool_timeout: float = 30.0
    hook_timeout: float = 60.0
    verify_in: Literal["loop", "thread", "process"] = "loop"
    verify_from: Literal["replay", "transcript"] = "replay"
    transport: Collection[str] = ()
    identity: Mapping[str, Any] = {}
    oracle_kind: Literal["optimal", "reference"] = "optimal"

    __traits: ClassVar[contract.Traits]
    __lifecycle: ClassVar[type[Lifecycle]] = Lifecycle
    __life: Lifecycle

    def __init_subclass__(cls, lifecycle: type[Lifecycle] | None = None, **kwargs: Any) -> None:
        """Collect the tools, refuse names that are taken, and find out whether anything in the class can suspend.

        Args:
            lifecycle: What moves episodes that do not happen in this process; not for authors of environments.
            **kwargs: Of other base classes.
        """
        super().__init_subclass__(**kwargs)
        if lifecycle is not None:
            cls.__lifecycle = lifecycle
        contract.check_no_tools(cls)
        cls.tools = tools_of(cls)
        if "aclose" in vars(cls):
            cls.aclose = closing(vars(cls)["aclose"])  # type: ignore[method-assign]
        contract.check_class(cls, ToolEnv)
        cls.__traits = contract.Traits.of(cls, ToolEnv)

    def __new__(cls, *args: Any, **kwargs: Any) -> ToolEnv:
        """Make the private state, so that it is there whatever a constructor does."""
        env = super().__new__(cls)
        object.__setattr__(env, "_ToolEnv__life", cls.__lifecycle(env, cls.__traits))
        return env

    def __init__(
        self,
        *,
        render_mode: str | None = None,
        split: str = "train",
        tasks: TaskSet | str | Path | None = None,
        models: Mapping[str, ChatPolicy | str] | None = None,
        tools: Collection[str] | None = None,
        max_turns: int | None = None,
        tool_timeout: float | None = None,
        hook_timeout: float | None = None,
    ) -> None:
        """Make the environment.

        Args:
            render_mode: "ansi" (`render` gives the transcript), "human" (messages are printed as they come), or None.
            split: Split that `reset` draws tasks from.
            tasks: Other tasks: a set, or the path of a file, as in `llmgym.tasks.file_source`.
            models: Who plays each of the `roles`: a chat policy, or its short form such as "openai:gpt-5".
            tools: Names of the tools that are offered; all by default. For constructors of subclasses.
            max_turns: Assistant messages before an episode is truncated.
            tool_timeout: Seconds for one tool call.
            hook_timeout: Seconds for one call of setup, respond, verify or teardown.

        Raises:
            ConfigError: An argument makes no sense, or there is no level of the `sandbox` that will do.
        """
        if self.sandbox is not None:
            self.sandbox.check()
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ConfigError(f"render_mode must be one of {self.metadata['render_modes']}; it is {render_mode!r}")
        self.render_mode, self.split = render_mode, split
        limits = {"max_turns": max_turns, "tool_timeout": tool_timeout, "hook_timeout": hook_timeout}
        for name, value in limits.items():
            if value is not None:
                contract.check_setting(name, value)
                setattr(self, name, value)
        if tools is not None:
            self.tools = {name: tool for name, tool in type(self).tools.items() if name in tools}
        life = self.__life
        ToolEnv.draw_from(self, read_tasks(self, tasks))
        self.cast_roles(models or {})
        self.observation_space = MessagesSpace()
        self.action_space = AssistantSpace([tool.schema for tool in self.tools.values()])
        life.begin(self.action_space.tools)

    def __setattr__(self, name: str, value: Any) -> None:
        """Refuse names that are ToolEnv's own: they would be overwritten, or be taken for what they are not."""
        if name in contract.OWN and value is getattr(self, name):
            return  # `self.metrics |= {...}`
        contract.check_name(self, name)
        if name in contract.FIXED and self.__life.made:
            contract.check_fixed(self, name, value)
        object.__setattr__(self, name, value)

    # --- what an environment defines --------------------------------------------------------------

    def setup(self, task: Task) -> Awaitable[None] | None:
        """Make the state of a new episode, on `self`.

        Further parameters are reset options of the environment's own: `reset(options={"level": 3})` for
        `def setup(self, task, level=1)`.
        """

    def respond(self, message: Message) -> Any:
        """Answer a message that calls no tool: text, messages, or None to end the episode.

        An environment without it ends its episodes at such a message. May be `async`.
        """

    def verify(self, episode: Episode) -> Any:
        """Score an ended episode: a `Reward`, a number, or None for unscored. May be `async`."""
        raise NotImplementedError(f"{type(self).__name__} needs a verify method")

    def group_verify(self, episodes: Sequence[Episode | None]) -> Any:
        """Score the repeats of a task, None where unscored: for each a `Reward` to add to its own. May be `async`."""
        raise NotImplementedError

    def teardown(self) -> Awaitable[None] | None:
        """Free what `setup` opened; runs once for each episode, however it ended, where `setup` failed too."""

    def aclose(self) -> Awaitable[None] | None:
        """Free what the constructor opened; runs once, after the last teardown. May be plain."""
        return self.__life.shut(None)

    def oracle(self, task: Task) -> Iterator[Message | str] | Solution:
        """The assistant messages of a correct solution, for the task of the running episode.

        A generator may look at `self.transcript` between its messages.
        """
        raise NotImplementedError(f"{type(self).__name__} needs an oracle method")

    @staticmethod
    def read_row(row: dict[str, Any]) -> Task:
        """Make the task of a row of a `tasks=` file; for environments whose rows have columns of their own.

        Raises:
            KeyError, ValueError, TypeError: The row is malformed; the text is shown with file and line.
        """
        return task_from_row(row)

    @staticmethod
    def row_schema() -> dict[str, Any]:
        """The JSON Schema of the rows that `read_row` takes; a class that defines the one defines the other.

        Every row that can be read fits it. What a schema cannot say, such as that an answer is among the options, is
        told in its descriptions.
        """
        return row_schema()

    def opening(self, task: Task) -> list[Message]:
        """The first messages of an episode: those of the task, after the system prompt where they have none."""
        messages = task.messages
        own = messages[:1] and messages[0]["role"] == "system"
        return [system(self.system_prompt), *messages] if self.system_prompt and not own else messages

    def offered(self, task: Task) -> Iterable[Tool | str] | Awaitable[Iterable[Tool | str]]:
        """The tools of an episode, where they differ by task: names of `tools`, or tools made by `Tool.of_schema`.

        It is `async` where tools made here are.
        """
        return self.tools.values()

    # --- what an environment calls ----------------------------------------------------------------

    def reward(self, value: float) -> None:
        """Add to the reward of the running step."""
        self.__life.expect_episode().earn(value)

    def finish(self) -> None:
        """End the episode with the running step."""
        self.__life.expect_episode().finish()

    def count(self, metric: str, amount: float = 1.0) -> None:
        """Add to a metric of the episode."""
        self.__life.expect_episode().count(metric, amount)

    @property
    def models(self) -> Mapping[str, Role]:
        """The models in this environment's roles: `await self.models["judge"].chat([user("...")])`."""
        return self.__life.models

    @property
    def task(self) -> Task | None:
        """The task of the episode."""
        running = self.__life.running
        return None if running is None else running.task

    @property
    def transcript(self) -> list[Message]:
        """The messages of the episode so far."""
        running = self.__life.running
        return [] if running is None else running.transcript

    @property
    def metrics(self) -> dict[str, float]:
        """The metrics of the episode so far."""
        running = self.__life.running
        return {} if running is None else running.metrics

    # --- Gymnasium --------------------------------------------------------------------------------

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode; see `areset`."""
        return self.__run(ToolEnv.areset(self, seed=seed, options=options))

    def step(self, action: Any) -> StepResult:
        """Take one assistant message; see `astep`."""
        return self.__run(ToolEnv.astep(self, action))

    def render(self) -> str | None:  # type: ignore[override]
        """The transcript so far in the mode "ansi", else None."""
        return "\n".join(map(format_message, self.transcript)) if self.render_mode == "ansi" else None

    def close(self) -> None:
        """End the episode and free the instance; see `aclose`."""
        self.__run(self.aclose())

    # --- the async core ---------------------------------------------------------------------------

    @property
    def suspends(self) -> bool:
        """Whether `areset` and `astep` may need an event loop."""
        return self.__traits.suspends

    @property
    def verifies_groups(self) -> bool:
        """Whether it scores the repeats of a task beside each other, by `group_verify`."""
        return self.__life.verifies_groups

    @property
    def scope(self) -> str:
        """Name that task draws are hashed with: the registered id, else the class."""
        return self.__life.scope

    def cast_roles(self, models: Mapping[str, ChatPolicy | str]) -> None:
        """Say which models play the `roles`.

        Args:
            models: Chat policies, or their short forms, by role.

        Raises:
            ConfigError: There is no such role.
        """
        contract.check_cast(type(self).__name__, self.roles, models)
        life = self.__life
        life.models |= {name: Role(name, model, life.note_call) for name, model in models.items()}

    def draw_from(self, tasks: TaskSet) -> None:
        """Draw tasks from another set from now on."""
        object.__setattr__(self, "tasks", tasks)
        self.__life.tasks = tasks

    @property
    def spoiled(self) -> bool:
        """Whether work of an earlier call still runs past its deadline: the instance must not be used meanwhile."""
        return self.__life.spoiled

    async def areset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode; one that runs is torn down, unverified.

        Args:
            seed: Starts a stream of tasks and random numbers; without it the stream goes on.
            options: `task_id` names the task, or `task` gives it, instead of drawing one; others go to `setup`.

        Returns:
            The opening messages; `info` with `task_id` and the schemas of the `tools`.

        Raises:
            TaskError: The task, the split or an option is unknown.
            ConfigError: A role has no model.
            EnvironmentFailure: `setup`, `offered` or `opening` failed, or earlier work still runs on the instance.
        """
        return await self.__life.reset(seed, dict(options or {}))

    async def astep(self, action: Any) -> StepResult:
        """Take one assistant message: run its tool calls, or answer it, or end the episode.

        Args:
            action: An assistant message, or text, whose `<tool_call>` blocks are parsed.

        Returns:
            The messages that are new, the reward of this step (the verifier's with the last one; NaN where it left the
            episode unscored), `terminated`, `truncated`, and `info` with `task_id` and, at the end, `reward_parts`,
            `reward_weights`, `metrics` and `tool_errors`.

        Raises:
            ValueError: The action is no assistant message.
            ResetNeeded: No episode is running.
            EnvironmentFailure: What the environment runs failed; the episode is over, and torn down.
        """
        return await self.__life.step(action)

    async def acall(self, call: ToolCall, *, same: bool) -> StepResult:
        """Run one call of a message whose calls come one by one, from a trainer that runs them itself.

        Takes and gives what `astep` does; only the environment ends the episode, and no limit of turns.

        Args:
            call: The call.
            same: Whether it belongs to the message of the last call; else it begins another one, which is a turn.
        """
        return await self.__life.call(call, same)

    async def aend(self, action: Any = None, *, verify: bool = True) -> StepResult:
        """End the episode at a limit that the environment does not know of, such as one on tokens.

        Takes and gives what `astep` does; `truncated` is true.

        Args:
            action: A message that was cut off, if any: it is recorded and its calls do not run.
            verify: Whether to score what is there; else the reward is NaN.
        """
        return await self.__life.end(action, verify)

    async def averify(self, episode: Episode) -> Reward:
        """Score an episode that has ended elsewhere, where `verify_from` is "transcript"; raises as `astep` does."""
        return await self.__life.verify(episode)

    async def averify_group(self, episodes: Sequence[Episode | None]) -> tuple[list[Reward | None], list[ModelCall]]:
        """Call `group_verify`, and give the calls of models that it took; raises as `astep` does."""
        return await self.__life.verify_group(episodes)

    def report(self) -> Report:
        """What is known of the episode besides what the steps have told."""
        return self.__life.report()

    def __run(self, coroutine: Any) -> Any:
        return drive_in_background(coroutine) if self.suspends else drive(coroutine)


contract.take_names(ToolEnv)
