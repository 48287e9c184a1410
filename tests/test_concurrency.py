"""Deadlines, blocking work in threads and processes, and callers without an event loop."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from llmgym.concurrency import (
    Leftover,
    Lifeline,
    PastDeadline,
    WorkerError,
    bounded,
    drive,
    drive_apart,
    drive_in_background,
    held,
    may_suspend,
    shielded,
)
from llmgym.concurrency import in_process as run_in_process
from llmgym.concurrency import in_thread as run_in_thread
from llmgym.concurrency.cores import usable
from llmgym.concurrency.processes import PROCESSES
from llmgym.concurrency.threads import THREADS, Places
from llmgym.errors import EnvironmentFailure
from tests.environments import burn
from tests.rollouts import ROOT

SOON, EVER = 0.1, 3600.0


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 -- of threads and processes, which set no event
        await asyncio.sleep(0.01)


async def at_once(value: Any = 1) -> Any:
    return value


async def after_a_turn(value: Any = 1) -> Any:
    await asyncio.sleep(0)
    return value


# --- what suspends ------------------------------------------------------------------------------


def plain() -> int:
    return 1


def promises() -> Awaitable[int]:
    return after_a_turn()


@functools.wraps(after_a_turn)
def wrapped(*args: Any) -> Any:
    return after_a_turn(*args)


@pytest.mark.parametrize("function", [at_once, after_a_turn, promises, wrapped, functools.partial(after_a_turn, 2)])
def test_what_may_suspend_is_told_by_its_signature(function: Callable[..., Any]) -> None:
    assert may_suspend(function)


@pytest.mark.parametrize("function", [plain, burn, len, functools.partial(plain)])
def test_other_code_may_not(function: Callable[..., Any]) -> None:
    assert not may_suspend(function)


def test_sixteen_threads_share_one_background_loop() -> None:
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert len(set(pool.map(lambda _: drive_in_background(thread_name()), range(64)))) == 1


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


def test_work_apart_may_be_waited_for_in_any_loop() -> None:
    async def nested() -> int:
        await asyncio.sleep(0)
        return drive_apart(after_a_turn(3))

    assert drive_apart(nested()) == asyncio.run(nested()) == drive_in_background(nested()) == 3


@pytest.mark.timeout(20)
def test_work_apart_does_not_wait_for_places_of_the_loop_that_waits_for_it() -> None:
    async def nested() -> int:
        places = Places(1, "places")
        await places.take()
        waiting = asyncio.ensure_future(places.take())
        await asyncio.sleep(0)
        drive_apart(places.take())
        places.give()
        await asyncio.sleep(0.01)
        assert not waiting.done()
        places.give()
        await waiting
        return 3

    assert drive_in_background(nested()) == 3


def _child(connection: Any) -> None:
    loop_thread = drive_in_background(thread_name())
    connection.send((os.getpid(), loop_thread, asyncio.run(run_in_process(os.getppid, seconds=60))))


async def thread_name() -> str:
    await asyncio.sleep(0)
    return threading.current_thread().name


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_has_a_loop_and_workers_of_its_own() -> None:
    drive_in_background(thread_name())
    assert asyncio.run(run_in_process(os.getppid, seconds=60)) == os.getpid()
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
    assert asyncio.run(run_in_process(os.getppid, seconds=60)) == os.getpid()


# --- deadlines ----------------------------------------------------------------------------------


async def within(seconds: float, work: Any) -> Any:
    left: list[Leftover] = []
    try:
        return await bounded(seconds, work, left.append)
    finally:
        assert not left


async def in_thread(function: Callable[[], Any], seconds: float) -> Any:
    return await run_in_thread(function, seconds, [].append)


async def in_process(
    function: Callable[..., Any], *args: Any, seconds: float, prepare: Callable[[], None] | None = None
) -> Any:
    return await run_in_process(function, *args, seconds=seconds, prepare=prepare)


async def test_bounded_returns_what_finishes_in_time() -> None:
    assert await within(EVER, at_once(2)) == 2
    assert await within(EVER, after_a_turn(2)) == 2


async def test_bounded_stops_what_does_not() -> None:
    stopped = []

    async def hang() -> None:
        try:
            await asyncio.sleep(EVER)
        finally:
            stopped.append(True)

    with pytest.raises(PastDeadline):
        await within(SOON, hang())
    assert stopped


@pytest.mark.parametrize("error", [KeyError("x"), TimeoutError("its own"), GeneratorExit()])
async def test_bounded_passes_errors_on(error: BaseException) -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise error

    with pytest.raises(type(error)) as raised:
        await within(EVER, fail())
    assert not isinstance(raised.value, PastDeadline)


async def test_an_exit_ends_the_work_and_not_the_loop() -> None:
    async def leave() -> None:
        raise SystemExit(3)

    with pytest.raises(Exception, match="3") as raised:
        await within(EVER, leave())
    assert type(raised.value).__name__ == "SystemExit"


async def test_work_has_deadlines_of_its_own() -> None:
    async def patient() -> Any:
        try:
            async with asyncio.timeout(SOON / 10):
                await asyncio.sleep(EVER)
        except TimeoutError:
            async with asyncio.TaskGroup() as group:
                job = group.create_task(after_a_turn(5))
            return job.result()

    assert await within(EVER, patient()) == 5
    this = asyncio.current_task()
    assert this is not None
    assert not this.cancelling()


async def swallow(times: float, said: list[str]) -> None:
    """Swallow so many cancellations."""
    while times > 0:
        try:
            await asyncio.sleep(EVER)
        except asyncio.CancelledError:
            times -= 1
            said.append("no")


@pytest.mark.parametrize("times", [1, 3, float("inf")])
async def test_a_deadline_holds_though_cancellation_is_swallowed(times: float) -> None:
    said: list[str] = []
    with pytest.raises(PastDeadline):
        await within(SOON, swallow(times, said))
    heard = len(said)
    await asyncio.sleep(SOON)
    assert said
    assert len(said) == heard, "it is still there"


def test_what_nothing_ends_does_not_spin_once_its_loop_is_gone() -> None:
    code = """
