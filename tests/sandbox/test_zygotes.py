"""The processes behind the sandbox: event loops, forks, ends of all kinds."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from llmgym.sandbox import LEVELS, Limits, Sandbox, SandboxFailure, containers, run_sync, zygotes
from llmgym.sandbox.levels import probe


def family(pid: int) -> list[int]:
    """A process and all that it and they have started, each after its parent: numbers of processes begin anew."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parents[int(folder.name)] = parent(int(folder.name))
    found = [pid]
    for one in found:
        found += [child for child, its in parents.items() if its == one]
    return found


def descendants(pid: int) -> set[int]:
    """All processes that a process has started, and those that they have."""
    return set(family(pid)[1:])


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def alive(pids: set[int]) -> set[int]:
    found = set()
    for pid in pids:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if state not in "ZX":
            found.add(pid)
    return found


def containers_of(pid: int) -> list[str]:
    """The containers that a process has started and that are still there."""
    if not probe("docker").available:
        return []
    command = [containers.engine(), "ps", "--all", "--quiet", "--filter", f"label=llmgym={pid}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def kill_containers() -> None:
    subprocess.run([containers.engine(), "kill", *containers_of(os.getpid())], check=True)


def wait_for_end(host: int, pids: set[int], seconds: float = 10.0) -> None:
    """Wait until what a host has started is gone, its containers too."""
    until = time.monotonic() + seconds
    while left := alive(pids) or containers_of(host):
        assert time.monotonic() < until, f"{left} still run"
        time.sleep(0.02)


HOST = """
import asyncio, contextlib, sys
from llmgym.sandbox import Limits, Sandbox

async def main():
    async with contextlib.AsyncExitStack() as stack:
        for level in sys.argv[1:]:
            box = Sandbox(level=level)
            session = await stack.enter_async_context(box.session())
            shell = await stack.enter_async_context(box.shell())
            await session.run("x = 1")
            await shell.run("(setsid sleep 60 &)")
            task = asyncio.create_task(box.run("import time; time.sleep(60)", limits=Limits(wall=60)))
        busy = asyncio.create_task(box.run("while True: pass", limits=Limits(wall=60, cpu=60)))
        await asyncio.sleep(0.5)
        print("up", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        {then}

asyncio.run(main())
"""


def start_host(then: str, folder: Path) -> tuple[subprocess.Popen[str], set[int]]:
    """A process with runs and sessions at each level, with temporary files in a folder; and all that it has started."""
    folder.chmod(0o755)
    levels = [level for level in LEVELS if probe(level).available]
    host = subprocess.Popen(
        [sys.executable, "-c", HOST.replace("{then}", then), *levels],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "TMPDIR": str(folder)},
    )
    assert host.stdin is not None
    assert host.stdout is not None
    assert host.stdout.readline() == "up\n"
    started = descendants(host.pid)
    assert len(started) >= 4 * len(levels)
    host.stdin.write("go on\n")
    host.stdin.flush()
    return host, started


needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")


@needs_proc
def test_nothing_is_left_when_the_host_is_killed(tmp_path: Path) -> None:
    host, started = start_host("await asyncio.sleep(60)", tmp_path)
    host.kill()
    host.communicate()
    wait_for_end(host.pid, started)
    assert not list(tmp_path.iterdir())


@needs_proc
@pytest.mark.parametrize("then", ["task.cancel()", "sys.exit(3)", "1 / 0"])
def test_nothing_is_left_when_the_host_ends(then: str, tmp_path: Path) -> None:
    host, started = start_host(then, tmp_path)
    host.communicate(timeout=20)
    wait_for_end(host.pid, started)
    assert not list(tmp_path.iterdir())


@needs_proc
def test_a_killed_host_with_a_forked_child_of_its_own(tmp_path: Path) -> None:
    """The child has inherited the sockets, so that only the host's own end can be what the zygote sees."""
    then = "pid = ctypes.CDLL(None).fork(); pid or os.execvp('sleep', ['sleep', '20']); print(pid, flush=True)"
    host, started = start_host(f"import ctypes, os, time; {then}; time.sleep(60)", tmp_path)
    assert host.stdout is not None
    child = int(host.stdout.readline())
    host.kill()
    host.wait(20)
    wait_for_end(host.pid, started - {child})
    os.kill(child, signal.SIGKILL)
    host.communicate()


