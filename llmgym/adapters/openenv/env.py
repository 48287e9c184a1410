"""OpenEnv servers, each episode a session over a WebSocket."""

from __future__ import annotations

import math
from collections.abc import Mapping
from inspect import cleandoc
from pathlib import Path
from typing import Any, Literal

from llmgym.adapters.openenv.actions import ActionForm, result_text, shown
from llmgym.adapters.openenv.session import Session, Step
from llmgym.adapters.openenv.tasks import SEEDS, ServerTasks
from llmgym.adapters.packages import expect_packages
from llmgym.adapters.schemas import checker, tool_name
from llmgym.adapters.wire import Server
from llmgym.env import Episode, ToolEnv
from llmgym.env.dispatch import InvalidArguments
from llmgym.errors import ConfigError, EnvironmentFailure, ToolError
from llmgym.messages import Message, user
from llmgym.rewards import Reward
from llmgym.tasks import Task, TaskSet, stable_hash
from llmgym.tools import Tool, ToolOptions
from llmgym.verifiers.text import without_thoughts

TESTED = "0.10"
_BROKEN = frozenset({"transport_error", "timeout"})  # errors of a tool that say so


class OpenEnv(ToolEnv):
    """An OpenEnv server.

    ## Description

    An OpenEnv server is an environment by itself: it makes the tasks, runs the actions and pays the rewards. Each
    episode is a session over a WebSocket, which ends with it.

    ## Actions

    What the server's schema of an action says: where that is one text, and not one of a few, a message is the action;
    else there is one tool, named as the action is, whose arguments it is. A server of tools lists them, and each is a
    tool. Names and arguments are checked against these schemas before anything is sent, and calls run one after
    another.

    ## Observations

    The observation that the server gives, without its metadata: its text where it is a text alone, else JSON.

    ## Rewards

    What the server pays, in the step that it pays it. Where the step that ends the episode has no reward, or no step
    had one, the episode is unscored: a reward that is no number is `null` on the wire. So it is where the server is
    gone, raises, or answers what is no answer.

    ## Episode End

    Terminates when the server says so, or, with tools, with a message without calls. Truncates after `max_turns`
    messages.

    ## Arguments

    - `url`: that of the server, such as "http://127.0.0.1:8000".
    - `tasks` (those that the server lists by its Task API, else seeds): a file of rows, with `prompt` and, for what the
      server's `reset` takes, `metadata` with `reset`, as in `{"prompt": "", "metadata": {"reset": {"seed": 3}}}`. A row
      without one has a seed of its own.
    - `instructions` (none): said before the server's first observation.
    - `act_by` (by the schema): "text" or "tool".
    - `headers` (none): sent when connecting.
    """

    max_turns = 16
    tasks = SEEDS

    def __init__(
        self,
        *,
        url: str,
        tasks: TaskSet | str | Path | None = None,
        instructions: str = "",
        act_by: Literal["text", "tool"] | None = None,
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> None:
        """Make the environment.

        Args:
            url: Of the server.
            tasks: Rows; by default those that the server lists, and where it lists none a task is a seed.
            instructions: Said first.
            act_by: How a policy acts, where that is not to be chosen by the schema of actions.
            headers: Sent when connecting.
            **options: Passed to `ToolEnv`.

        Raises:
            ConfigError: An argument makes no sense.
            MissingExtraError: The extra `openenv` is not installed.
        """
        expect_packages(type(self).__name__, "openenv", "aiohttp", "jsonschema")
        if act_by not in (None, "text", "tool"):
            raise ConfigError(f'act_by is "text", "tool" or None, not {act_by!r:.100}')
        self.server = Server("OpenEnv", TESTED, url, headers)
        self.instructions = instructions
        self.act_by: Literal["text", "tool"] | None = act_by
        self.form: ActionForm | None = None
        self.act: list[Tool] = []  # where an action is one
        self.session: Session | None = None
        if tasks is None and type(self).tasks is SEEDS:
            tasks = ServerTasks.of(self.server)
        super().__init__(tasks=tasks, **options)

    async def setup(self, task: Task) -> None:
        """Open a session and reset it."""
        self.session, self.ended, self.ending, self.paid = None, False, None, False
        if self.form is None:
            self.form = await self._ask_form()
            self.act = self._act(self.form)
        reset = task.metadata.get("reset") or {"seed": stable_hash(task.id) % 2**31}
        lists = self.form.form == "tools"
        begun = await Session.begin(self.server, reset, lists=lists, seconds=self.hook_timeout * 0.9)
        self.session, self.listed, self.first = begun.session, begun.tools, begun.step
        if self.first.done:
            raise self.server.fault("ended the episode with its reset", "invalid")

    async def teardown(self) -> None:
        """Close the session."""
        if self.session is not None:
            await self.session.close()

    def opening(self, task: Task) -> list[Message]:
        """The instructions, the task's messages, and the first observation."""
        said = [user(self.instructions)] if self.instructions else []
        said += super().opening(task) if task.prompt else []
        if (text := shown(self.first.observation)) or not said:
            said.append(user(text or "Begin."))
        return said

    def offered(self, task: Task) -> list[Tool]:
        """The server's tools, or its action as one."""
        return self.act or [
            self._tool(
                tool_name(each["name"]),
                each["name"],
                str(each.get("description", "")),
                each.get("input_schema") or {"type": "object"},
            )
            for each in self.listed
        ]

    async def respond(self, message: Message) -> str | None:
        """Take a message as the action, where actions are texts."""
        assert self.form is not None
        if self.form.form != "text":
            return None
        try:
            step = await self._step({self.form.name: without_thoughts(message["content"]).strip()}, self.hook_timeout)
        except ToolError as error:
            return f"Error: {error}"
        return shown(step.observation)

    def verify(self, episode: Episode) -> Reward:
        """The reward of the step that ended the episode; those before are paid."""
        return Reward(last_step=self.ending if self.ended else 0.0 if self.paid else None)

    # --- within -----------------------------------------------------------------------------------

    async def _ask_form(self) -> ActionForm:
        path = "/schema"
        found = self.server.read(path, await self.server.ask(path, seconds=self.hook_timeout))
        try:
            return ActionForm.of(found["action"], self.act_by)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise self.server.fault(f"has an action that is none ({error})", "invalid") from None

    def _act(self, form: ActionForm) -> list[Tool]:
        if form.form != "tool":
            return []
        return [self._tool(form.name, form.name, form.description, dict(form.parameters or {}))]

    def _tool(self, name: str, theirs: str, description: str, parameters: dict[str, Any]) -> Tool:
        check = checker(f"{self.server}: tool {theirs!r}", parameters)
        listed = self.form is not None and self.form.form == "tools"

        async def call(env: Any, /, **arguments: Any) -> str:
            if problem := check(arguments):
                raise InvalidArguments(f"invalid arguments for {name}: {problem}")
            if not listed:
                return shown((await self._step(arguments, self.tool_timeout)).observation)
            action = {"type": "call_tool", "tool_name": theirs, "arguments": arguments}
            return self._result((await self._step(action, self.tool_timeout)).observation)

        schema: Any = {"name": name, "description": cleandoc(description), "parameters": parameters}
        # A step that is not answered in time may have been taken: that fails the episode, where a tool's deadline would
        # be answered to the model.
        options = ToolOptions(serial=True, timeout=math.inf)
        return Tool.of_schema({"type": "function", "function": schema}, call, options)

    def _result(self, observation: Mapping[str, Any]) -> str:
        """What a tool gave, as the server's observation has it."""
        if isinstance(error := observation.get("error"), Mapping):
            text = str(error.get("message", ""))
            if error.get("error_type") in _BROKEN:
                raise self.server.fault(f"says of a tool: {text:.300}")
            raise ToolError(text)  # "tool_not_found" too: it is every error whose text has "not found" in it
        if "result" not in observation:
            return shown(observation)
        text = result_text(result := observation["result"])
        if isinstance(result, Mapping) and result.get("is_error"):
            raise ToolError(text)
        return text

    async def _step(self, action: Mapping[str, Any], seconds: float) -> Step:
        assert self.session is not None
        if self.ended:
            raise ToolError("the episode is over")
        try:
            step = await self.session.step(action, seconds=seconds)
        except EnvironmentFailure:
            self.form = None  # another server may come in its place
            raise
        if step.reward is not None and not self.paid:
            self.paid = True
        if step.done:
            self.ended, self.ending = True, step.reward
            self.finish()
        elif step.reward:
            self.reward(step.reward)
        return step
