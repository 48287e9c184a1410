"""Tasksets of verifiers 0.4: their tasks, tools and rewards, with llmgym in the place of harness and model."""

# The package is in the other environment.
# pyright: reportMissingImports=false

from __future__ import annotations

import asyncio
import functools
import inspect
import itertools
import json
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from typing import Any

from inside.faults import Fault, causes
from inside.texts import as_message, as_text, flat_calls, number

_MOST = 10_000  # tasks of a taskset without end
_state: ContextVar[Any] = ContextVar("state")


class V1Taskset:
    """A taskset of `verifiers.v1`."""

    def __init__(self, name: str, args: dict[str, Any]) -> None:
        """Load it."""
        from verifiers.v1.envs.single_agent import SingleAgentEnv
        from verifiers.v1.utils.loaders import environment_class, load_taskset, taskset_config_type

        try:
            config = taskset_config_type(name).model_validate({**args, "id": name})
        except ModuleNotFoundError as error:
            if any(isinstance(cause, ModuleNotFoundError) for cause in list(causes(error))[1:]):
                raise Fault("unknown", str(list(causes(error))[-1])) from error
            raise
        if environment_class(name) is not SingleAgentEnv:
            raise Fault("unfit", "it comes with an Env of its own, which plays with agents of the package")
        taskset = load_taskset(config)
        self._tasks = list(itertools.islice(taskset, None if taskset.bounded else _MOST))
        self._shared = taskset.toolsets(taskset.config)
        self._setup: asyncio.Future[Any] | None = None
        for task in self._tasks[:1]:
            _expect_fitting(task)

    def describe(self) -> dict[str, Any]:
        """How many tasks there are."""
        return {"train": len(self._tasks)}

    def row(self, part: str, place: int) -> dict[str, Any]:
        """A task."""
        data = self._tasks[place].data
        rest = data.model_dump(mode="json", exclude_defaults=True, exclude={"prompt", "system_prompt", "idx"})
        answer = rest.pop("answer", None)
        return {"prompt": _opening(data), "answer": answer, "metadata": rest}

    def begin(self, part: str, place: int) -> Play:
        """Begin an episode."""
        return Play(self._tasks[place], self)

    async def shared(self) -> list[Any]:
        """The tool servers of all episodes."""
        if self._setup is None:
            self._setup = asyncio.gather(*(server.setup() for server in self._shared))
        await asyncio.shield(self._setup)
        return self._shared


