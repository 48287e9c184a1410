"""Checks of what an environment opens and frees, and of what goes on when its episodes are over."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import itertools
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

from llmgym.concurrency import drive_in_background, may_suspend
from llmgym.env import ToolEnv
from llmgym.errors import LLMGymError
from llmgym.rollout.driver import Driver
from llmgym.rollout.instances import Instances
from llmgym.tasks import Task
from llmgym.testing.playing import play
from llmgym.testing.report import Fault, Skip
from llmgym.testing.subject import Subject
from llmgym.trajectory import Trajectory

_PATIENCE_S = 1.0  # for threads and tasks that are about to end
_OF_LOOPS = ("llmgym-loop", "asyncio_")  # threads that stay for all environments


class Watch:
    """Counts what is torn down and closed on an instance, and makes its `setup` fail where told to.

    Attributes:
        teardowns: Calls of `teardown`.
        closings: Calls of what the author wrote in `aclose`.
        errors: What these raised.
        fails: Where the next `setup` fails: "before" the author's code, or "after" it.
    """

    def __init__(self, core: ToolEnv) -> None:
        """Watch an instance from now on."""
        self.teardowns = self.closings = 0
        self.errors: list[str] = []
        self.fails: str | None = None
        own: Any = type(core)
        watch = self

        def setup(env: Any, task: Task, **options: Any) -> Any:
            if watch.fails == "before":
                raise Broken
            work = own.setup(env, task, **options)
            return work if watch.fails is None else _then_break(work)

        def teardown(env: Any) -> Any:
            watch.teardowns += 1
            return watch.note("teardown", lambda: own.teardown(env))

        members: dict[str, Any] = {"setup": _like(own.setup, setup), "teardown": _like(own.teardown, teardown)}
        if own.aclose is not ToolEnv.aclose:

            def aclose(env: Any) -> Any:
                watch.closings += 1
                return watch.note("aclose", lambda: own.aclose.__wrapped__(env))

            members["aclose"] = _like(own.aclose.__wrapped__, aclose)
        # A class of the same layout: what the author's methods call by `self` is counted too.
        object.__setattr__(core, "__class__", type(own.__name__, (own,), members))

    def note(self, hook: str, call: Callable[[], Any]) -> Any:
        """Call a hook, and note what it raises."""
        try:
            work = call()
        except Exception as error:
            self._add(hook, error)
            raise
        return self._noted(hook, work) if inspect.isawaitable(work) else work

    async def _noted(self, hook: str, work: Awaitable[Any]) -> Any:
        try:
            return await work
        except Exception as error:
            self._add(hook, error)
            raise

    def _add(self, hook: str, error: Exception) -> None:
        self.errors.append(f"{hook} raised {type(error).__name__}: {error}")


def _like(author: Callable[..., Any], watched: Callable[..., Any]) -> Callable[..., Any]:
    """A hook that says as much as the author's whether it needs an event loop."""
    if not may_suspend(author):
        return watched

    async def awaited(*args: Any, **kwargs: Any) -> Any:
        work = watched(*args, **kwargs)
        return await work if inspect.isawaitable(work) else work

    return awaited


class Broken(Exception):
    """A setup that a check has broken."""


def _then_break(work: Any) -> Any:
    if not inspect.isawaitable(work):
        raise Broken

    async def later() -> None:
        await work
        raise Broken

    return later()