import asyncio, gc
from llmgym.concurrency import PastDeadline, bounded

async def poll():
    while True:
        try:
            await asyncio.sleep(3600)
        except:
            pass

async def main(work):
    try:
        await bounded(0.01, work, print)
    except PastDeadline:
        print("late")

work = poll()
loop = asyncio.new_event_loop()
loop.run_until_complete(main(work))
loop.close()
del work
gc.collect()
"""
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=ROOT, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, b"late\n")


async def test_work_is_ended_though_its_caller_is_cancelled_meanwhile() -> None:
    said: list[str] = []
    caller = asyncio.create_task(within(SOON, swallow(2, said)))
    await until(lambda: bool(said))  # past its deadline
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_cancelling_goes_through() -> None:
    async def wait() -> None:
        await within(EVER, asyncio.sleep(EVER))

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(("takes", "done"), [(SOON, [1]), (EVER, [])])
async def test_whole_work_keeps_its_time_though_its_caller_is_cancelled_twice(takes: float, done: list[int]) -> None:
    ended: list[int] = []

    async def work() -> None:
        await asyncio.sleep(takes)
        ended.append(1)

    task = asyncio.create_task(bounded(2 * SOON, work(), [].append, whole=True))
    for _ in range(2):
        await asyncio.sleep(0)
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == done
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_shielded_work_ends_though_its_caller_is_cancelled_twice() -> None:
    done: list[int] = []

    async def work() -> None:
        await asyncio.sleep(SOON)
        done.append(1)

    task = asyncio.create_task(shielded(work()))
    for _ in range(2):
        await asyncio.sleep(0)
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done == [1]


# --- threads ------------------------------------------------------------------------------------


async def test_a_thread_runs_beside_the_loop() -> None:
    assert await in_thread(threading.get_ident, EVER) != threading.get_ident()


async def test_a_job_in_a_thread_past_its_deadline_is_left_until_it_ends() -> None:
    release = threading.Event()
    left: list[Leftover] = []
    with pytest.raises(PastDeadline):
        await run_in_thread(release.wait, SOON, left.append)
    assert [work.done() for work in left] == [False]
    assert await in_thread(lambda: 3, EVER) == 3
    release.set()
    await until(left[0].done)


@pytest.mark.parametrize("error", [KeyError("x"), SystemExit(3), StopIteration(), KeyboardInterrupt()])
async def test_an_error_in_a_thread_is_raised_here(error: BaseException) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(Exception):  # noqa: B017, PT011 -- of the same or a tamed class
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
    assert most <= THREADS.limit, "the pool is bounded"


async def test_hung_jobs_count_against_the_bound() -> None:
    release = threading.Event()
    before = threading.active_count()
    hung = [in_thread(release.wait, SOON) for _ in range(500)]
    results = await asyncio.gather(*hung, return_exceptions=True)
    assert threading.active_count() - before <= THREADS.limit
    late = sum(isinstance(result, PastDeadline) for result in results)
    refused = [result for result in results if isinstance(result, EnvironmentFailure)]
    assert (late, len(refused)) == (THREADS.limit, 500 - THREADS.limit)
    assert {failure.kind for failure in refused} == {"abandoned"}
    with pytest.raises(EnvironmentFailure, match="held by work that ran past its deadline"):
        await in_thread(lambda: 3, EVER)
    release.set()
    await until(lambda: threading.active_count() <= before)
    assert await in_thread(lambda: 3, EVER) == 3


async def test_what_a_late_job_raises_is_not_logged() -> None:
    release, told = threading.Event(), []
    left: list[Leftover] = []

    def fail() -> None:
        release.wait()
        raise KeyError("late")

    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    with pytest.raises(PastDeadline):
        await run_in_thread(fail, SOON, left.append)
    release.set()
    await until(left.pop().done)
    await asyncio.sleep(SOON)
    gc.collect()
    assert not told


async def test_whoever_stops_waiting_for_a_thread_leaves_its_place_to_the_next() -> None:
    release = threading.Event()
    busy = [asyncio.create_task(in_thread(release.wait, EVER)) for _ in range(THREADS.limit)]
    waiting = [asyncio.create_task(in_thread(lambda: 3, EVER)) for _ in range(8)]
    await asyncio.sleep(SOON)
    for task in waiting[::2]:
        task.cancel()
    release.set()
    assert await asyncio.gather(*busy) == [True] * len(busy)
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [result for result in results if not isinstance(result, BaseException)] == [3] * 4


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


@pytest.mark.slow
async def test_the_deadline_of_a_process_starts_with_its_job() -> None:
    """128 jobs of 50 ms take longer than a deadline of 3 s where few run at a time."""
    jobs = [in_process(compute, number, seconds=3.0) for number in range(128)]
    assert await asyncio.gather(*jobs) == list(range(128))


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
    with pytest.raises(EnvironmentFailure, match="worker process died"):
        await in_process(os._exit, 3, seconds=60)
    assert await in_process(compute, 3, seconds=60) == 3


async def test_processes_that_died_leave_no_file_open() -> None:
    errors: list[BaseException] = []  # whose tracebacks hold what was there
    open_files: list[int] = []
    for _ in range(PROCESSES.limit + 1):  # with the first ones go those of earlier tests
        with pytest.raises(EnvironmentFailure) as raised:
            await in_process(os._exit, 3, seconds=60)
        errors.append(raised.value)
        open_files.append(len(os.listdir("/dev/fd")))
    assert open_files[-1] == open_files[-2]


@pytest.mark.parametrize("kind", [KeyError, TimeoutError, FileNotFoundError, EOFError])
async def test_an_error_in_a_process_is_told_and_its_worker_goes_on(kind: type[Exception]) -> None:
    pids = {await in_process(os.getpid, seconds=60) for _ in range(4)}
    with pytest.raises(WorkerError, match=f"{kind.__name__}: .*from the job") as raised:
        await in_process(fail_with, kind, seconds=60)
    assert ("OSError" in raised.value.types) == issubclass(kind, OSError)
    assert await in_process(os.getpid, seconds=60) in pids


def prepare_slowly() -> None:
    time.sleep(3 * SOON)
    os.environ["PREPARED"] = os.environ.get("PREPARED", "") + "x"


def prepare_badly() -> None:
    raise KeyError("no such thing")


async def test_a_worker_is_prepared_once_and_not_in_the_time_of_a_job() -> None:
    jobs = [in_process(os.getenv, "PREPARED", seconds=SOON, prepare=prepare_slowly) for _ in range(8)]
    assert await asyncio.gather(*jobs) == ["x"] * 8


async def test_a_worker_that_cannot_be_prepared_is_no_fault_of_the_job() -> None:
    with pytest.raises(EnvironmentFailure, match="cannot be prepared: KeyError") as raised:
        await in_process(os.getpid, seconds=60, prepare=prepare_badly)
    assert raised.value.kind == "infrastructure"
    assert await in_process(compute, 3, seconds=60) == 3


async def test_what_cannot_be_sent_is_an_error() -> None:
    with pytest.raises(WorkerError, match="SystemExit"):
        await in_process(fail_with, SystemExit, seconds=60)
    with pytest.raises(WorkerError, match="not JSON serializable"):
        await in_process(give_unpicklable, seconds=60)
    with pytest.raises(Exception, match=r"pickle|local"):
        await in_process(lambda: 3, seconds=60)
    assert await in_process(compute, 3, seconds=60) == 3


class Trap:
    """Runs code in whoever unpickles it."""

    def __reduce__(self) -> Any:
        return os.mkdir, (os.environ["LLMGYM_TRAP"],)


def give_trap() -> Any:
    return Trap()


async def test_nothing_that_a_job_gives_is_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMGYM_TRAP", str(tmp_path / "sprung"))
    with pytest.raises(WorkerError):
        await in_process(give_trap, seconds=60)
    assert not (tmp_path / "sprung").exists()


async def test_a_job_that_nobody_waits_for_is_killed(tmp_path: Path) -> None:
    task = asyncio.create_task(in_process(note_and_sleep, str(tmp_path / "pid"), seconds=EVER))
    await until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text() != "")
    pid = int((tmp_path / "pid").read_text())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for _ in range(500):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            break
        await asyncio.sleep(0.01)
    else:
        pytest.fail("it lives on")


def note_and_sleep(path: str) -> None:
    with open(path, "w") as file:
        file.write(str(os.getpid()))
    time.sleep(EVER)


def test_work_that_nobody_waits_for_any_more_ends_before_python_does() -> None:
    code = """
