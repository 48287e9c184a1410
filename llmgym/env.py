"""The environment: a Gymnasium environment whose actions are assistant messages.

`areset` and `astep` are the core, one coroutine per episode. `reset` and `step` run the same
coroutines for synchronous callers: at once where nothing in the class can suspend, in a background
event loop where something can.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import gymnasium
import orjson
from gymnasium.error import ResetNeeded

from llmgym.concurrency import drive, drive_in_background, in_process, in_thread, is_cancellation, suspends, within
from llmgym.errors import EnvironmentFailure, TaskError, ToolError
from llmgym.messages import Message, ToolCall, as_assistant, scrub, system, user
from llmgym.rewards import Reward
from llmgym.spaces import AssistantSpace, MessagesSpace
from llmgym.tasks import Task, TaskSet, task_from_row
from llmgym.tools import Tool, render_result, tools_of

Observation = tuple[Message, ...]
StepResult = tuple[Observation, float, bool, bool, dict[str, Any]]
Solution = Sequence[Message | str]


@dataclass(frozen=True, slots=True)
class Episode:
    """What a verifier sees of an episode that has ended.

    Attributes:
        task: The task.
        messages: The whole transcript, opening messages included.
        truncated: Whether a limit ended it, rather than the policy or the environment.
        metrics: Counts that the environment kept: `tool_calls`, `tool_errors`, and its own.
    """

    task: Task
    messages: tuple[Message, ...]
    truncated: bool
    metrics: Mapping[str, float]

    @property
    def final_text(self) -> str:
        """Text of the last assistant message; empty where it called tools, since then it was no final one."""
        last = next((message for message in reversed(self.messages) if message["role"] == "assistant"), None)
        return "" if last is None or "tool_calls" in last else last["content"]

    @property
    def tool_calls(self) -> list[ToolCall]:
        """All tool calls in order."""
        return [call for message in self.messages for call in message.get("tool_calls", ())]


class ToolEnv(gymnasium.Env[Observation, Any]):
    """Base of all environments: subclass it, mark tools with `@tool`, write `verify` and `oracle`.

    An instance serves one episode after another; `setup` makes the state of each anew. Hooks may be
    plain or `async` methods. An exception in a tool is answered to the model; one in a hook is a
    failure of the environment (`EnvironmentFailure`).

    Attributes:
        tasks: Where tasks are drawn from.
        tools: The tools by name, from the methods marked `@tool`.
        system_prompt: First message of every episode, where set.
        max_turns: Assistant messages before an episode is truncated.
        tool_timeout: Seconds for one tool call.
        hook_timeout: Seconds for one call of setup, respond or verify.
        verify_in: "thread" takes a `verify` that blocks off the event loop, "process" one that computes;
            the process is killed at its deadline, and gives back only what `verify` returns.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["ansi", "human"], "render_fps": 4}  # type: ignore[misc]

    tasks: TaskSet
    tools: Mapping[str, Tool] = {}
    system_prompt: str | None = None
    max_turns: int = 16
    tool_timeout: float = 30.0
    hook_timeout: float = 60.0
    verify_in: Literal["loop", "thread", "process"] = "loop"

    _suspends: ClassVar[bool] = False
    _responds: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Collect the tools, and find out whether anything in the class can suspend."""
        super().__init_subclass__(**kwargs)
        if clash := [name for name in vars(cls) if re.match("_[^_]", name) and name in vars(ToolEnv)]:
            raise TypeError(f"{cls.__name__} redefines {clash[0]}, which is ToolEnv's own; choose another name")
        cls.tools = tools_of(cls)
        hooks = [cls.setup, cls.respond, cls.verify, *(tool.function for tool in cls.tools.values())]
        blocking = cls.verify_in != "loop" or any(tool.options.blocking for tool in cls.tools.values())
        cls._suspends = blocking or any(suspends(hook) for hook in hooks)
        cls._responds = cls.respond is not ToolEnv.respond

    def __init__(
        self,
        *,
        render_mode: str | None = None,
        split: str = "train",
        tasks: TaskSet | str | Path | None = None,
        max_turns: int | None = None,
        tool_timeout: float | None = None,
        hook_timeout: float | None = None,
    ) -> None:
        """Make the environment.

        Args:
            render_mode: "ansi" (`render` gives the transcript), "human" (messages are printed as
                they come), or None.
            split: Split that `reset` draws tasks from.
            tasks: Other tasks: a set, or the path of a JSONL file.
            max_turns: Assistant messages before an episode is truncated.
            tool_timeout: Seconds for one tool call.
            hook_timeout: Seconds for one call of setup, respond or verify.
        """
        self.render_mode = render_mode
        self.split = split
        if tasks is not None:
            self.tasks = tasks if isinstance(tasks, TaskSet) else TaskSet.jsonl(Path(tasks).absolute(), self.read_row)
        if max_turns is not None:
            self.max_turns = max_turns
        if tool_timeout is not None:
            self.tool_timeout = tool_timeout
        if hook_timeout is not None:
            self.hook_timeout = hook_timeout
        self.observation_space = MessagesSpace()
        self.action_space = AssistantSpace([tool.schema for tool in self.tools.values()])
        self._schemas = orjson.dumps([tool.schema for tool in self.tools.values()])
        self.task: Task | None = None
        self.transcript: list[Message] = []
        self.metrics: dict[str, float] = {}
        self._seed: int | None = None
        self._episode = 0
        self._turn = 0
        self._open = False
        self._finished = False
        self._step_reward = 0.0

    # --- what an environment defines --------------------------------------------------------------

    def setup(self, task: Task) -> Awaitable[None] | None:
        """Make the state of a new episode, on `self`."""

    def respond(self, message: Message) -> Any:
        """Answer a message that calls no tool: text, messages, or None to end the episode.

        An environment without it ends its episodes at such a message. May be `async`.
        """

    def verify(self, episode: Episode) -> Any:
        """Score an ended episode: a `Reward`, a number, or None for unscored. May be `async`."""
        raise NotImplementedError(f"{type(self).__name__} needs a verify method")

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

    def opening(self, task: Task) -> list[Message]:
        """The first messages of an episode: those of the task, after the system prompt where they have none."""
        messages = task.messages
        own = messages[:1] and messages[0]["role"] == "system"
        return [system(self.system_prompt), *messages] if self.system_prompt and not own else messages

    # --- what an environment calls ----------------------------------------------------------------

    def reward(self, value: float) -> None:
        """Add to the reward of the running step."""
        self._step_reward += value

    def finish(self) -> None:
        """End the episode with the running step."""
        self._finished = True

    def count(self, metric: str, amount: float = 1.0) -> None:
        """Add to a metric of the episode."""
        self.metrics[metric] = self.metrics.get(metric, 0.0) + amount

    # --- Gymnasium --------------------------------------------------------------------------------

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode; see `areset`."""
        return self._run(self.areset(seed=seed, options=options))

    def step(self, action: Any) -> StepResult:
        """Take one assistant message; see `astep`."""
        return self._run(self.astep(action))

    def render(self) -> str | None:  # type: ignore[override]
        """The transcript so far in the mode "ansi", else None."""
        return "\n".join(map(format_message, self.transcript)) if self.render_mode == "ansi" else None

    # --- the async core ---------------------------------------------------------------------------

    async def areset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode.

        Args:
            seed: Starts a stream of tasks and random numbers; without it the stream goes on.
            options: `task_id` names the task, or `task` gives it, instead of drawing one.

        Returns:
            The opening messages; `info` with `task_id` and the schemas of the `tools`.

        Raises:
            TaskError: The task or the split is unknown.
            EnvironmentFailure: `setup` failed.
        """
        self._open = False
        gymnasium.Env.reset(self, seed=seed)
        self._episode = 0 if seed is not None or self._seed is None else self._episode + 1
        if seed is not None or self._seed is None:
            self._seed = self.np_random_seed if seed is None else seed
        self.task = self._draw(options or {})
        self.transcript = []
        self.metrics = {"tool_calls": 0.0, "tool_errors": 0.0}
        self._turn, self._finished, self._step_reward = 0, False, 0.0
        await self._hook("setup", self.setup, self.task)
        self.transcript = self.opening(self.task)
        self._open = True
        self._show(self.transcript)
        return _copies(self.transcript), {"task_id": self.task.id, "tools": orjson.loads(self._schemas)}

    def _draw(self, options: dict[str, Any]) -> Task:
        if unknown := options.keys() - {"task_id", "task"}:
            raise TaskError(f"unknown reset option {sorted(unknown)[0]!r}; there is 'task_id' and 'task'")
        if (task := options.get("task")) is not None:
            if not isinstance(task, Task):
                raise TaskError(f"the reset option 'task' takes a Task, not {task!r:.100}; 'task_id' takes an id")
            return deepcopy(task)  # the episode may change its task, and the caller may use it again
        if (task_id := options.get("task_id")) is not None:
            return self.tasks.get(task_id)
        assert self._seed is not None
        return self.tasks.draw(self.split, self._seed, self._episode, scope=self.scope)

    @property
    def suspends(self) -> bool:
        """Whether `areset` and `astep` may need an event loop."""
        return self._suspends

    @property
    def scope(self) -> str:
        """Name that task draws are hashed with: the registered id, else the class."""
        return self.spec.id if self.spec else type(self).__qualname__

    async def astep(self, action: Any) -> StepResult:
        """Take one assistant message: run its tool calls, or answer it, or end the episode.

        Args:
            action: An assistant message, or text, whose `<tool_call>` blocks are parsed.

        Returns:
            The messages that are new, the reward of this step (the verifier's with the last one; NaN
            where it left the episode unscored), `terminated`, `truncated`, and `info` with `task_id`
            and, at the end, `reward_parts` and `metrics`.

        Raises:
            ValueError: The action is no assistant message.
            ResetNeeded: No episode is running.
            EnvironmentFailure: `respond` or `verify` failed.
        """
        task = self._running_task()
        message = as_assistant(action)
        self._open = False  # a step that fails or is cancelled half-way ends the episode
        self._step_reward = 0.0
        self._record(message)
        answers, done = await self._answer(message)
        self.transcript += answers
        truncated = not done and self._turn >= self.max_turns
        self._show([message, *answers])
        info: dict[str, Any] = {"task_id": task.id}
        if done or truncated:
            info |= await self._end(truncated)
        self._open = not (done or truncated)
        return _copies(answers), self._step_reward, done, truncated, info

    async def aend(self, action: Any = None) -> StepResult:
        """End the episode at a limit that the environment does not know of, such as one on tokens.

        Takes and gives what `astep` does; `truncated` is true.

        Args:
            action: A message that was cut off, if any: it is recorded and its calls do not run.
        """
        task = self._running_task()
        message = None if action is None else as_assistant(action)
        self._open = False
        self._step_reward = 0.0
        if message is not None:
            self._record(message)
        info = {"task_id": task.id} | await self._end(truncated=True)
        return (), self._step_reward, False, True, info

    def _running_task(self) -> Task:
        if self.task is None or not self._open:
            raise ResetNeeded("the episode has ended or none was started: call reset()")
        return self.task

    def _record(self, message: Message) -> None:
        for index, call in enumerate(message.get("tool_calls", ())):
            call["id"] = call.get("id") or f"call_{self._turn}_{index}"
        self.transcript.append(message)
        self._turn += 1

    async def _answer(self, message: Message) -> tuple[list[Message], bool]:
        """The messages that answer one of the policy, and whether the episode is over."""
        if calls := message.get("tool_calls"):
            return await self._run_calls(calls), self._finished
        if not self._responds:
            return [], True
        reply = await self._hook("respond", self.respond, message, read=_read_reply)
        return reply or [], reply is None or self._finished

    async def _end(self, truncated: bool) -> dict[str, Any]:
        """Verify, add to the step's reward, and give what `info` tells of the end."""
        assert self.task is not None
        episode = Episode(self.task, tuple(self.transcript), truncated, self.metrics)
        reward: Reward = await self._hook("verify", self.verify, episode, read=Reward.of)
        self.metrics |= reward.metrics
        self._step_reward = float("nan") if reward.value is None else self._step_reward + reward.value
        return {
            "reward_parts": {name: part.value for name, part in reward.parts.items()},
            "metrics": dict(self.metrics),
        }

    async def _run_calls(self, calls: list[ToolCall]) -> list[Message]:
        """Answer the calls of one message: concurrently, unless one of them is to a serial tool."""
        tools = [self.tools.get(call["function"]["name"]) for call in calls]
        if len(calls) == 1:
            return [await self._call(tools[0], calls[0])]
        if not self._suspends or any(tool and tool.options.serial for tool in tools):
            return [await self._call(tool, call) for tool, call in zip(tools, calls, strict=True)]
        return list(await asyncio.gather(*(map(self._call, tools, calls))))

    async def _call(self, tool: Tool | None, call: ToolCall) -> Message:
        self.count("tool_calls")
        name, arguments = call["function"]["name"], call["function"]["arguments"]
        try:
            if tool is None:
                raise ToolError(self._unknown_tool(name))
            content = render_result(await self._invoke(tool, tool.parse(arguments)))
        except ToolError as error:
            content = self._tool_error(str(error))
        except TimeoutError:
            content = self._tool_error(f"{name} did not finish in time")
        except (Exception, SystemExit, asyncio.CancelledError) as error:  # whatever a tool raises is its answer
            if is_cancellation(error):
                raise
            content = self._tool_error(f"{type(error).__name__}: {error}")
        return {"role": "tool", "tool_call_id": call.get("id", ""), "name": name, "content": content}

    def _unknown_tool(self, name: str) -> str:
        if not name:
            return 'not a tool call; write {"name": <tool>, "arguments": {<arguments>}}'
        return f"there is no tool {name[:100]!r}; there is {', '.join(self.tools) or 'none'}"

    def _tool_error(self, text: str) -> str:
        self.count("tool_errors")
        return render_result(f"Error: {text}")

    async def _invoke(self, tool: Tool, arguments: dict[str, Any]) -> Any:
        seconds = tool.options.timeout or self.tool_timeout
        if tool.options.blocking:
            return await in_thread(functools.partial(tool.function, self, **arguments), seconds)
        result = tool.function(self, **arguments)
        return await within(seconds, result) if inspect.iscoroutine(result) else result

    async def _hook(
        self, name: str, hook: Callable[[Any], Any], argument: Any, read: Callable[[Any], Any] = lambda result: result
    ) -> Any:
        """Call setup, respond or verify and read its result; any way that it fails is an `EnvironmentFailure`."""
        try:
            return read(await self._call_hook(hook, argument, self.verify_in if name == "verify" else "loop"))
        except TimeoutError as error:
            raise EnvironmentFailure(f"{type(self).__name__}.{name} ran past {self.hook_timeout} s") from error
        except (Exception, SystemExit, asyncio.CancelledError) as error:
            if is_cancellation(error):
                raise
            raise EnvironmentFailure(f"{type(self).__name__}.{name}: {type(error).__name__}: {error}") from error

    async def _call_hook(self, hook: Callable[[Any], Any], argument: Any, where: str) -> Any:
        if where == "process":
            return await in_process(_verify_elsewhere, self, argument, seconds=self.hook_timeout)
        if where == "thread":
            return await in_thread(functools.partial(_verify_elsewhere, self, argument), self.hook_timeout)
        result = hook(argument)
        return await within(self.hook_timeout, result) if inspect.iscoroutine(result) else result

    def _run(self, coroutine: Any) -> Any:
        return drive_in_background(coroutine) if self._suspends else drive(coroutine)

    def _show(self, messages: Sequence[Message]) -> None:
        if self.render_mode == "human":
            print(*map(format_message, messages), sep="\n")  # noqa: T201 -- this mode prints


