"""The life of an instance: its episodes, one after another, each begun by `setup` and ended by `teardown`, and its end.

All that an environment keeps besides what its author does is here, in one object, so that an author's names are his.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import inspect
import logging
import math
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import gymnasium
import orjson
from gymnasium.error import ResetNeeded

from llmgym.chat import ModelCall, Role
from llmgym.concurrency import bounded, is_outside
from llmgym.env.contract import check_roles
from llmgym.env.dispatch import Runner
from llmgym.env.episode import Episode, Leftovers, Report, Running
from llmgym.env.reading import (
    copies,
    name_calls,
    read_group,
    read_opening,
    read_reply,
    read_reward,
    take_task,
    verify_in_process,
)
from llmgym.errors import AuthorError, EnvironmentFailure
from llmgym.messages import Message, ToolCall, ToolSchema, as_assistant, format_message
from llmgym.rewards import Reward
from llmgym.tasks import Task, TaskSet, lazy_copy
from llmgym.tools import Tool

if TYPE_CHECKING:
    from llmgym.env.contract import Traits
    from llmgym.env.core import StepResult, ToolEnv

_log = logging.getLogger("llmgym.env")


class Lifecycle:
    """The private state of an instance, and what moves it.

    Attributes:
        tasks: Where tasks are drawn from.
        models: The models in its roles.
        schemas: The schemas of its tools as JSON.
        running: The last episode.
        made: Whether the constructor has run.
    """

    def __init__(self, env: ToolEnv, traits: Traits) -> None:
        """Nothing has begun."""
        self._env, self._traits = env, traits
        self.tasks: TaskSet
        self.models: dict[str, Role] = {}
        self.schemas = b"[]"
        self.running: Running | None = None
        self._seed = 0
        self._episode = -1
        self._leftovers = Leftovers()
        self.made = self._broken = False
        self._freed: set[Callable[[Any], Any]] = set()

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what belongs to this process."""
        return {**vars(self), "_leftovers": Leftovers(), "models": {}}

    def begin(self, tools: Sequence[ToolSchema]) -> None:
        """Note that the constructor has run, and the schemas of its tools."""
        self.schemas = _shared(orjson.dumps(tools))
        self.made = True
        if self._traits.frees:
            _live.add(self)

    @property
    def verifies_groups(self) -> bool:
        """See `ToolEnv.verifies_groups`."""
        return self._traits.groups

    @property
    def scope(self) -> str:
        """Name that task draws are hashed with; see `ToolEnv.scope`."""
        spec = self._env.spec
        return spec.id if spec else type(self._env).__qualname__

    @property
    def spoiled(self) -> bool:
        """Whether the instance must not be used: earlier work still runs on it, or could not be torn down."""
        return self._broken or self._leftovers.running

    def report(self) -> Report:
        """What is known of the episode besides what the steps have told."""
        return Report() if self.running is None else self.running.report()

    def note_call(self, call: ModelCall) -> None:
        """Note a call of a model."""
        if self.running is not None:
            self.running.model_calls.append(call)

    def expect_episode(self) -> Running:
        """The last episode, running or not.

        Raises:
            ResetNeeded: There was none.
        """
        if self.running is None:
            raise ResetNeeded("no episode was started: call reset()")
        return self.running

    # --- episodes ---------------------------------------------------------------------------------

    async def reset(self, seed: int | None, options: dict[str, Any]) -> tuple[tuple[Message, ...], dict[str, Any]]:
        """See `ToolEnv.areset`."""
        env = self._env
        running = await self._begin(seed, options)
        run = Runner(env, running, self._leftovers)
        task = running.task
        try:
            await run.hook("setup", functools.partial(env.setup, task, **options))
            if self._traits.offers:
                await self._offer(run, running)
            else:
                running.tools, running.schemas = env.tools, self.schemas
            opening = functools.partial(env.opening, task)
            running.transcript = await run.hook("opening", opening, read=read_opening)
        except BaseException:
            await self._tear_down(running)
            raise
        running.open = True
        self._show(running.transcript)
        return copies(running.transcript), {"task_id": task.id, "tools": orjson.loads(running.schemas)}

    async def step(self, action: Any) -> StepResult:
        """See `ToolEnv.astep`."""
        running, message = self._expect_open(), as_assistant(action)
        running.open = False  # a step that fails or is cancelled half-way ends the episode
        running.rewards = []
        info: dict[str, Any] = {"task_id": running.task.id}
        try:
            _record(running, message)
            answers, done = await self._answer(running, message)
            running.transcript += answers
            truncated = not done and running.turn >= self._env.max_turns
            self._show([message, *answers])
            if done or truncated:
                info |= await self._verify(running, truncated)
        except BaseException:
            await self._tear_down(running)
            raise
        if done or truncated:
            await self._tear_down(running)
        else:
            running.open = True
        return copies(answers), running.step_reward, done, truncated, info

    async def call(self, call: ToolCall, same: bool) -> StepResult:
        """See `ToolEnv.acall`."""
        running = self._expect_open()
        running.open = False
        running.rewards = []
        info: dict[str, Any] = {"task_id": running.task.id}
        try:
            message = as_assistant({"role": "assistant", "content": "", "tool_calls": [call]})
            if same:
                last = next(said for said in reversed(running.transcript) if said["role"] == "assistant")
                calls = last.setdefault("tool_calls", [])
                calls += message.get("tool_calls", ())
                name_calls(last, running.turn - 1)
            else:
                _record(running, message)
                calls = message.get("tool_calls", [])
            answers = await Runner(self._env, running, self._leftovers).calls(calls[-1:])
            running.transcript += answers
            if running.finished:
                info |= await self._verify(running, truncated=False)
        except BaseException:
            await self._tear_down(running)
            raise
        if running.finished:
            await self._tear_down(running)
        else:
            running.open = True
        return copies(answers), running.step_reward, running.finished, False, info

    async def end(self, action: Any, verify: bool) -> StepResult:
        """See `ToolEnv.aend`."""
        running = self._expect_open()
        message = None if action is None else as_assistant(action)
        running.open = False
        running.rewards = []
        info: dict[str, Any] = {"task_id": running.task.id}
        try:
            if message is not None:
                _record(running, message)
            if verify:
                info |= await self._verify(running, truncated=True)
            else:
                running.rewards.append(math.nan)
        finally:
            await self._tear_down(running)
        return (), running.step_reward, False, True, info

    async def verify(self, episode: Episode) -> Reward:
        """See `ToolEnv.averify`."""
        self._expect_usable()
        running = self.running = Running(episode.task)
        running.torn = True  # nothing was set up
        return await self._ask(running, episode)

    async def verify_group(self, episodes: Sequence[Episode | None]) -> tuple[list[Reward | None], list[ModelCall]]:
        """See `ToolEnv.averify_group`."""
        self._expect_usable()
        env = self._env
        running = self.running = Running(next(episode.task for episode in episodes if episode is not None))
        running.torn = True  # nothing was set up
        verify = functools.partial(env.group_verify, episodes)
        plain = env.verify_in != "loop" and not inspect.iscoroutinefunction(env.group_verify)
        run = Runner(env, running, self._leftovers)
        read = functools.partial(read_group, number=len(episodes))
        rewards = await run.hook("verify", verify, read=read, place=run.in_thread if plain else None)
        return rewards, running.model_calls

    async def shut(self, free: Callable[[Any], Any] | None) -> None:
        """End the running episode, then free the instance, once."""
        if self.running is not None:
            await self._tear_down(self.running)
        _live.discard(self)
        if free is not None and free not in self._freed:  # `super().aclose()` frees what the base class opened
            self._freed.add(free)
            work = free(self._env)
            if inspect.isawaitable(work):
                await bounded(self._env.hook_timeout, work, self._leftovers.add, whole=True)

    def close(self) -> None:
        """Shut the instance, from synchronous code."""
        self._env.close()

    # --- within -----------------------------------------------------------------------------------

    async def _begin(self, seed: int | None, options: dict[str, Any]) -> Running:
        """End the episode that runs, and find the task of the next; what names it is taken out of the options."""
        self._expect_usable()
        if self.running is not None:
            await self._tear_down(self.running)
        gymnasium.Env.reset(self._env, seed=seed)
        if seed is not None or self._episode < 0:
            self._seed, self._episode = self._env.np_random_seed if seed is None else seed, 0
        else:
            self._episode += 1
        task = self._draw(options)
        if self._traits.frees:
            _live.add(self)
        self.running = Running(task)
        return self.running

    def _expect_open(self) -> Running:
        if self.running is None or not self.running.open:
            raise ResetNeeded("the episode has ended or none was started: call reset()")
        return self.running

    def _expect_usable(self) -> None:
        name = type(self._env).__name__
        if not self.made:
            raise AuthorError(f"{name}.__init__ does not call super().__init__()")
        check_roles(name, self._env.roles, self.models)
        if self.spoiled:
            raise EnvironmentFailure(
                f"work of an earlier episode still runs on this {name}: make another instance",
                kind="abandoned",
                stage="setup",
            )

    def _draw(self, options: dict[str, Any]) -> Task:
        """The task of the next episode, as a copy of its own; takes what names it out of the options."""
        task = take_task(options, self._traits.options, self.tasks)
        if task is None:
            task = self.tasks.draw(self._env.split, self._seed, self._episode, scope=self._env.scope)
        return lazy_copy(task)

    async def _offer(self, run: Runner, running: Running) -> None:
        """Find out which tools the episode has."""
        offered = functools.partial(self._env.offered, running.task)
        running.tools = await run.hook("setup", offered, read=self._read_tools)
        running.schemas = orjson.dumps([tool.schema for tool in running.tools.values()])

    def _read_tools(self, offered: Iterable[Tool | str]) -> dict[str, Tool]:
        tools = [self._env.tools[tool] if isinstance(tool, str) else tool for tool in offered]
        found = {tool.name: tool for tool in tools}
        if len(found) < len(tools):
            raise ValueError(f"two of the offered tools have one name: {[tool.name for tool in tools]}")
        if not self._traits.suspends and (suspending := [tool.name for tool in tools if tool.suspends]):
            raise ValueError(
                f"the offered tool {suspending[0]!r} is async, and nothing says that this environment needs an event "
                "loop: write `async def offered`"
            )
        return found

    async def _answer(self, running: Running, message: Message) -> tuple[list[Message], bool]:
        """The messages that answer one of the policy, and whether the episode is over."""
        env = self._env
        run = Runner(env, running, self._leftovers)
        if calls := message.get("tool_calls"):
            return await run.calls(calls), running.finished
        if not self._traits.responds:
            return [], True
        reply = await run.hook("respond", functools.partial(env.respond, message), read=read_reply)
        return reply or [], reply is None or running.finished

    async def _verify(self, running: Running, truncated: bool) -> dict[str, Any]:
        """Verify, add to the step's reward, and give what `info` tells of the end."""
        episode = Episode(running.task, tuple(running.transcript), truncated, running.metrics)
        reward = await self._ask(running, episode)
        running.metrics |= reward.metrics
        running.rewards.append(math.nan if reward.value is None else reward.value)
        info: dict[str, Any] = {
            "reward_parts": {name: part.value for name, part in reward.parts.items()},
            "reward_weights": {name: part.weight for name, part in reward.parts.items()},
            "metrics": dict(running.metrics),
        }
        if running.tool_errors:
            info["tool_errors"] = dict(running.tool_errors)
        return info

    async def _ask(self, running: Running, episode: Episode) -> Reward:
        """What the verifier says of an episode."""
        env = self._env
        run = Runner(env, running, self._leftovers)
        place = {"thread": run.in_thread, "process": verify_in_process}.get(env.verify_in)
        verify = functools.partial(env.verify, episode)
        return await run.hook("verify", verify, read=read_reward, place=place)

    async def _tear_down(self, running: Running) -> None:
        """End an episode, once; what fails in it costs the instance, and not what the episode earned."""
        if running.torn:
            return
        running.torn, running.open = True, False
        if not self._traits.tears:
            return
        try:
            work = self._env.teardown()
            if inspect.isawaitable(work):
                await bounded(self._env.hook_timeout, work, self._leftovers.add, whole=True)
        except BaseException as error:
            if is_outside(error):
                raise
            self._broken = True
            _log.warning("%s.teardown: %s: %s", type(self._env).__name__, type(error).__name__, error)

    def _show(self, messages: Sequence[Message]) -> None:
        if self._env.render_mode == "human":
            print(*map(format_message, messages), sep="\n")  # noqa: T201 -- this mode prints


def _record(running: Running, message: Message) -> None:
    name_calls(message, running.turn)
    running.transcript.append(message)
    running.turn += 1


@functools.lru_cache(1024)
def _shared(schemas: bytes) -> bytes:
    """The same bytes, once for all instances."""
    return schemas


def closing(author: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """`aclose` as an author wrote it, after the end of the running episode."""

    @functools.wraps(author)
    def aclose(self: Any) -> Any:
        return self._ToolEnv__life.shut(author)

    return aclose


# Instances with something to free; what is left of them when the interpreter ends is freed then.
_live: weakref.WeakSet[Lifecycle] = weakref.WeakSet()


@atexit.register
def _free_all() -> None:
    for life in list(_live):
        with contextlib.suppress(Exception, SystemExit):
            life.close()