import asyncio, os, threading, time
from llmgym.concurrency.threads import in_thread

begun, left = threading.Event(), threading.Event()

def work():
    begun.set()
    left.wait()
    time.sleep(0.5)
    os.write(1, b"ended")

async def main():
    waiting = asyncio.create_task(in_thread(work, 60, lambda job: None))
    while not begun.is_set():
        await asyncio.sleep(0.01)
    waiting.cancel()

asyncio.run(main())
os.write(1, b"left ")
left.set()
"""
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=ROOT, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, b"left ended")


def kill_parent_and_hang() -> None:
    os.kill(os.getppid(), signal.SIGKILL)
    hang_in_c()


def start_child() -> None:
    subprocess.Popen(["sleep", "3600"])


def start_child_and_die() -> None:
    start_child()
    os._exit(3)


def start_child_and_kill_parent() -> None:
    start_child()
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(EVER)


@pytest.mark.parametrize(
    ("job", "status"),
    [(kill_parent_and_hang, -9), (start_child_and_kill_parent, -9), (start_child_and_die, 0), (start_child, 0)],
)
def test_nothing_outlives_the_process_that_had_it_started(job: Callable[[], None], status: int) -> None:
    code = (
        "import asyncio, contextlib, tests.test_concurrency as jobs\n"
        "with contextlib.suppress(jobs.EnvironmentFailure):\n"
        f"    asyncio.run(jobs.in_process(jobs.{job.__name__}, seconds=60))\n"
    )
    # Whatever it starts has its output too, which is at an end once the last of them has gone.
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=ROOT, timeout=60, check=False)
    assert done.returncode == status


def test_ctrl_c_is_not_for_a_worker_that_starts() -> None:
    code = (
        "import asyncio, os, signal, threading, time\n"
        "from llmgym.concurrency import in_process\n"
        "signal.signal(signal.SIGINT, lambda *_: None)\n"
        "def press():\n"
        "    while True:\n"
        "        os.killpg(0, signal.SIGINT)\n"
        "        time.sleep(0.005)\n"
        "threading.Thread(target=press, daemon=True).start()\n"
        "assert asyncio.run(in_process(os.getppid, seconds=60)) == os.getpid()\n"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, stderr=subprocess.PIPE, timeout=60, check=False, start_new_session=True)
    assert (done.returncode, done.stderr.decode()) == (0, "")


def tied(lifeline: Lifeline, *command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        lifeline.tied(command), pass_fds=[lifeline.end], start_new_session=True, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


on_linux = pytest.mark.skipif(sys.platform != "linux", reason="needs signals of pipes, which Linux has")


@on_linux
def test_a_program_ends_with_its_lifeline_whenever_that_is_let_go() -> None:
    lifeline = Lifeline()
    running = tied(lifeline, "sh", "-c", "echo here; sleep 1000 & sleep 1000")
    assert running.stdout is not None
    assert running.stdout.readline() == "here\n"
    lifeline.hand_over()
    lifeline.close()
    assert running.communicate(timeout=60) == ("", "")  # so that the other, which has the same output, is gone too
    assert running.returncode == -signal.SIGKILL

    lifeline = Lifeline()
    end, lifeline.end = lifeline.end, -1
    lifeline.close()
    lifeline.end = end  # all that is left of it when the next one starts
    late = tied(lifeline, "echo", "here")
    lifeline.hand_over()
    assert late.communicate(timeout=60) == ("", "the process that started this has ended\n")


@on_linux
def test_a_tied_program_is_as_it_would_be_without() -> None:
    for command, status, said in (
        (["sh", "-c", "kill -PIPE $$"], -signal.SIGPIPE, ""),
        (["sh", "-c", "exit 3"], 3, ""),
        (["no-such-program"], 127, "cannot run 'no-such-program': No such file or directory\n"),
    ):
        lifeline = Lifeline()
        running = tied(lifeline, *command)
        lifeline.hand_over()
        assert running.communicate(timeout=60) == ("", said)
        assert running.returncode == status
        lifeline.close()


@pytest.mark.parametrize(
    ("files", "own", "cores"),
    [
        ({}, "0::/", 64),
        ({"cpu.max": "max 100000\n"}, "0::/\n", 64),
        ({"cpu.max": "400000 100000\n"}, "0::/\n", 4),
        ({"cpu.max": "150000 100000\n"}, "", 2),
        ({"cpu.max": "5000 100000\n"}, "0::/\n", 1),
        ({"cpu.max": "9000000 100000\n"}, "0::/\n", 64),
        ({"pods/cpu.max": "300000 100000\n", "pods/one/cpu.max": "max 100000\n"}, "0::/pods/one\n", 3),
        ({"pods/cpu.max": "300000 100000\n", "pods/one/cpu.max": "200000 100000\n"}, "0::/pods/one\n", 2),
        ({"cpu/cpu.cfs_quota_us": "250000\n", "cpu/cpu.cfs_period_us": "100000\n"}, "1:cpu:/\n0::/\n", 3),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, "1:cpu:/\n0::/\n", 64),
    ],
)
def test_a_container_has_the_cores_of_its_quota(
    files: dict[str, str], own: str, cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "own").write_text(own)
    assert usable(tmp_path, tmp_path / "own") == cores
    assert usable(tmp_path, tmp_path / "missing") >= cores


_FILES = """
import resource
from llmgym.concurrency.descriptors import allow_descriptors
for soft, hard, wanted in ((64, 500, 300), (400, 500, 300), (64, 500, 900)):
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    allow_descriptors(wanted)
    print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def test_as_many_open_files_as_there_may_be() -> None:
    done = subprocess.run([sys.executable, "-c", _FILES], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == "300 500\n400 500\n500 500\n"


async def test_time_stands_still_while_work_waits_for_its_turn() -> None:
    left: list[Any] = []

    async def inner() -> str:
        with held():
            await asyncio.sleep(0.3)
        return "its turn"

    async def outer() -> str:
        return await bounded(0.2, inner(), left.append)

    assert await bounded(0.2, outer(), left.append) == "its turn"

    async def late() -> None:
        await inner()
        await asyncio.sleep(5)

    began = time.monotonic()
    with pytest.raises(PastDeadline):
        await bounded(0.2, late(), left.append)
    assert time.monotonic() - began >= 0.45
    assert not left


async def test_time_that_is_kept_though_the_caller_is_cancelled_stands_still_too() -> None:
    turn, said, left = asyncio.Event(), list[str](), list[Any]()

    async def inner() -> None:
        with held():
            await turn.wait()
        said.append("its turn")
        await asyncio.sleep(60)

    outer = asyncio.create_task(bounded(0.1, inner(), left.append, whole=True))
    await asyncio.sleep(0)
    outer.cancel()
    await asyncio.sleep(0.3)
    turn.set()
    with pytest.raises(asyncio.CancelledError):
        await outer
    assert (said, left) == (["its turn"], [])
