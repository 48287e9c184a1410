"""Deadlines that hold whatever the work does, and work that must be ended whatever its caller does."""

from __future__ import annotations

import asyncio
import ctypes
import functools
import sys
import threading
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Protocol, TypeVar

from llmgym.concurrency.holds import Clock

T = TypeVar("T")

_GRACE_S = 1.0  # for work to take note of being cancelled
_EAGER: dict[str, Any] = {"eager_start": True} if sys.version_info >= (3, 12) else {}


class PastDeadline(TimeoutError):
    """Work did not end within its time; told apart from a `TimeoutError` of the work itself."""


class Exited(Exception):
    """`SystemExit` of work that runs beside other work, or its own `KeyboardInterrupt`, which must not end that."""


Exited.__name__ = "SystemExit"  # which is what authors know it by


class Leftover(Protocol):
    """Work that went on past its deadline, since nothing could stop it."""

    def done(self) -> bool:
        """Whether it has ended after all."""
        ...


async def bounded(
    seconds: float,
    work: Awaitable[T],
    leave: Callable[[Leftover], None],
    start: Callable[[], object] | None = None,
    *,
    whole: bool = False,
) -> T:
    """Await work for so many seconds, and not longer even where it swallows its cancellation.

    The work is a task of its own, with its own `asyncio.timeout` blocks and cancel scopes. Its time stands still in its
    blocks of `held`.

    Args:
        seconds: The deadline.
        work: A coroutine, or another awaitable.
        leave: Gets the work if nothing ends it.
        start: Called in the work's own context before it begins, for context variables.
        whole: Whether it keeps its time though the caller is cancelled, who goes on afterwards; else that ends it.

    Raises:
        PastDeadline: It did not end in time.
    """
    loop = asyncio.get_running_loop()
    over = loop.create_future()  # with the work, or with its time: `asyncio.wait` costs another turn of the loop
    clock = Clock(seconds, functools.partial(_settle, over))
    task = asyncio.Task(_contained(work, start, over, clock), loop=loop, **_EAGER)
    if not task.done():
        clock.start()
        try:
            await over
        except asyncio.CancelledError:
            await shielded(ended(task, leave, clock if whole else None))
            raise
        finally:
            clock.stop()
    if task.done():
        return task.result()
    await shielded(ended(task, leave))
    raise PastDeadline


async def _contained(
    work: Awaitable[T], start: Callable[[], object] | None, over: asyncio.Future[None], clock: Clock
) -> T:
    """The work; a task would let SystemExit and KeyboardInterrupt end the event loop."""
    clock.wear()
    try:
        if start is not None:
            start()
        return await work
    except (SystemExit, KeyboardInterrupt) as error:
        if is_outside(error):
            raise
        raise Exited(str(error)) from error
    finally:
        _settle(over)


def _settle(over: asyncio.Future[None]) -> None:
    if not over.done():
        over.set_result(None)


async def ended(task: asyncio.Task[Any], leave: Callable[[Leftover], None], clock: Clock | None = None) -> None:
    """Cancel a task and wait until it has ended; one that swallows that is closed, and one that survives it is left.

    Args:
        task: The task.
        leave: Gets it if nothing ends it.
        clock: The time for which it may go on first.
    """
    if clock is not None:
        await clock.rest(task)
    task.cancel()
    await asyncio.wait({task}, timeout=_GRACE_S)
    if not task.done():
        coroutines = awaited(task)
        try:
            coroutines[0].close()
        except RuntimeError:  # "ignored GeneratorExit"
            never_finalize(coroutines)
        task.cancel()
        await asyncio.wait({task}, timeout=_GRACE_S)
    if task.done():
        _retrieve(task)
    else:
        task.add_done_callback(_retrieve)
        leave(task)


def awaited(task: asyncio.Task[Any]) -> list[Any]:
    """The coroutine of a task, the one that it awaits, and so on."""
    coroutines: list[Any] = []
    inner: Any = task.get_coro()
    while inner is not None:
        coroutines.append(inner)
        inner = getattr(inner, "cr_await", None)
    return coroutines


def never_finalize(coroutines: Iterable[Any]) -> None:
    """Keep coroutines that nothing ends until the process is gone.

    Python closes a coroutine that nobody holds, whenever it notices, in whatever thread. One that goes on whatever is
    raised in it, such as `while True: try: await poll() except: pass`, finds no event loop there, and spins for ever.
    """
    for coroutine in coroutines:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(coroutine))


def _retrieve(task: asyncio.Task[Any]) -> None:
    """Look at a result that nobody wants, which would be logged otherwise."""
    if not task.cancelled():
        task.exception()


async def shielded(work: Awaitable[T]) -> T:
    """Await work to its end though the caller is cancelled; that goes on afterwards.

    The work must be bounded.
    """
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        if not task.cancelled():
            task.exception()
        raise cancelled
    return task.result()


def is_outside(error: BaseException) -> bool:
    """Whether an exception ends what runs the work, and says nothing of the work: all others are the work's own."""
    if isinstance(error, KeyboardInterrupt):  # Ctrl-C is raised in the main thread alone
        return threading.current_thread() is threading.main_thread()
    return isinstance(error, GeneratorExit) or is_cancellation(error)


def is_cancellation(error: BaseException) -> bool:
    """Whether an exception is the cancellation of the running task, rather than that of something it awaits."""
    if not isinstance(error, asyncio.CancelledError):
        return False
    try:
        task = asyncio.current_task()
    except RuntimeError:  # no event loop, so no task
        return False
    return task is not None and task.cancelling() > 0
