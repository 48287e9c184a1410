"""Deadlines, blocking work and the bridge from synchronous callers to the async core."""

from __future__ import annotations

import asyncio
import contextlib
import dis
import functools
import inspect
import multiprocessing
import multiprocessing.process
import os
import pickle
import threading
import types
import weakref
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import Future
from multiprocessing.connection import Connection
from typing import Any, TypeVar

T = TypeVar("T")

_SUSPENDING = frozenset({"GET_AWAITABLE", "GET_AITER", "GET_ANEXT", "BEFORE_ASYNC_WITH"})


def suspends(function: Callable[..., Any]) -> bool:
    """Whether calling a function may need an event loop.

    A plain function does not, nor does an `async def` whose code has no await at all.
    """
    function = inspect.unwrap(function)
    if not inspect.iscoroutinefunction(function):
        return False
    return any(instruction.opname in _SUSPENDING for instruction in dis.get_instructions(function))


# --- synchronous callers ------------------------------------------------------------------------


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
    if asyncio._get_running_loop() is _background_loop(os.getpid()):
        coroutine.close()
        raise RuntimeError("reset() and step() of an environment inside another one: await areset() and astep()")
    future = start_in_background(coroutine)
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


def start_in_background(coroutine: Coroutine[Any, Any, T]) -> Future[T]:
    """Start a coroutine in this process's background event loop."""
    return asyncio.run_coroutine_threadsafe(coroutine, _background_loop(os.getpid()))