def lifecycle(subject: Subject) -> None:
    """Each episode is torn down once, however it ended, and each instance is closed once."""
    own: Any = type(subject.core)
    tears, frees = own.teardown is not ToolEnv.teardown, own.aclose is not ToolEnv.aclose
    if not (tears or frees):
        raise Skip("it has neither teardown nor aclose: nothing to free")
    task = subject.sample(subject.tasks.splits[0])[0]
    for fails in (None, "before", "after"):
        instances = subject.instances()
        core = instances.sample.unwrapped
        assert isinstance(core, ToolEnv)
        watch = Watch(core)
        for how, episode in _EPISODES.items() if fails is None else [(f"failed {fails} its setup ran", _ended)]:
            watch.fails, before = fails, watch.teardowns
            drive_in_background(episode(instances, core, task))
            _expect_calm(watch, f"in an episode that {how}")
            runs = 2 if how == "was reset in the middle" else 1
            if tears and watch.teardowns - before != runs:
                raise Fault(
                    f"teardown ran {watch.teardowns - before} times, not {runs}, for an episode that {how}; ToolEnv "
                    "calls it: do not call it from elsewhere"
                )
        if watch.closings:
            raise Fault("aclose ran before the instance was closed; free what an episode opened in teardown")
        before = watch.teardowns
        for _ in range(2):
            try:
                core.close()
            except Exception:
                if not watch.errors:
                    raise
        _expect_calm(watch, "when the instance was closed twice" if fails is None else f"after setup failed {fails}")
        if (frees and watch.closings != 1) or watch.teardowns != before:
            raise Fault(
                f"closing an instance twice ran aclose {watch.closings} times and teardown "
                f"{watch.teardowns - before} times, not 1 and 0; ToolEnv calls both: do not call them from elsewhere"
            )


def _expect_calm(watch: Watch, when: str) -> None:
    if watch.errors:
        raise Fault(f"{watch.errors[0]}, {when}; free what is there, and setup may have failed at its first line")


async def _ended(instances: Instances, core: ToolEnv, task: Task) -> None:
    driver = Driver(instances, task, Trajectory(instances.id, task.id, 0, 0))
    if await driver.open():
        while not driver.done:
            await driver.step("")


async def _abandoned(instances: Instances, core: ToolEnv, task: Task) -> None:
    driver = Driver(instances, task, Trajectory(instances.id, task.id, 0, 0))
    await driver.open()
    await driver.close()


async def _cut(instances: Instances, core: ToolEnv, task: Task) -> None:
    driver = Driver(instances, task, Trajectory(instances.id, task.id, 0, 0))
    if await driver.open():
        await driver.end("max_turns")


async def _reset(instances: Instances, core: ToolEnv, task: Task) -> None:
    await core.areset(options={"task": task})
    await _abandoned(instances, core, task)


_EPISODES = {
    "ended": _ended,
    "was abandoned": _abandoned,
    "was cut off by a limit": _cut,
    "was reset in the middle": _reset,
}


def threads(subject: Subject) -> None:
    """No thread or task of an instance goes on when its episodes are over and it is closed."""
    _episodes(subject)  # threads of the class or of a library, which stay once they are there
    before = _alive()
    _episodes(subject)
    deadline = time.monotonic() + _PATIENCE_S
    while (left := _alive() - before) and time.monotonic() < deadline:
        time.sleep(0.01)
    if left:
        names = ", ".join(sorted(_name(one) for one in left))
        raise Fault(f"{names} still ran after the episodes of an instance; end it in teardown or aclose")


def _episodes(subject: Subject) -> None:
    instances = subject.instances()
    space = instances.sample.unwrapped.action_space
    space.seed(subject.seed)
    tasks, box = subject.sample(subject.tasks.splits[0])[:3], subject.box(0.4)
    for index, task in enumerate(tasks):
        if box.over and index:
            subject.cut(f"{index} of {len(tasks)} episodes played")
            break
        with contextlib.suppress(Fault, LLMGymError):  # others say that an episode fails
            play(instances, task, lambda core: map(core.action_space.sample, itertools.repeat(None)), subject.seed)
    instances.close()


def _alive() -> set[threading.Thread | asyncio.Task[Any]]:
    """Threads, and tasks of the event loop that episodes run in."""
    found = set[threading.Thread | asyncio.Task[Any]](drive_in_background(_tasks()))
    return found | {thread for thread in threading.enumerate() if not thread.name.startswith(_OF_LOOPS)}


async def _tasks() -> set[asyncio.Task[Any]]:
    return asyncio.all_tasks() - {asyncio.current_task()}  # type: ignore[arg-type]


def _name(one: threading.Thread | asyncio.Task[Any]) -> str:
    if isinstance(one, threading.Thread):
        return f"the thread {one.name}"
    return f"the task {getattr(one.get_coro(), '__qualname__', one.get_name())}"
