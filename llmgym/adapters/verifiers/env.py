"""Tasksets of verifiers as environments: an episode is a rollout of the package, with llmgym in the model's place."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any

import orjson

from llmgym.adapters.packages import package_tasks
from llmgym.adapters.schemas import tool_name
from llmgym.adapters.verifiers.workers import Taskset, Worker, how_to_make_one
from llmgym.env import Episode, ToolEnv
from llmgym.errors import ConfigError, EnvironmentFailure, ToolError
from llmgym.messages import Message, ToolCall, ToolSchema, assistant, tool_call
from llmgym.rewards import Part, Reward
from llmgym.tasks import RowTasks, Task, TaskSet
from llmgym.tools import Tool

_SHARE = 0.9  # of a deadline of an environment's: past its own, a worker's answer would be lost, and not the episode
_OVER = "The episode is over."
_TEST_SHARE = 5  # of a taskset with one dataset, one row in so many is for testing
_episodes = itertools.count(1)


class Verifiers(ToolEnv):
    """A taskset of the package `verifiers`, by name.

    ## Description

    The environments of Prime Intellect's `verifiers`, as they are installed in a Python environment of their own: the
    package's pins exclude those of llmgym. A worker process of that environment, one for each process of llmgym, loads
    the taskset, runs its rollouts and scores them; llmgym stands in the model's place.

    ## Actions

    Calls of the taskset's tools, or text.

    ## Observations

    What the taskset says, as text.

    ## Rewards

    The weighted reward functions of the taskset, each a part; those without a weight are metrics. A reward function
    that raises, which the package takes for a 0, leaves the episode unscored; so does a worker that dies.

    ## Episode End

    Terminates where the taskset's own stop conditions say so. Truncates after `max_turns` messages.

    ## Arguments

    - `taskset`: its name, as for `verifiers.load_environment`.
    - `python`: the interpreter of an environment in which `verifiers` and the taskset are installed.
    - `args` ({}): arguments of the taskset.
    - `path` (""): a folder in which its module is looked for first, for tasksets that are not installed.
    - `solution` (None): how an answer is said, such as "<answer>{answer}</answer>", for tasksets of one turn: it makes
      an oracle of the tasks' answers.

    Tasks are the rows of its dataset, and in the split "test" of its evaluation dataset; where it has only one of the
    two, every fifth row is in "test".
    """

    max_turns = 64
    hook_timeout = 120.0

    def __init__(
        self,
        *,
        taskset: str = "",
        python: str = "",
        args: Mapping[str, Any] | None = None,
        path: str = "",
        solution: str | None = None,
        tasks: TaskSet | str | Path | None = None,
        **options: Any,
    ) -> None:
        """Make the environment.

        Args:
            taskset: The name.
            python: The interpreter.
            args: Arguments of the taskset, JSON data.
            path: A folder of modules.
            solution: How an answer is said.
            tasks: Other tasks of the taskset, such as some of its own.
            **options: Passed to `ToolEnv`.

        Raises:
            ConfigError: There is no such interpreter or taskset, or it cannot be loaded.
        """
        if not taskset or not python:
            raise ConfigError(f"name a taskset and an interpreter: taskset='NAME', python='PATH'; {how_to_make_one()}")
        self.kit = Taskset(taskset, python, _as_json(args or {}), path and os.path.abspath(path))
        self.solution = solution
        self.kit.worker.sizes()  # which says what is wrong with it
        super().__init__(tasks=_tasks(self.kit) if tasks is None else tasks, **options)

    async def setup(self, task: Task) -> None:
        """Begin a rollout in the worker."""
        part, _, place = task.id.partition("-")
        if part not in ("train", "test") or not place.isdecimal():
            raise EnvironmentFailure(f"the task {task.id!r} is none of {self.kit}", kind="invalid")
        self.number, self.ended, self.told = next(_episodes), False, 0
        self.answers: list[tuple[str, dict[str, Any], str]] = []
        self.telling, self.calls = asyncio.Lock(), itertools.count()
        self.worker: Worker = self.kit.worker
        seconds = _SHARE * self.hook_timeout
        self.opened = await self.worker.ask("begin", seconds, episode=self.number, part=part, place=int(place))

    def opening(self, task: Task) -> list[Message]:
        """What the taskset says first."""
        return self.opened["messages"]

    async def offered(self, task: Task) -> list[Tool]:
        """The tools that it offers."""
        tools = _tools(str(self.kit), orjson.dumps(self.opened["tools"]))
        self.offering = {tool.name: tool for tool in tools}
        return list(tools)

    async def respond(self, message: Message) -> list[Message]:
        """What it says to a text."""
        return await self._exchange(self._untold(), _SHARE * self.hook_timeout)

    async def verify(self, episode: Episode) -> Reward:
        """Have it scored."""
        messages = self._untold(last=True)
        if not self.told:  # a rollout of the package has at least one message
            messages = [assistant()]
        found = await self.worker.ask("score", _SHARE * self.hook_timeout, episode=self.number, messages=messages)
        parts = {name: Part(*part) for name, part in found["parts"].items()}
        return Reward(metrics=found["metrics"], **parts)

    async def teardown(self) -> None:
        """End the rollout."""
        if "worker" in vars(self):
            self.worker.tell("end", episode=self.number)

    def oracle(self, task: Task) -> Iterator[str]:
        """Say the answer, where there is one and it is known how."""
        if self.solution is None:
            raise NotImplementedError("pass solution='<answer>{answer}</answer>', as answers are said here")
        yield self.solution.replace("{answer}", str(task.answer))

    # --- what is told -----------------------------------------------------------------------------

    async def called(self, name: str, arguments: dict[str, Any]) -> str:
        """What is answered to a call; the first of a message tells them all."""
        async with self.telling:
            answer = self._answer(name, arguments)
            if answer is None and not self.ended:
                await self._tell_calls(name, arguments)
                answer = self._answer(name, arguments)
        if answer is None and not self.ended:
            raise EnvironmentFailure(f"{self.kit} does not answer a call of {name}", kind="invalid")
        return _OVER if answer is None else answer

    def _answer(self, name: str, arguments: dict[str, Any]) -> str | None:
        """Take the first answer to such a call."""
        for place, (called, given, text) in enumerate(self.answers):
            if called == name and given == arguments:
                del self.answers[place]
                return text
        return None

    async def _tell_calls(self, name: str, arguments: dict[str, Any]) -> None:
        # A trainer may run the calls of a message one by one: all but the first were in no message that was told.
        untold = self._untold() or [self._heard(assistant("", tool_call(name, **arguments)))]
        calls = {call.get("id"): call["function"] for call in untold[-1].get("tool_calls", ())}
        for message in await self._exchange(untold, _SHARE * self.tool_timeout):
            call = calls.get(message.get("tool_call_id", ""))
            if call is None:
                raise EnvironmentFailure(f"{self.kit} answers calls with more than their results", kind="invalid")
            given = self.offering[call["name"]].parse(call["arguments"])
            self.answers.append((call["name"], given, message["content"]))

    async def _exchange(self, messages: list[Message], seconds: float) -> list[Message]:
        answer = await self.worker.ask("say", seconds, episode=self.number, messages=messages)
        if answer["over"]:
            self.ended = True
            self.finish()
        return answer["messages"]

    def _untold(self, *, last: bool = False) -> list[Message]:
        """What the model has said since it was last told, without what was only refused calls, but for the `last`."""
        said = [
            message for message in self.transcript[len(self.opened["messages"]) :] if message["role"] == "assistant"
        ]
        new, self.told = said[self.told :], len(said)
        heard = [(message, self._heard(message)) for message in new]
        return [
            after
            for before, after in heard
            if ("tool_calls" in before) == ("tool_calls" in after) or (last and before is new[-1])
        ]

    def _heard(self, message: Message) -> Message:
        """A message as the taskset hears it: without the calls that were refused here, with ids of its own."""
        heard = message.copy()
        if calls := list(filter(self._is_call, heard.pop("tool_calls", ()))):
            heard["tool_calls"] = [
                tool_call(call["function"]["name"], call["function"]["arguments"] or "{}", f"call_{next(self.calls)}")
                for call in calls
            ]
        return heard

    def _is_call(self, call: ToolCall) -> bool:
        tool = self.offering.get(call["function"]["name"])
        try:
            return tool is not None and tool.parse(call["function"]["arguments"]) is not None
        except ToolError:
            return False


@cache
def _tasks(taskset: Taskset) -> RowTasks:
    return package_tasks(partial(rows, taskset), f"verifiers/{taskset.name}")


def rows(taskset: Taskset) -> Iterator[dict[str, Any]]:
    """The rows of a taskset, by pages; their ids say where they stand."""
    sizes = taskset.worker.sizes()
    for part, size in sizes.items():
        place = 0
        while place < size:
            for row in taskset.worker.rows(part, place, size):
                split = part if len(sizes) > 1 else "test" if place % _TEST_SHARE == _TEST_SHARE - 1 else "train"
                yield {**row, "id": f"{part}-{place}", "split": split}
                place += 1


@lru_cache(256)
def _tools(where: str, schemas: bytes) -> tuple[Tool, ...]:
    return tuple(_tool(where, schema) for schema in orjson.loads(schemas))


def _tool(where: str, schema: ToolSchema) -> Tool:
    named = schema["function"]
    if (name := named["name"]) != tool_name(name):
        raise EnvironmentFailure(f"{where} has a tool {name!r}, which no endpoint takes", kind="invalid")

    async def call(env: Verifiers, /, **arguments: Any) -> str:
        return await env.called(name, arguments)

    return Tool.of_schema(schema, call)


def _as_json(args: Mapping[str, Any]) -> str:
    try:
        return orjson.dumps(dict(args), option=orjson.OPT_SORT_KEYS).decode()
    except TypeError as error:
        raise ConfigError(f"`args` of a taskset are JSON data: {error}") from None
