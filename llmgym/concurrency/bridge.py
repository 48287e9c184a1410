"""Synchronous callers of coroutines: at once where nothing can suspend, in a background event loop where it can."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")

#: Whether whoever waits for this work holds an event loop meanwhile: it must not wait for other work of that loop.
HOLDING: contextvars.ContextVar[bool] = contextvars.ContextVar("llmgym_holding", default=False)

_AWAITABLE = ("Awaitable", "Coroutine", "Future", "Task")


def may_suspend(function: Callable[..., Any]) -> bool:
    """Whether calling a function may need an event loop, by its signature.

    It may where it, or a function that it wraps, is `async`, or where it says that it returns an awaitable.
    """
    while True:
        if inspect.iscoroutinefunction(function):
            return True
        wrapped = function.func if isinstance(function, functools.partial) else getattr(function, "__wrapped__", None)
        if wrapped is None:
            break
        function = wrapped
    returned = getattr(function, "__annotations__", {}).get("return", "")
    text = returned if isinstance(returned, str) else getattr(returned, "__name__", "")
    return any(name in text.partition("[")[0] for name in _AWAITABLE)


def drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that is known never to suspend, without an event loop."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    coroutine.close()
    raise RuntimeError(f"{coroutine.__qualname__} suspended outside an event loop; declare what awaits `async def`")


def drive_in_background(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in this process's background event loop and wait for it.

    Works inside a running loop too (notebooks), which it blocks meanwhile.

    Raises:
        RuntimeError: Called from the background loop itself, which it would block for ever.
    """
    if asyncio._get_running_loop() is _background.loop():
        coroutine.close()
        raise RuntimeError("reset() and step() of an environment inside another one: await areset() and astep()")
    return _await(start_in_background(coroutine))


def drive_apart(coroutine: Coroutine[Any, Any, T]) -> T:
    """As `drive_in_background`, for work that needs nothing of another loop: from the background loop itself, too.

    So a plain `verify` may call `math.check`, whatever runs its environment.
    """
    running = asyncio._get_running_loop()
    loop = (_second if running is _background.loop() else _background).loop()
    return _await(asyncio.run_coroutine_threadsafe(coroutine if running is None else _holding(coroutine), loop))


async def _holding(coroutine: Coroutine[Any, Any, T]) -> T:
    HOLDING.set(True)
    return await coroutine


def _await(future: Future[T]) -> T:
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


def start_in_background(coroutine: Coroutine[Any, Any, T]) -> Future[T]:
    """Start a coroutine in this process's background event loop."""
    return asyncio.run_coroutine_threadsafe(coroutine, _background.loop())


class _Background:
    """One loop in one daemon thread per process, started when it is first needed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                name = f"llmgym-loop-{os.getpid()}"
                threading.Thread(target=self._loop.run_forever, name=name, daemon=True).start()
            return self._loop


_background, _second = _Background(), _Background()
if hasattr(os, "register_at_fork"):
    # A forked child has no thread of a loop, nor the one that may have held the lock.
    os.register_at_fork(after_in_child=_background.__init__)
    os.register_at_fork(after_in_child=_second.__init__)
