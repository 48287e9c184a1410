"""Deadlines, blocking work in threads and processes, and callers without an event loop."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from llmgym.concurrency import drive, drive_in_background, in_process, in_thread, suspends, within
from tests.environments import burn

SOON, EVER = 0.1, 3600.0


async def at_once(value: Any = 1) -> Any:
    return value


async def after_a_turn(value: Any = 1) -> Any:
    await asyncio.sleep(0)
    return value


# --- what suspends ------------------------------------------------------------------------------


async def iterates() -> None:
    async for _ in None:  # type: ignore[attr-defined]
        pass


async def enters() -> None:
    async with asyncio.Lock():
        pass


async def comprehends() -> list[Any]:
    return [x async for x in None]  # type: ignore[attr-defined]


@pytest.mark.parametrize("function", [after_a_turn, iterates, enters, comprehends])
def test_code_that_awaits_suspends(function: Callable[..., Any]) -> None:
    assert suspends(function)


@pytest.mark.parametrize("function", [at_once, burn, len])
def test_other_code_does_not(function: Callable[..., Any]) -> None:
    assert not suspends(function)


# --- synchronous callers ------------------------------------------------------------------------


def test_what_never_suspends_needs_no_loop() -> None:
    assert drive(at_once(3)) == 3


def test_what_suspends_after_all_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="suspended outside an event loop"):
        drive(after_a_turn())


def test_the_background_loop_gives_results_and_errors() -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise KeyError("x")

    assert drive_in_background(after_a_turn(3)) == 3
    with pytest.raises(KeyError):
        drive_in_background(fail())


def test_the_background_loop_serves_a_caller_inside_a_loop() -> None:
    async def cell() -> int:
        return drive_in_background(after_a_turn(3))

    assert asyncio.run(cell()) == 3


def test_waiting_for_the_background_loop_on_itself_is_refused() -> None:
    async def nested() -> int:
        await asyncio.sleep(0)
        return drive_in_background(after_a_turn())

    with pytest.raises(RuntimeError, match="await areset"):
        drive_in_background(nested())
    assert drive_in_background(after_a_turn(4)) == 4


def _child(connection: Any) -> None:
    loop_thread = drive_in_background(thread_name())
    connection.send((os.getpid(), loop_thread, asyncio.run(in_process(os.getppid, seconds=60))))


async def thread_name() -> str:
    await asyncio.sleep(0)
    return threading.current_thread().name


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_has_a_loop_and_workers_of_its_own() -> None:
    drive_in_background(thread_name())
    assert asyncio.run(in_process(os.getppid, seconds=60)) == os.getpid()
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    child = context.Process(target=_child, args=(theirs,), daemon=True)
    child.start()
    try:
        assert ours.poll(60), "the child hangs"
        pid, loop_thread, worker_parent = ours.recv()
    finally:
        child.kill()
        child.join()
    assert loop_thread.endswith(str(pid))
    assert worker_parent == pid
    assert asyncio.run(in_process(os.getppid, seconds=60)) == os.getpid()


# --- deadlines ----------------------------------------------------------------------------------


async def test_within_returns_what_finishes_in_time() -> None:
    assert await within(EVER, at_once(2)) == 2
    assert await within(EVER, after_a_turn(2)) == 2


async def test_within_stops_what_does_not() -> None:
    stopped = []

    async def hang() -> None:
        try:
            await asyncio.sleep(EVER)
        finally:
            stopped.append(True)

    with pytest.raises(TimeoutError):
        await within(SOON, hang())
    assert stopped


async def test_within_passes_errors_on() -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise KeyError("x")

    with pytest.raises(KeyError):
        await within(EVER, fail())


async def test_within_keeps_the_task_and_its_own_deadlines() -> None:
    async def patient() -> tuple[Any, ...]:
        first = asyncio.current_task()
        try:
            async with asyncio.timeout(SOON / 10):
                await asyncio.sleep(EVER)
        except TimeoutError:
            await asyncio.sleep(0)
            async with asyncio.TaskGroup() as group:
                job = group.create_task(after_a_turn(5))
            return first, asyncio.current_task(), job.result()
        return ()

    this = asyncio.current_task()
    assert await within(EVER, patient()) == (this, this, 5)
    assert this is not None
    assert not this.cancelling()


async def test_cancelling_goes_through() -> None:
    async def wait() -> None:
        await within(EVER, asyncio.sleep(EVER))

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


# --- threads ------------------------------------------------------------------------------------


async def test_a_thread_runs_beside_the_loop() -> None:
    assert await in_thread(threading.get_ident, EVER) != threading.get_ident()


async def test_a_job_in_a_thread_past_its_deadline_is_given_up() -> None:
    release = threading.Event()
    with pytest.raises(TimeoutError):
        await in_thread(release.wait, SOON)
    assert await in_thread(lambda: 3, EVER) == 3
    release.set()


@pytest.mark.parametrize("error", [KeyError("x"), SystemExit(3), StopIteration(), KeyboardInterrupt()])
async def test_an_error_in_a_thread_is_raised_here(error: BaseException) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(Exception, match=type(error).__name__ if not isinstance(error, KeyError) else "x"):
        await in_thread(fail, EVER)


async def test_the_deadline_of_a_thread_starts_with_its_job() -> None:
    """64 jobs of 80 ms take longer than a deadline of 1 s where few run at a time."""
    running, most = 0, 0

    def job(number: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        time.sleep(0.08)
        running -= 1
        return number

    jobs = [in_thread(lambda number=number: job(number), 1.0) for number in range(64)]  # type: ignore[misc]
    assert await asyncio.gather(*jobs) == list(range(64))
    assert most < 64, "the pool is bounded"


async def test_jobs_that_hang_do_not_block_the_pool() -> None:
    release = threading.Event()
    hung = [in_thread(release.wait, SOON) for _ in range(64)]
    results = await asyncio.gather(*hung, return_exceptions=True)
    assert all(isinstance(result, TimeoutError) for result in results)
    assert await in_thread(lambda: 3, EVER) == 3
    release.set()


# --- processes ----------------------------------------------------------------------------------


def compute(number: int) -> int:
    burn(0.05)
    return number


def fail_with(kind: type[BaseException]) -> None:
    raise kind("from the job")


def give_unpicklable() -> Any:
    return threading.Lock()


def hang_in_c() -> None:
    (10**7) ** (10**7)


async def test_the_deadline_of_a_process_starts_with_its_job() -> None:
    jobs = [in_process(compute, number, seconds=1.0) for number in range(64)]
    assert await asyncio.gather(*jobs) == list(range(64))


async def test_a_hung_process_is_killed_and_the_pool_goes_on() -> None:
    pid = await in_process(os.getpid, seconds=60)
    hung = [in_process(time.sleep, EVER, seconds=SOON) for _ in range(8)]
    results = await asyncio.gather(*hung, return_exceptions=True)
    assert all(isinstance(result, TimeoutError) for result in results)
    assert await in_process(compute, 3, seconds=60) == 3
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_process_that_computes_without_end_is_killed() -> None:
    with pytest.raises(TimeoutError):
        await in_process(hang_in_c, seconds=SOON)


async def test_a_process_that_dies_is_an_error_and_the_pool_goes_on() -> None:
    with pytest.raises(RuntimeError, match="worker process died"):
        await in_process(os._exit, 3, seconds=60)
    assert await in_process(compute, 3, seconds=60) == 3


@pytest.mark.parametrize("kind", [KeyError, TimeoutError, FileNotFoundError, EOFError])
async def test_an_error_in_a_process_is_raised_here_and_its_worker_goes_on(kind: type[Exception]) -> None:
    pids = {await in_process(os.getpid, seconds=60) for _ in range(4)}
    with pytest.raises(kind, match="from the job"):
        await in_process(fail_with, kind, seconds=60)
    assert await in_process(os.getpid, seconds=60) in pids


async def test_what_cannot_be_sent_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="SystemExit"):
        await in_process(fail_with, SystemExit, seconds=60)
    with pytest.raises(RuntimeError, match="cannot be pickled"):
        await in_process(give_unpicklable, seconds=60)
    with pytest.raises(Exception, match=r"pickle|local"):
        await in_process(lambda: 3, seconds=60)
    assert await in_process(compute, 3, seconds=60) == 3