def test_every_event_loop_has_its_turn(box: Sandbox) -> None:
    assert asyncio.run(box.run("print(0)")).stdout == "0\n"
    before = list(zygotes._stock.zygotes)
    for number in range(3):
        assert asyncio.run(box.run(f"print({number})")).stdout == f"{number}\n"
    assert zygotes._stock.zygotes == before  # those of loops that have ended are used again


def test_a_loop_that_ended_in_the_middle_of_runs(box: Sandbox) -> None:
    abandon_run(box)
    assert asyncio.run(box.run("print(1)")).stdout == "1\n"


def abandon_run(box: Sandbox) -> None:
    """Close a loop that waits for a run."""
    loop = asyncio.new_event_loop()
    task = loop.create_task(box.run("while True: pass", limits=Limits(wall=60, cpu=60)))
    loop.run_until_complete(asyncio.sleep(0.3))
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    loop.close()


def test_several_loops_at_once(box: Sandbox) -> None:
    said: list[str] = []

    def work() -> None:
        async def main() -> None:
            results = await asyncio.gather(*(box.run(f"print({n})") for n in range(10)))
            said.extend(result.stdout for result in results)

        asyncio.run(main())

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(said) == sorted(f"{n}\n" for n in range(10) for _ in range(3))


def test_synchronous_callers(box: Sandbox) -> None:
    assert run_sync(box.run("print(1)")).stdout == "1\n"

    async def cells() -> str:
        async with box.session() as session:
            await session.run("x = 2")
            return (await session.run("x")).stdout

    assert run_sync(cells()) == "2\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_has_its_own(box: Sandbox) -> None:
    assert asyncio.run(box.run("print(1)")).stdout == "1\n"
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if asyncio.run(box.run("print(2)")).stdout == "2\n" else 2
            zygotes._stock.close()
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert asyncio.run(box.run("print(3)")).stdout == "3\n"


async def test_a_zygote_that_dies_is_no_word_about_the_program(box: Sandbox) -> None:
    assert (await box.run("print(1)")).ok
    async with box.session() as session:
        task = asyncio.create_task(box.run("import time; time.sleep(60)", limits=Limits(wall=60)))
        await asyncio.sleep(1.0)
        (*mine,) = [zygote for zygote in zygotes._stock.zygotes if zygote.loop is asyncio.get_running_loop()]
        if box.level == "docker":
            for idle in {*zygotes._stock.zygotes} - {*mine}:
                idle.close()
            kill_containers()
        for zygote in mine:
            for pid in family(zygote._process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        with pytest.raises(SandboxFailure, match=f"the sandbox {box.level}: "):
            await task
        with pytest.raises(SandboxFailure):
            await session.run("1")
    assert (await box.run("print(2)")).stdout == "2\n"


def kill_idle(box: Sandbox) -> None:
    """Kill all zygotes at a level, for whose runs nobody waits, and wait for their end."""
    if box.level == "docker":
        kill_containers()
    for zygote in [zygote for zygote in zygotes._stock.zygotes if zygote.key[0] == box.level]:
        pids = descendants(zygote._process.pid) | {zygote._process.pid}
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_for_end(zygote._process.pid, pids)


@needs_proc
def test_a_zygote_that_died_between_two_loops_gets_no_run(box: Sandbox) -> None:
    for number in range(2):
        assert asyncio.run(box.run(f"print({number})")).stdout == f"{number}\n"
        kill_idle(box)
    abandon_run(box)
    kill_idle(box)
    assert asyncio.run(box.run("print(2)")).stdout == "2\n"


@needs_proc
async def test_a_zygote_that_died_while_the_loop_was_busy_gets_no_run(box: Sandbox) -> None:
    assert (await box.run("print(1)")).ok
    kill_idle(box)
    assert (await box.run("print(2)")).stdout == "2\n"
    async with box.session() as session:
        assert (await session.run("3")).stdout == "3\n"


@needs_proc
async def test_runs_end_with_their_zygote(box: Sandbox) -> None:
    task = asyncio.create_task(box.run("import time; time.sleep(60)", limits=Limits(wall=60)))
    await asyncio.sleep(1.0)
    (mine,) = [zygote for zygote in zygotes._stock.zygotes if zygote.loop is asyncio.get_running_loop()]
    (run,) = [pid for pid in descendants(mine._process.pid) if not descendants(pid)]
    zygote = parent(run)
    os.kill(zygote, signal.SIGKILL)
    with pytest.raises(SandboxFailure, match=f"the sandbox {box.level}: "):
        await task
    wait_for_end(zygote, {run})


async def test_modules_that_cannot_be_loaded(box: Sandbox) -> None:
    broken = Sandbox(level=box.level, imports=["no_such_module"])
    for _ in range(2):
        with pytest.raises(SandboxFailure, match="ModuleNotFoundError: No module named 'no_such_module'"):
            await broken.run("print(1)")


async def test_no_more_at_once_than_pays(box: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zygotes, "CORES", 2)
    results = await asyncio.gather(*(box.run("import time; time.sleep(0.02); print(time.time())") for _ in range(20)))
    ends = sorted(float(result.stdout) for result in results)
    assert ends[-1] - ends[0] > 0.02  # they did not all run together


async def test_there_are_as_many_sessions_as_are_asked_for(box: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zygotes, "CORES", 1)
    monkeypatch.setattr(zygotes, "_MOST", 2)
    async with contextlib.AsyncExitStack() as sessions:
        for number in range(5):
            session = await sessions.enter_async_context(box.session())
            assert (await session.run(f"x = {number}; x")).stdout == f"{number}\n"
        assert (await box.run("print(1)")).ok
        mine = [zygote for zygote in zygotes._stock.zygotes if zygote.loop is asyncio.get_running_loop()]
        assert sorted(zygote.held for zygote in mine) == [1, 2, 2]


async def test_cancelling_those_that_wait(box: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zygotes, "CORES", 2)
    tasks = [asyncio.create_task(box.run("import time; time.sleep(0.05)")) for _ in range(30)]
    await asyncio.sleep(0.1)
    for task in tasks[::2]:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(one, asyncio.CancelledError) or one.ok for one in results)
    assert sum(isinstance(one, asyncio.CancelledError) for one in results) >= 10
    assert (await box.run("print(1)")).stdout == "1\n"


