"""Work that computes, in worker processes that can be killed.

A worker gets its job pickled, and answers in JSON: what a job did, which may be to run code of a model, must not decide
what the parent unpickles. A worker is no sandbox all the same: it may do whatever this user may.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import json
import multiprocessing
import multiprocessing.process
import os
import pickle
import signal
import threading
from collections.abc import Callable, Generator, Sequence
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from typing import Any

from llmgym.concurrency.deadlines import PastDeadline
from llmgym.concurrency.lifelines import CAN_TIE, tie
from llmgym.concurrency.threads import CORES, Places
from llmgym.errors import EnvironmentFailure

PROCESSES = Places(CORES, "worker processes")
_PREPARATION_S = 60.0  # that a worker may take to get ready for a sort of jobs


class WorkerError(RuntimeError):
    """What a job raised in its worker; the text names the exception.

    Attributes:
        types: Names of the exception's type and of those that it derives from.
    """

    def __init__(self, message: str, types: Sequence[str]) -> None:
        """Take what the worker told."""
        super().__init__(message)
        self.types = tuple(types)


async def in_process(
    function: Callable[..., Any], /, *args: Any, seconds: float, prepare: Callable[[], None] | None = None
) -> Any:
    """Run a picklable function in a worker process, which is killed when its time is over or nobody waits for it.

    Args:
        function: Gives JSON data.
        *args: Its arguments.
        seconds: How long it may take, once a worker has it.
        prepare: What a worker runs before its first such job, outside of that job's time: slow imports.

    Raises:
        PastDeadline: It was still running after `seconds`.
        WorkerError: It raised.
        EnvironmentFailure: No worker can be started or prepared, or it died.
    """
    job = pickle.dumps((function, args))
    preparation = None if prepare is None else pickle.dumps((prepare, ()))
    await PROCESSES.take()
    call = _Call(job, seconds, preparation)
    try:
        return await call.future
    except asyncio.CancelledError:
        call.cancel()
        raise


class _Call:
    """A job on its way; a thread waits for the worker."""

    def __init__(self, job: bytes, seconds: float, preparation: bytes | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._worker: _Worker | None = None
        self._cancelled = False
        self.future: asyncio.Future[Any] = self._loop.create_future()
        work = functools.partial(self._work, job, seconds, preparation)
        try:
            threading.Thread(target=work, name="llmgym-process", daemon=True).start()
        except (RuntimeError, MemoryError) as error:
            PROCESSES.give()
            raise EnvironmentFailure(f"no thread can be started: {error}", kind="infrastructure") from error

    def cancel(self) -> None:
        """Kill the worker; its thread then ends by itself."""
        with self._lock:
            self._cancelled = True
            if self._worker is not None:
                self._worker.stop()

    def _work(self, job: bytes, seconds: float, preparation: bytes | None) -> None:
        result, failure = None, None
        worker: _Worker | None = None
        try:
            worker = _idle_or_new()
            with self._lock:
                self._worker = worker
                if self._cancelled:
                    raise PastDeadline
            if preparation is not None:
                worker.prepare(preparation)
            result = worker.call(job, seconds)
            with self._lock:  # from here on nobody else may kill it
                self._worker = None
                if not self._cancelled:
                    _idle.append(worker)
                    worker = None
        except WorkerError as error:
            failure = error
            with self._lock:
                self._worker = None
                if not self._cancelled:
                    _idle.append(worker)  # type: ignore[arg-type]  # it answered
                    worker = None
        except Exception as error:  # noqa: BLE001 -- told to whoever waits
            failure = error
        if worker is not None:
            with self._lock:  # from here on nobody else may end it
                self._worker = None
            worker.close()
        PROCESSES.give()
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
            self._loop.call_soon_threadsafe(self._settle, result, failure)

    def _settle(self, result: Any, failure: Exception | None) -> None:
        if self.future.done():
            return
        if failure is None:
            self.future.set_result(result)
        else:
            self.future.set_exception(failure)


class _Worker:
    """A process that runs one job at a time.

    Spawned, since forking beside threads and CUDA is unsafe, and a forked child can use no fork server of its parent's.
    """

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, child = context.Pipe()
        self._process = context.Process(target=_serve, args=(child,), daemon=True, name="llmgym-worker")
        try:
            with _allow_children(), _deaf_to_ctrl_c():
                self._process.start()
        except OSError as error:
            raise EnvironmentFailure(f"no worker process can be started: {error}", kind="infrastructure") from error
        finally:
            child.close()
        _workers.add(self)
        try:
            self._connection.recv_bytes()  # it is up: no job's deadline pays for the start
        except (EOFError, OSError):
            self.close()
            hint = "does the script lack `if __name__ == '__main__':`?"
            raise EnvironmentFailure(f"a worker process did not start; {hint}", kind="infrastructure") from None
        self._prepared: set[bytes] = set()

    def prepare(self, job: bytes) -> None:
        """Run a job that makes ready for others, once."""
        if job in self._prepared:
            return
        try:
            self.call(job, _PREPARATION_S)
        except (PastDeadline, WorkerError) as error:
            why = str(error) or f"it takes more than {_PREPARATION_S:g} s"
            raise EnvironmentFailure(f"a worker process cannot be prepared: {why}", kind="infrastructure") from error
        self._prepared.add(job)

    def call(self, job: bytes, seconds: float) -> Any:
        """Run a job and give what it gave."""
        try:
            self._connection.send_bytes(job)
            if not self._connection.poll(seconds):
                raise PastDeadline
            answer: dict[str, Any] = json.loads(self._connection.recv_bytes())
        except PastDeadline:
            raise
        except (EOFError, OSError, ValueError):
            raise EnvironmentFailure("the worker process died", kind="infrastructure") from None
        if "error" in answer:
            raise WorkerError(answer["error"], answer["types"])
        return answer["result"]

    def stop(self) -> None:
        """End the process and all that it started, at once; whoever waits for its answer sees that it died."""
        assert self._process.pid is not None
        with contextlib.suppress(OSError):  # it leads a group of its own once it is up; the group may outlive it
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()

    def close(self) -> None:
        """End the process, and free what it took here."""
        _workers.discard(self)
        self.stop()
        self._process.join()
        self._process.close()
        self._connection.close()


def _idle_or_new() -> _Worker:
    try:
        return _idle.pop()
    except IndexError:  # asked for no sooner, since another thread may take the last one
        return _Worker()


_starting = threading.Lock()
_idle: list[_Worker] = []
_workers: set[_Worker] = set()


def _forget_workers() -> None:
    _idle.clear()
    _workers.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_workers)  # the parent's workers answer the parent


@atexit.register
def _stop_workers() -> None:
    """Multiprocessing would end the workers alone, and leave what jobs have started."""
    for worker in list(_workers):
        worker.stop()


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


@contextlib.contextmanager
def _deaf_to_ctrl_c() -> Generator[None]:
    """Have a process start so: it is in the terminal's group until it is up, and Ctrl-C is for the parent alone."""
    resource_tracker.ensure_running()  # which would have the signal heard again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(connection: Connection) -> None:
    """Run jobs until the parent goes away."""
    with contextlib.suppress(OSError):
        os.setpgid(0, 0)  # so that it can be killed with all that a job starts
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)  # forgets a Ctrl-C of before
    signal.signal(signal.SIGINT, handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    _end_with_parent()
    connection.send_bytes(b"")
    while True:
        try:
            function, args = pickle.loads(connection.recv_bytes())
        except EOFError:
            return
        except Exception as error:  # noqa: BLE001 -- a class that only the parent has
            connection.send_bytes(_told(error))
            continue
        try:
            answer = json.dumps({"result": function(*args)}).encode()
        except BaseException as error:  # noqa: BLE001 -- whatever the job raises is its result
            answer = _told(error)
        connection.send_bytes(answer)


def _told(error: BaseException) -> bytes:
    types = [base.__name__ for base in type(error).__mro__]
    return json.dumps({"error": f"{types[0]}: {error}", "types": types}).encode()


def _end_with_parent() -> None:
    """A job that hangs must not outlive a parent that was killed, nor must what it started.

    On Linux the kernel sees to it: a job in C that keeps Python's lock lets no thread run.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None
    if CAN_TIE:
        tie(parent.sentinel)  # type: ignore[attr-defined]  # at its end when the parent is

    def watch() -> None:  # where it does not, and for a parent that is gone already
        parent.join()
        with contextlib.suppress(OSError):
            os.killpg(0, signal.SIGKILL)
        os._exit(1)

    threading.Thread(target=watch, name="llmgym-watch", daemon=True).start()