def _verify_elsewhere(env: ToolEnv, episode: Episode) -> Any:
    """`verify` off the event loop."""
    result = env.verify(episode)
    return asyncio.run(result) if inspect.iscoroutine(result) else result


def _read_reply(reply: Any) -> list[Message] | None:
    """What `respond` returned, as messages."""
    if reply is None:
        return None
    messages: list[Any] = [user(reply)] if isinstance(reply, str) else [reply] if isinstance(reply, dict) else [*reply]
    for message in messages:
        if message["role"] not in ("system", "user", "tool") or not isinstance(message["content"], str):
            raise ValueError(f"not a message with a role and text: {message!r:.200}")
    return [message | {"content": scrub(message["content"])} for message in messages]


def _copies(messages: Sequence[Message]) -> Observation:
    """Fresh dicts: an observation never shares an object with the transcript or another one."""
    return tuple(orjson.loads(orjson.dumps(m)) if "tool_calls" in m else m.copy() for m in messages)


def format_message(message: Message) -> str:
    """Show a message as a person would read it, tool calls as `name(arguments)`."""
    calls = (call["function"] for call in message.get("tool_calls", ()))
    text = f"[{message['role']}] {message['content']}".rstrip()
    return "\n".join([text, *(f"  -> {call['name']}({call['arguments']})" for call in calls)])
