"""Blocking work in threads, of which there are never more than a bound, those that hang included."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import contextvars
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from llmgym.concurrency.bridge import HOLDING
from llmgym.concurrency.cores import usable
from llmgym.concurrency.deadlines import Exited, Leftover, PastDeadline
from llmgym.errors import EnvironmentFailure

T = TypeVar("T")

CORES = usable()


class Places:
    """A bounded number of places for work, shared by all event loops of the process.

    A place is held until the work has really ended. Who finds none waits, as long as there is any that works: once all
    places are held by work past its deadline, nothing says that one will ever be free. Who holds an event loop gets
    one more, since all others may be of work that only goes on in that loop.
    """

    def __init__(self, limit: int, what: str) -> None:
        """Make them; `what` they are is for error messages."""
        self.limit, self._what = limit, what
        self._lock = threading.Lock()
        self._free = limit
        self._hung = 0
        self._waiting: deque[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = deque()

    async def take(self) -> None:
        """Take a place, once there is one.

        Raises:
            EnvironmentFailure: All are held by work that ran past its deadline.
        """
        with self._lock:
            if self._free > 0 or HOLDING.get():
                self._free -= 1
                return
            if self._hung >= self.limit:
                raise self._full()
            loop = asyncio.get_running_loop()
            mine: asyncio.Future[None] = loop.create_future()
            self._waiting.append((loop, mine))
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled() and mine.exception() is None:
                self.give()
            raise

    def give(self) -> None:
        """Give a place back, to whoever has waited longest; from any thread."""
        with self._lock:
            while self._waiting and self._free >= 0:  # else it is one more than there are
                loop, future = self._waiting.popleft()
                with contextlib.suppress(RuntimeError):  # a loop that was closed meanwhile waits for nothing
                    loop.call_soon_threadsafe(self._grant, future)
                    return
            self._free += 1

    def _grant(self, future: asyncio.Future[None]) -> None:
        if future.done():  # cancelled while it waited
            self.give()
        else:
            future.set_result(None)

    def note_hung(self, change: int) -> None:
        """Count work that runs past its deadline, or that has ended after all."""
        with self._lock:
            self._hung += change
            if self._hung < self.limit:
                return
            waiting, self._waiting = list(self._waiting), deque()
        for loop, future in waiting:
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(_fail, future, self._full())

    def _full(self) -> EnvironmentFailure:
        return EnvironmentFailure(
            f"all {self.limit} {self._what} are held by work that ran past its deadline and does not end; "
            "give what they wait for a timeout of its own",
            kind="abandoned",
        )


def _fail(future: asyncio.Future[Any], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)


_GRACE_S = 5.0
_working: set[Job] = set()  # without what ran past its deadline


@atexit.register
def _let_work_end() -> None:
    """Wait for a moment for work that nobody waits for any more, before Python ends.

    A thread that comes back from native code to a Python that is ending is unwound by `pthread_exit`. Code of Rust and
    C++ does not let itself be unwound so, and aborts the process.
    """
    end = time.monotonic() + _GRACE_S
    with contextlib.suppress(KeyboardInterrupt):  # a second Ctrl-C, which waits for nothing
        for job in list(_working):
            job.thread.join(max(0.0, end - time.monotonic()))


THREADS = Places(min(32, CORES + 4), "threads")


class Job:
    """A function that runs in a thread of its own, and holds a place while it does.

    Attributes:
        future: What comes of it.
        thread: Where it runs.
    """

    def __init__(self, function: Callable[[], Any], places: Places) -> None:
        """Start it.

        Raises:
            EnvironmentFailure: No thread can be started.
        """
        self._places = places
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._over = self._late = False
        self.future: asyncio.Future[Any] = self._loop.create_future()
        context = contextvars.copy_context()
        self.thread = threading.Thread(
            target=context.run, args=(self._work, function), name="llmgym-blocking", daemon=True
        )
        _working.add(self)
        try:
            self.thread.start()
        except (RuntimeError, MemoryError) as error:
            _working.discard(self)
            places.give()
            raise EnvironmentFailure(f"no thread can be started: {error}", kind="infrastructure") from error

    def done(self) -> bool:
        """Whether it has ended."""
        return self._over

    def abandon(self, leave: Callable[[Leftover], None]) -> None:
        """Nobody waits for it any more; its place stays taken until it ends."""
        self.future.cancel()  # so that what it raises yet is not logged
        with self._lock:
            if self._over:
                return
            self._late = True
        self._places.note_hung(1)
        leave(self)

    def _work(self, function: Callable[[], Any]) -> None:
        result, failure = None, None
        try:
            result = function()
        except StopIteration as error:  # a future refuses it
            failure = RuntimeError(f"StopIteration: {error}")
        except BaseException as error:  # noqa: BLE001 -- SystemExit of a tool is a failure of the tool
            failure = error if isinstance(error, Exception) else Exited(str(error))
        _working.discard(self)
        with self._lock:
            self._over = True
        if self._late:
            self._places.note_hung(-1)
        self._places.give()
        with contextlib.suppress(RuntimeError):  # the loop closed while an abandoned job was running
            self._loop.call_soon_threadsafe(self._settle, result, failure)

    def _settle(self, result: Any, failure: Exception | None) -> None:
        if self.future.done():
            return
        if failure is None:
            self.future.set_result(result)
        else:
            self.future.set_exception(failure)


async def in_thread(function: Callable[[], T], seconds: float, leave: Callable[[Leftover], None]) -> T:
    """Run a blocking function in one of a bounded number of threads.

    The deadline starts when the function does, not while it waits for a thread: a full house makes work late, never
    wrong. Threads cannot be killed, so work past its deadline is left alone and keeps its place until it ends.

    Args:
        function: What to run.
        seconds: How long it may take.
        leave: Gets the work if it is still running when nobody waits for it any more.

    Raises:
        PastDeadline: It was still running after `seconds`.
        EnvironmentFailure: No thread can be had.
    """
    await THREADS.take()
    job = Job(function, THREADS)
    try:
        done, _ = await asyncio.wait({job.future}, timeout=seconds)
    except asyncio.CancelledError:
        job.abandon(leave)
        raise
    if not done:
        _working.discard(job)
        job.abandon(leave)
        raise PastDeadline
    return job.future.result()