async def test_descriptors_on_their_way_elsewhere_are_not_those_of_a_run(box: Sandbox) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        socket.send_fds(ours, [b"x"], [0] * 200)  # three times what a run may have open
        assert (await box.run("print(1)", files={"f": b"x"}, outputs=["f"])).files == {"f": b"x"}


async def test_nothing_grows(box: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zygotes, "CORES", 2)

    async def some(count: int) -> None:
        await asyncio.gather(*(box.run("print(1)", files={"f": b"x"}, outputs=["f"]) for _ in range(count)))

    await some(20)
    before = len(os.listdir("/dev/fd"))
    await some(100)
    assert len(os.listdir("/dev/fd")) <= before


@pytest.mark.soak
@pytest.mark.timeout(1200)
async def test_ten_thousand_runs(box: Sandbox) -> None:
    """Memory, descriptors, mounts and processes after 10,000 runs of all kinds are those of after 500."""

    def state() -> tuple[int, int, int, int]:
        pids = [os.getpid(), *descendants(os.getpid())]
        memory = sum(
            int(line.split()[1])
            for pid in pids
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            if line.startswith("Pss:")
        )
        files = sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids)
        mounts = sum(len(Path(f"/proc/{pid}/mountinfo").read_text().splitlines()) for pid in pids)
        return memory, files, mounts, len(pids)

    async def work(count: int) -> None:
        for number in range(count):
            kind = number % 50
            if kind == 0:
                async with box.session() as session:
                    await session.run("x = 1")
            elif kind == 1:
                assert (await box.run("import time; time.sleep(9)", limits=Limits(wall=0.01))).status == "timeout"
            elif kind == 2:
                await box.run("x = []\nwhile True: x.append(bytes(10_000_000))", limits=Limits(memory=64 << 20))
            elif kind == 3:
                await box.command("echo x | cat > y")
            else:
                assert (await box.run("print(1)", files={"f": b"x"}, outputs=["f"])).files == {"f": b"x"}

    await asyncio.gather(*(work(125) for _ in range(4)))
    before = state()
    await asyncio.gather(*(work(2500) for _ in range(4)))
    after = state()
    assert after[1:] == before[1:]
    assert after[0] < before[0] + 4096  # kilobytes
