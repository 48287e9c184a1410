"""Ends of a run and of its process that wait for nothing that does not end.

Python waits for ever for tasks that swallow their cancellation, and for threads that hang, such as those of a tool that
calls `asyncio.to_thread`. By then all that has finished is stored.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import signal
import threading
from collections.abc import Coroutine, Generator
from contextlib import contextmanager
from typing import Any

from llmgym.concurrency.deadlines import awaited, never_finalize

_GRACE_S = 5.0  # for tasks to take note of their cancellation, and for threads to end


@contextmanager
def interrupted_by_sigterm() -> Generator[None]:
    """Have SIGTERM end the block as Ctrl-C does, so that nothing half-written stays, with an exit code of its own."""
    stopped = False

    def stop(number: int, frame: Any) -> None:
        nonlocal stopped
        if stopped:  # schedulers send it several times, and SIGKILL where they mean it
            return
        stopped = True
        interrupt = signal.getsignal(signal.SIGINT)  # that of a running event loop, or none: shells take it from jobs
        (interrupt if callable(interrupt) else signal.default_int_handler)(signal.SIGINT, frame)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except KeyboardInterrupt:
        if not stopped:
            raise
        raise SystemExit(128 + signal.SIGTERM) from None
    finally:
        signal.signal(signal.SIGTERM, before)


def run_to_end(main: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine as `asyncio.run` does, in a process that ends soon after."""
    runner = asyncio.Runner()  # whose own `close` would wait
    try:
        runner.run(main)
    finally:
        runner.run(_wind_up())
        runner.get_loop().close()


async def _wind_up() -> None:
    """End what was left running, as far as it can be ended."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    if left:
        _, endless = await asyncio.wait(left, timeout=_GRACE_S)
        for task in endless:
            never_finalize(awaited(task))
    await asyncio.get_running_loop().shutdown_asyncgens()


def end_in_time(code: object) -> None:
    """See to it that the process, which is about to end, does so though threads hang.

    Args:
        code: Its exit code, as in `SystemExit`.
    """
    hung = [thread.name for thread in threading.enumerate() if not thread.daemon]
    hung.remove(threading.main_thread().name)
    if not hung:
        return
    status = code if isinstance(code, int) else int(code is not None)

    def leave() -> None:
        os.write(2, f"leaving {len(hung)} threads that do not end: {', '.join(hung[:3])}\n".encode())
        os._exit(status)

    timer = threading.Timer(_GRACE_S, leave)
    timer.daemon = True
    atexit.register(timer.cancel)  # which is called once the threads have ended: what else ends then has its time
    timer.start()
