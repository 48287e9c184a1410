"""How environment code is run: tools for the model, hooks for the episode, each within its deadline."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from llmgym.concurrency import PastDeadline, bounded, in_thread, is_outside
from llmgym.env.boundary import breaks, failure
from llmgym.env.episode import CALL, Call, Leftovers, Running
from llmgym.errors import AuthorError, EnvironmentFailure, ToolError
from llmgym.failures import Stage
from llmgym.messages import Message, ToolCall, explain_call
from llmgym.tools import Tool, render_result

if TYPE_CHECKING:
    from llmgym.env.core import ToolEnv

_HELD_S = 0.1  # for which plain code may hold the event loop without a word
_log = logging.getLogger("llmgym.env")
_told: set[str] = set()


class Runner:
    """Runs the code of one environment, for one episode.

    Args:
        env: The environment.
        running: Its episode.
        leftovers: Gets work that cannot be ended.
    """

    __slots__ = ("_env", "_leftovers", "_running")

    def __init__(self, env: ToolEnv, running: Running, leftovers: Leftovers) -> None:
        self._env, self._running, self._leftovers = env, running, leftovers

    async def calls(self, calls: Sequence[ToolCall]) -> list[Message]:
        """Answer the calls of one message: concurrently, unless one of them is to a serial tool.

        Raises:
            EnvironmentFailure: A tool is broken; the other calls are ended.
        """
        offered = self._running.tools
        tools = [offered.get(call["function"]["name"]) for call in calls]
        if len(calls) == 1:
            return [await self.call(tools[0], calls[0])]
        if not self._env.suspends or any(tool and tool.options.serial for tool in tools):
            return [await self.call(tool, call) for tool, call in zip(tools, calls, strict=True)]
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self.call(*pair)) for pair in zip(tools, calls, strict=True)]
        except BaseExceptionGroup as errors:
            first = errors.exceptions[0]
            raise first from first.__cause__
        return [task.result() for task in tasks]

    async def call(self, tool: Tool | None, call: ToolCall) -> Message:
        """Answer one call."""
        running = self._running
        running.metrics["tool_calls"] += 1
        name, arguments = call["function"]["name"], call["function"]["arguments"]
        options = None if tool is None else tool.options
        try:
            if tool is None:
                raise UnknownTool(unknown_tool(name, arguments, running.tools))
            content = render_result(await self._invoke(tool, _parsed(tool, arguments)))
        except PastDeadline:
            content = self._error("PastDeadline", f"{name} did not finish in time")
        except ToolError as error:
            content = self._error(type(error).__name__, str(error))
        except BaseException as error:
            if is_outside(error):
                raise
            if options is not None and (broken := breaks(error, options)) is not None:
                raise failure(broken, f"{type(self._env).__name__}.{name}", "tool") from error
            content = self._error(type(error).__name__, f"{type(error).__name__}: {error}")
        return {"role": "tool", "tool_call_id": call.get("id", ""), "name": name, "content": content}

    def _error(self, kind: str, text: str) -> str:
        self._running.note_error(kind)
        return render_result(f"Error: {text}")

    async def _invoke(self, tool: Tool, arguments: dict[str, Any]) -> Any:
        env, running = self._env, self._running
        seconds = tool.options.timeout or env.tool_timeout
        running.calls_begun += 1
        if tool.options.blocking:
            result = await self.in_thread(functools.partial(tool.function, env, **arguments), seconds)
        else:
            where = tool.function.__qualname__ if hasattr(tool.function, "__qualname__") else tool.name
            result = await self._here(functools.partial(tool.function, env, **arguments), where, seconds)
        running.calls_ended += 1
        return result

    async def hook(
        self,
        stage: Stage,
        function: Callable[[], Any],
        *,
        read: Callable[[Any], Any] | None = None,
        place: Callable[[Callable[[], Any], float], Awaitable[Any]] | None = None,
    ) -> Any:
        """Call a hook and read what it gives; any way that it fails is an `EnvironmentFailure`.

        Args:
            stage: Which hook.
            function: Calls it.
            read: Reads its result.
            place: Runs it somewhere else than here.
        """
        where, seconds = f"{type(self._env).__name__}.{stage}", self._env.hook_timeout
        try:
            result = await (self._here(function, where, seconds) if place is None else place(function, seconds))
        except PastDeadline as error:
            raise EnvironmentFailure(f"{where} ran past {seconds:g} s", kind="timeout", stage=stage) from error
        except BaseException as error:
            if is_outside(error):
                raise
            raise failure(error, where, stage) from error
        try:
            return result if read is None else read(result)
        except Exception as error:
            raise failure(error, where, stage, kind="invalid") from error

    async def in_thread(self, function: Callable[[], Any], seconds: float) -> Any:
        """Call what blocks in a thread."""
        call = Call()
        token = CALL.set(call)  # the thread starts with a copy of this context
        try:
            return await in_thread(function, seconds, self._leftovers.add)
        except (PastDeadline, asyncio.CancelledError):
            call.expired = True
            raise
        finally:
            CALL.reset(token)

    async def _here(self, function: Callable[[], Any], where: str, seconds: float) -> Any:
        """Call a function in this thread, and await what it gives where that is to be awaited."""
        began = time.perf_counter()
        result = function()
        if (held := time.perf_counter() - began) > _HELD_S:
            self._note_held(where, held)
        if not inspect.isawaitable(result):
            return result
        if asyncio._get_running_loop() is None:
            if inspect.iscoroutine(result):
                result.close()
            raise AuthorError(f"{where} gave an awaitable without saying so: declare it `async def`")
        if seconds == math.inf:
            return await result
        call = Call()
        try:
            return await bounded(seconds, result, self._leftovers.add, functools.partial(CALL.set, call))
        except (PastDeadline, asyncio.CancelledError):
            call.expired = True
            raise

    def _note_held(self, where: str, seconds: float) -> None:
        """Note that plain code held the event loop, and every episode with it."""
        held = self._running.held_s
        held[where] = max(held.get(where, 0.0), seconds)
        if where not in _told and asyncio._get_running_loop() is not None:
            _told.add(where)
            _log.warning(
                "%s is plain and held the event loop, and so all episodes, for %.2f s: nothing can stop it; declare "
                "a tool @tool(blocking=True) or `async`, and a verify by verify_in",
                where,
                seconds,
            )


class UnknownTool(ToolError):
    """The model called a tool that there is not."""


class InvalidArguments(ToolError):
    """The model's arguments do not fit the tool."""


def _parsed(tool: Tool, arguments: str) -> dict[str, Any]:
    try:
        return tool.parse(arguments)
    except ToolError as error:
        raise InvalidArguments(str(error)) from None


def unknown_tool(name: str, arguments: str, offered: Any) -> str:
    """What a model is told that called no tool of the environment."""
    if not name:
        return explain_call(arguments)
    return f"there is no tool {name[:100]!r}; there is {', '.join(offered) or 'none'}"