@functools.lru_cache(maxsize=1)
def _background_loop(pid: int) -> asyncio.AbstractEventLoop:
    """One loop in one daemon thread per process; the key makes a forked child start its own."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name=f"llmgym-loop-{pid}", daemon=True).start()
    return loop


# --- deadlines ----------------------------------------------------------------------------------


@types.coroutine
def within(seconds: float, coroutine: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
    """Await a coroutine under a deadline that costs nothing unless it really suspends.

    Most tools and verifiers never do. The coroutine stays in the calling task throughout, so that
    its own `asyncio.timeout` blocks and cancel scopes work.

    Raises:
        TimeoutError: It was still suspended after `seconds`.
    """
    try:
        waiting = coroutine.send(None)
    except StopIteration as done:
        return done.value
    return (yield from _bounded(seconds, coroutine, waiting).__await__())


async def _bounded(seconds: float, coroutine: Coroutine[Any, Any, T], waiting: Any) -> T:
    async with asyncio.timeout(seconds):
        return await _resume(coroutine, waiting)


@types.coroutine
def _resume(coroutine: Coroutine[Any, Any, T], waiting: Any) -> Generator[Any, Any, T]:
    """Continue a coroutine that has already yielded `waiting`."""
    while True:
        try:
            yield waiting
        except BaseException as error:  # noqa: BLE001 -- raised inside the coroutine instead
            resume = functools.partial(coroutine.throw, error)
        else:
            resume = functools.partial(coroutine.send, None)
        try:
            waiting = resume()
        except StopIteration as done:
            return done.value


def is_cancellation(error: BaseException) -> bool:
    """Whether an exception is the cancellation of the running task, rather than that of something it awaits."""
    if not isinstance(error, asyncio.CancelledError):
        return False
    try:
        task = asyncio.current_task()
    except RuntimeError:  # no event loop, so no task
        return False
    return task is not None and task.cancelling() > 0


# --- blocking work ------------------------------------------------------------------------------

# The cores that this process may use: a container has fewer than its host.
_CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
_LIMITS = {"thread": min(32, _CORES + 4), "process": _CORES}
_permits: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, asyncio.Semaphore]] = (
    weakref.WeakKeyDictionary()
)


def _permit(kind: str) -> asyncio.Semaphore:
    pools = _permits.setdefault(asyncio.get_running_loop(), {})
    return pools.setdefault(kind, asyncio.Semaphore(_LIMITS[kind]))


async def in_thread(function: Callable[[], T], seconds: float) -> T:
    """Run a blocking function in a thread of a bounded pool.

    The deadline starts when the job does, not when it queues: a full pool makes jobs late, never
    wrong. Threads cannot be killed, so a job past its deadline is abandoned in its daemon thread
    and its place in the pool given to the next.

    Raises:
        TimeoutError: It was still running after `seconds`.
    """
    async with _permit("thread"), asyncio.timeout(seconds):
        return await _start_thread(function)


async def in_process(function: Callable[..., T], /, *args: Any, seconds: float) -> T:
    """Run a picklable function in a worker process, which is killed when it runs past its deadline.

    Raises:
        TimeoutError: It was still running after `seconds`, counted as `in_thread` does.
    """
    job = pickle.dumps((function, args))
    async with _permit("process"):
        return await _start_thread(functools.partial(_call_worker, job, seconds))


def _start_thread(function: Callable[[], T]) -> asyncio.Future[T]:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if not future.done():
            if error is None:
                future.set_result(result)  # type: ignore[arg-type]
            else:
                future.set_exception(error)

    def work() -> None:
        result, failure = None, None
        try:
            result = function()
        except StopIteration as error:  # a future refuses it
            failure = RuntimeError(f"StopIteration: {error}")
        except BaseException as error:  # noqa: BLE001 -- SystemExit of a tool is a failure of the tool
            failure = error if isinstance(error, Exception) else RuntimeError(f"{type(error).__name__}: {error}")
        with contextlib.suppress(RuntimeError):  # the loop closed while an abandoned job was running
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=work, name="llmgym-blocking", daemon=True).start()
    return future


class _Worker:
    """A process that runs one job at a time.

    Spawned, since forking beside threads and CUDA is unsafe, and a forked child can use no fork
    server of its parent's.
    """

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, child = context.Pipe()
        self.process = context.Process(target=_serve, args=(child,), daemon=True, name="llmgym-worker")
        with _allow_children():
            self.process.start()
        child.close()
        try:
            self.connection.recv_bytes()  # it is up: no job's deadline pays for the start
        except EOFError:
            hint = "does the script lack `if __name__ == '__main__':`?"
            raise RuntimeError(f"a worker process did not start; {hint}") from None

    def call(self, job: bytes, seconds: float) -> tuple[bool, Any]:
        """Whether the job returned, and its result or exception."""
        self.connection.send_bytes(job)
        if not self.connection.poll(seconds):
            raise TimeoutError
        try:
            return pickle.loads(self.connection.recv_bytes())  # type: ignore[no-any-return]
        except EOFError:
            raise RuntimeError("the worker process died") from None

    def kill(self) -> None:
        """End the process at once."""
        self.process.kill()
        self.process.join()
        self.connection.close()


_starting = threading.Lock()
_idle: list[_Worker] = []
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_idle.clear)  # the parent's workers answer the parent


@contextlib.contextmanager
def _allow_children() -> Generator[None]:
    """Let a daemonic process, such as those of `AsyncVectorEnv`, have workers; they end with it."""
    config = multiprocessing.process.current_process()._config  # type: ignore[attr-defined]
    with _starting:
        daemon = config.pop("daemon", False)
        try:
            yield
        finally:
            config["daemon"] = daemon


def _call_worker(job: bytes, seconds: float) -> Any:
    try:
        worker = _idle.pop()
    except IndexError:
        worker = _Worker()
    try:
        ok, value = worker.call(job, seconds)
    except BaseException:
        worker.kill()
        raise
    _idle.append(worker)
    if ok:
        return value
    raise value


def _serve(connection: Connection) -> None:
    """Run jobs until the parent goes away."""
    threading.Thread(target=_end_with_parent, name="llmgym-watch", daemon=True).start()
    connection.send_bytes(b"")
    while True:
        try:
            function, args = pickle.loads(connection.recv_bytes())
        except EOFError:
            return
        try:
            reply = (True, function(*args))
        except BaseException as error:  # noqa: BLE001 -- whatever the job raises is its result
            reply = (False, error if isinstance(error, Exception) else RuntimeError(repr(error)))
        try:
            data = pickle.dumps(reply)
        except Exception as error:  # noqa: BLE001 -- an unpicklable result must not end the worker
            data = pickle.dumps((False, RuntimeError(f"result cannot be pickled: {error}")))
        connection.send_bytes(data)


def _end_with_parent() -> None:
    """A job that hangs must not outlive a parent that was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