class Play:
    """An episode."""

    def __init__(self, task: Any, taskset: V1Taskset) -> None:
        """Make its trace."""
        from verifiers.v1.configs.agent import AgentConfig
        from verifiers.v1.state import state_cls
        from verifiers.v1.trace import AgentInfo, Trace, TraceTask

        self._task, self._taskset = task, taskset
        self._trace = Trace(
            task=TraceTask(type=type(task).__name__, data=task.data, key=task.key, hash=task.hash),
            agent=AgentInfo(config=AgentConfig()),
            state=state_cls(type(task))(),
        )
        self._calls: dict[str, Callable[[dict[str, Any]], Any]] = {}
        self._own: list[Any] = []
        self._over = False

    async def open(self) -> dict[str, Any]:
        """What the task says, and its tools."""
        tools: list[dict[str, Any]] = []
        self._own = self._task.toolsets(self._task.config)
        for server in self._own:
            await server.setup()
            await server.setup_task(self._task.data)
        for server in [*await self._taskset.shared(), *self._own]:
            tools += await self._serve(server)
        messages = _opening(self._task.data)
        self._note(messages)
        return {"messages": messages, "over": False, "tools": tools}

    async def say(self, messages: list[dict[str, Any]]) -> dict[str, Any]:
        """Run the calls of the model's messages."""
        answers: list[dict[str, Any]] = []
        for message in messages:
            if self._over:
                break
            self._note([message], sampled=True)
            calls = flat_calls(message)
            answers = [await self._call(call) for call in calls]
            self._note(answers)
            self._over = not calls or await self._stops()
        return {"messages": answers, "over": self._over}

    async def score(self) -> dict[str, Any]:
        """Score the trace."""
        trace = self._trace
        trace.is_completed = trace.ok = True
        await self._task.score(trace, None)
        parts = {
            name: [None if reward is None else number(reward.score), 1.0 if reward is None else reward.weight]
            for name, reward in trace.rewards.items()
        }
        if not parts:
            raise Fault("environment", "the task has no reward")
        metrics = {name: number(value) for name, value in trace.metrics.items() if value is not None}
        return {"parts": parts, "metrics": {name: value for name, value in metrics.items() if value is not None}}

    async def end(self) -> None:
        """Free what the tool servers hold."""
        for server in self._own:
            await server._exit_stack.aclose()

    async def _serve(self, server: Any) -> list[dict[str, Any]]:
        """The schemas of a server's tools."""
        from mcp.server.mcpserver import MCPServer

        mcp = MCPServer(server.server_name or type(server).__name__)
        server._pull_state, server._push_state = _pull, _push
        server.register(mcp)
        schemas: list[dict[str, Any]] = []
        for tool in await mcp.list_tools():
            name = f"{server.server_name}_{tool.name}" if server.server_name else tool.name
            self._calls[name] = functools.partial(mcp.call_tool, tool.name)
            named = {"name": name, "description": tool.description or "", "parameters": tool.input_schema}
            schemas.append({"type": "function", "function": named})
        return schemas

    async def _call(self, call: dict[str, Any]) -> dict[str, Any]:
        from mcp.server.mcpserver.exceptions import ToolError

        _state.set(self._trace.state)
        try:
            result = await self._calls[call["name"]](json.loads(call["arguments"] or "{}"))
            content = "\n".join(block.text if block.type == "text" else str(block) for block in result.content)
        except ToolError as error:
            content = str(error)
        return {"role": "tool", "tool_call_id": call["id"], "content": content}

    async def _stops(self) -> bool:
        """Whether the task ends the episode."""
        for stop in self._task.hooks("stop"):
            found = stop(self._trace)
            if await found if inspect.isawaitable(found) else found:
                self._trace.stop_condition = stop.__name__
                return True
        return False

    def _note(self, messages: Iterable[dict[str, Any]], *, sampled: bool = False) -> None:
        """Add messages to the trace."""
        from verifiers.v1 import AssistantMessage, MessageNode, SystemMessage, ToolMessage, UserMessage

        kinds = {"assistant": AssistantMessage, "system": SystemMessage, "tool": ToolMessage, "user": UserMessage}
        nodes = self._trace.nodes
        for message in messages:
            calls = {"tool_calls": flat_calls(message)} if message.get("tool_calls") else {}
            said = kinds[message["role"]](**{**message, **calls})
            nodes.append(MessageNode(parent=len(nodes) - 1 if nodes else None, message=said, sampled=sampled))


async def _pull() -> Any:
    """The state of the calling episode itself, in place of a copy of it by HTTP."""
    return _state.get()


async def _push(before: bytes) -> None:
    """A call has changed the state itself."""


def _opening(data: Any) -> list[dict[str, Any]]:
    prompt = data.prompt
    if prompt is None:
        raise Fault("unfit", "a task has no prompt: a user of the package's opens its conversation")
    messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(map(as_message, prompt))
    system = as_text(data.system_prompt)
    return [{"role": "system", "content": system}, *messages] if system else messages


def _expect_fitting(task: Any) -> None:
    """See that a task needs nothing of the package's harness.

    Raises:
        Fault: It does.
    """
    import verifiers.v1 as vf
    from verifiers.v1.session import hook_boundary
    from verifiers.v1.utils.decorators import discover_decorated

    kind = type(task)
    if task.NEEDS_CONTAINER or kind.setup is not vf.Task.setup or kind.finalize is not vf.Task.finalize:
        raise Fault("unfit", "its tasks need a container, or prepare one")
    if discover_decorated(task, "intercept") or any(
        hook_boundary(stop, allow_trace=True) is not vf.Trace for stop in task.hooks("stop")
    ):
        raise Fault("unfit", "it looks into the requests and responses of the package's harness")
    for reward in task.hooks("reward"):
        runtime = inspect.signature(reward).parameters.get("runtime")
        if runtime is not None and runtime.default is runtime.empty:
            raise Fault(
                "unfit", f"its reward {reward.__name__!r} needs a container, and the package would leave it out"
            )
