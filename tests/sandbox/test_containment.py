"""What each level claims to hold back, tried by harmless and bounded probes; the host is looked at after each."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmgym.sandbox import Limits, Result, Sandbox, walls

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the walls are Linux's")

#: The kernel counts no processes of root, not even behind a container's wall.
counted = pytest.mark.skipif(
    os.getuid() == 0 and not walls.own_users("bubblewrap"), reason="root without users to give away"
)

ATTEMPT = """
import errno, os, sys
def attempt(action):
    try:
        action()
        print("done")
    except OSError as error:
        print(errno.errorcode[error.errno])
    except MemoryError:
        print("MemoryError")
"""


async def probe(box: Sandbox, program: str, limits: Limits | None = None, **given: object) -> list[str]:
    """What a probe prints, each attempt a line."""
    head = ATTEMPT + "".join(f"{name} = {value!r}\n" for name, value in given.items())
    result = await box.run(head + textwrap.dedent(program), limits=limits or Limits())
    assert result.ok, result
    return result.stdout.splitlines()


@pytest.fixture(autouse=True)
def unharmed() -> Iterator[None]:
    """The host has the mounts and working folders after a test that it had before."""
    before = mounts()
    yield
    assert mounts() == before


def mounts() -> list[str]:
    """Mounts of the host, but for those of an engine's own containers."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line for line in lines if line.partition(" - ")[2].split()[0] not in ("overlay", "nsfs")]


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """A file of the host that everybody may read and write."""
    for folder in (tmp_path, *tmp_path.parents[:-2]):
        folder.chmod(folder.stat().st_mode | 0o055)
    file = tmp_path / "marker"
    file.write_text("secret")
    file.chmod(0o666)
    yield file
    assert file.read_text() == "secret"
    assert file.stat().st_mode & 0o777 == 0o666
    assert sorted(path.name for path in tmp_path.iterdir()) == ["marker"]


# --- files --------------------------------------------------------------------------------------


async def test_files_are_hidden(walled: Sandbox, marker: Path) -> None:
    program = """
        attempt(lambda: open(marker))
        attempt(lambda: open(marker, "a"))
        attempt(lambda: os.truncate(marker, 0))
        attempt(lambda: open("/etc/passwd"))
        attempt(lambda: os.listdir("/home"))
        attempt(lambda: os.listdir(os.path.dirname(marker)))
        attempt(lambda: open("../" * 20 + marker[1:]))
        os.symlink(marker, "soft")
        attempt(lambda: open("soft"))
        attempt(lambda: os.link(marker, "hard"))
        attempt(lambda: os.rename(marker, "moved"))
        attempt(lambda: os.unlink(marker))
    """
    assert {*await probe(walled, program, marker=str(marker))} <= {"ENOENT", "EACCES", "EXDEV"}


async def test_nothing_outside_is_written(walled: Sandbox, marker: Path) -> None:
    program = """
        for folder in ("/", "/usr", "/etc", "/dev", "/opt", os.path.dirname(marker), sys.prefix):
            attempt(lambda: open(folder + "/llmgym-probe", "w"))
            attempt(lambda: os.mkdir(folder + "/llmgym-probe"))
        attempt(lambda: open(os.__file__, "a"))
    """
    assert {*await probe(walled, program, marker=str(marker))} <= {"ENOENT", "EACCES", "EROFS", "EPERM"}
    assert not any("llmgym-probe" in os.listdir(folder) for folder in ("/", "/usr", "/etc", "/dev", "/opt"))


async def test_modes_and_times_outside_stay(walled: Sandbox, marker: Path) -> None:
    before = os.stat(marker)
    program = """
        for change in (lambda: os.chmod(marker, 0), lambda: os.utime(marker, (1, 1)), lambda: os.chown(marker, 1, 1)):
            try:
                change()
            except OSError:
                pass
    """
    await probe(walled, program, marker=str(marker))
    after = os.stat(marker)
    assert (before.st_mode, before.st_mtime, before.st_uid) == (after.st_mode, after.st_mtime, after.st_uid)


async def test_no_rights(walled: Sandbox) -> None:
    program = """
        for line in open("/proc/self/status"):
            if line.startswith(("CapPrm", "CapEff", "CapAmb", "NoNewPrivs", "Seccomp:")):
                print(*line.split()[:2])
    """
    said = dict(line.split() for line in await probe(walled, program))
    assert {int(said[name], 16) for name in ("CapPrm:", "CapEff:", "CapAmb:")} == {0}
    assert (said["NoNewPrivs:"], said["Seccomp:"]) == ("1", "2")


async def test_no_mounts_namespaces_or_tracing(walled: Sandbox) -> None:
    program = """
        import ctypes
        libc = ctypes.CDLL(None, use_errno=True)
        def call(name, *args):
            ctypes.set_errno(0)
            if getattr(libc, name)(*args) < 0:
                raise OSError(ctypes.get_errno(), name)
        attempt(lambda: call("mount", b"none", b".", b"tmpfs", 0, None))
        attempt(lambda: call("umount", b"/proc"))
        attempt(lambda: call("unshare", 0x10000000))
        attempt(lambda: call("unshare", 0x00020000))
        attempt(lambda: call("ptrace", 16, os.getppid(), 0, 0))
        attempt(lambda: call("setns", 0, 0))
        attempt(lambda: os.chroot("."))
        attempt(lambda: os.memfd_create("x"))
        attempt(lambda: os.setuid(0) if os.getuid() else os.chroot("."))
        attempt(lambda: call("shmget", 0, 4096, 0o1600))
    """
    assert {*await probe(walled, program)} <= {"EPERM", "EINVAL"}  # the latter of a user that is not there


# --- the network --------------------------------------------------------------------------------


async def test_no_network(walled: Sandbox) -> None:
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        program = """
            import socket
            attempt(lambda: socket.create_connection(("127.0.0.1", tcp), 1))
            attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", udp)))
            for family in (socket.AF_INET6, socket.AF_NETLINK, socket.AF_PACKET):
                attempt(lambda: socket.socket(family, socket.SOCK_RAW))
        """
        said = await probe(walled, program, tcp=tcp.getsockname()[1], udp=udp.getsockname()[1])
        assert {*said} == {"EAFNOSUPPORT"}
        for listener in (tcp, udp):
            listener.setblocking(False)
            with pytest.raises(BlockingIOError):
                listener.recv(1) if listener is udp else listener.accept()


async def test_no_sockets_of_the_host(walled: Sandbox, marker: Path) -> None:
    name = f"\0llmgym-probe-{os.getpid()}"
    path = marker.with_name("s")
    with socket.socket(socket.AF_UNIX) as abstract, socket.socket(socket.AF_UNIX) as named:
        abstract.bind(name)
        abstract.listen()
        named.bind(str(path))
        named.listen()
        path.chmod(0o777)
        program = """
            import socket
            attempt(lambda: socket.socket(socket.AF_UNIX).connect(name))
            attempt(lambda: socket.socket(socket.AF_UNIX).connect(path))
        """
        said = await probe(walled, program, name=name, path=str(path))
        path.unlink()
        assert {*said} <= {"EAFNOSUPPORT", "ECONNREFUSED", "ENOENT", "EPERM", "EACCES"}
        for listener in (abstract, named):
            listener.setblocking(False)
            with pytest.raises(BlockingIOError):
                listener.accept()


# --- processes ----------------------------------------------------------------------------------


async def test_the_environment_and_memory_of_the_host_are_not_there(
    walled: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMGYM_PROBE_SECRET", "secret")
    program = """
        print("LLMGYM_PROBE_SECRET" in os.environ)
        for pid in (os.getppid(), host, 1):
            if pid != os.getpid():
                attempt(lambda: open(f"/proc/{pid}/environ").read())
                attempt(lambda: open(f"/proc/{pid}/mem", "rb"))
                attempt(lambda: os.listdir(f"/proc/{pid}/fd"))
    """
    said = await probe(walled, program, host=os.getpid())
    assert said[0] == "False"
    assert {*said[1:]} <= {"ENOENT", "EACCES", "EPERM"}


async def test_no_other_process_is_seen(apart: Sandbox) -> None:
    program = "print(os.getpid(), [name for name in os.listdir('/proc') if name.isdigit()])"
    assert await probe(apart, program) == ["1 ['1']"]


async def test_no_other_process_is_signalled(walled: Sandbox) -> None:
    program = """
        import signal
        attempt(lambda: os.kill(host, 0))
        attempt(lambda: os.kill(os.getppid() or host, 0))
        attempt(lambda: os.kill(1, 0) if os.getpid() != 1 else os.kill(2, 0))
    """
    assert {*await probe(walled, program, host=os.getpid())} <= {"EPERM", "ESRCH"}


async def test_no_child_processes_unless_they_are_allowed(walled: Sandbox) -> None:
    program = """
        import subprocess
        attempt(os.fork)
        attempt(lambda: subprocess.run(["true"]))
        attempt(lambda: os.posix_spawn("/bin/true", ["true"], {}))
    """
    assert {*await probe(walled, program)} == {"EPERM"}


@counted
async def test_few_child_processes_where_they_are_allowed(apart: Sandbox) -> None:
    program = """
        import time
        count = 0
        try:
            for _ in range(60):
                if os.fork() == 0:
                    time.sleep(60)
                count += 1
        except BlockingIOError:
            print(count < 60)
    """
    limits = Limits(processes=8, threads=1)
    assert await asyncio.gather(*(probe(apart, program, limits) for _ in range(4))) == [["True"]] * 4


def running(mark: str) -> list[str]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if mark in command:
            found.append(command)
    return found


async def gone(mark: str) -> bool:
    """Whether no process has a mark in its command line, soon."""
    for _ in range(100):
        if not running(mark):
            return True
        await asyncio.sleep(0.05)
    return False


LEAVE = """
import os, subprocess, sys
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        subprocess.Popen(["sleep", mark])
        os.execvp("sleep", ["sleep", mark])
    os._exit(0)
for _ in range(5):
    subprocess.Popen(["sleep", mark], start_new_session=True)
"""


@pytest.mark.parametrize("end", ["import time; time.sleep(60)", "os._exit(3)"])
async def test_the_whole_tree_is_killed(box: Sandbox, end: str) -> None:
    mark = f"60.{os.getpid()}{abs(hash(end)) % 1000}"
    program = f"mark = {mark!r}\n{LEAVE}\n{end}"
    result, other = await asyncio.gather(
        box.run(program, limits=Limits(processes=32, wall=0.5)), box.run("import time; time.sleep(0.7); print('well')")
    )
    assert result.status in ("ok", "timeout", "error", "memory"), result
    assert other.stdout == "well\n"
    assert await gone(mark), running(mark)


async def test_a_run_that_nobody_waits_for_is_killed(box: Sandbox) -> None:
    mark = f"61.{os.getpid()}"
    command = f"sleep {mark} & sleep {mark}"
    task = asyncio.create_task(box.command(command))
    while not running(mark):  # noqa: ASYNC110 -- it is another process
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await gone(mark)


# --- amounts ------------------------------------------------------------------------------------


async def test_amounts(box: Sandbox) -> None:
    program = """
        import mmap, threading
        attempt(lambda: bytearray(300 << 20))
        attempt(lambda: bytearray(20 << 20))
        attempt(lambda: mmap.mmap(-1, 300 << 20))
        files = []
        attempt(lambda: files.extend(open("/dev/null") for _ in range(100)))
        files.clear()
        def fill():
            with open("big", "wb", 0) as file:
                for _ in range(64):
                    if file.write(bytes(1 << 20)) < 1 << 20:
                        file.write(b"x")
        attempt(fill)
        print(os.path.getsize("big") <= 16 << 20)
    """
    said = await probe(box, program, Limits(memory=256 << 20))
    assert said == ["MemoryError", "done", "ENOMEM", "EMFILE", "EFBIG" if "EFBIG" in said else "ENOSPC", "True"]


async def test_the_sum_of_files(apart: Sandbox) -> None:
    program = """
        def fill():
            for folder in (".", "/tmp", "/dev/shm"):
                for number in range(8):
                    open(f"{folder}/{number}{folder[-1]}", "wb").write(bytes(1 << 20))
        attempt(fill)
        attempt(lambda: [open(f"i{number}", "w").close() for number in range(20000)])
    """
    assert await probe(apart, program, Limits(disk=16 << 20)) == ["ENOSPC", "ENOSPC"]


@counted
async def test_threads(apart: Sandbox) -> None:
    program = """
        import threading
        stop = threading.Event()
        count = 0
        try:
            for _ in range(60):
                threading.Thread(target=stop.wait).start()
                count += 1
        except RuntimeError:
            print(count)
        stop.set()
    """
    assert await probe(apart, program, Limits(threads=10, memory=1 << 30)) == ["9"]


async def test_the_next_run_sees_nothing_of_the_last(box: Sandbox) -> None:
    write = "import os, sys\nopen('left', 'w').write('x')\nsys.path.append('mine')\nos.environ['LEFT'] = '1'"
    assert (await box.run(write)).ok
    look = "import os, sys\nprint(os.listdir('.'), 'mine' in sys.path, 'LEFT' in os.environ)"
    for _ in range(4):  # whatever zygote and slot it gets
        assert (await box.run(look)).stdout == "[] False False\n"


async def test_nothing_is_inherited(box: Sandbox) -> None:
    program = """
        for fd in range(3, 60):
            attempt(lambda: os.fstat(fd))
    """
    assert {*await probe(box, program)} == {"EBADF"}


# --- lies ---------------------------------------------------------------------------------------


async def test_no_program_can_pass_its_end_off_as_the_sandbox_s(box: Sandbox) -> None:
    """What would leave an episode unscored must not be in a policy's hands."""
    results: list[Result] = []
    for code in (213, 255, 137, 9):
        results.append(await box.run(f"import os; os._exit({code})"))
        results.append(await box.run(f"import os; os.write(2, b'OSError: no'); os._exit({code})"))
    results.append(await box.run("import os, signal; os.kill(os.getpid(), signal.SIGKILL)"))
    assert all(result.status in ("error", "memory", "killed", "ok") for result in results)


async def test_a_session_cannot_confuse_its_host(box: Sandbox) -> None:
    forged = """
        import json, os, socket
        for fd in range(3, 20):
            try:
                s = socket.socket(fileno=os.dup(fd))
            except OSError:
                continue
            passed = os.open("/dev/null", 0)
            for said in (b'{"code": 0, "cpu": 0.0}\\n' * 3, b'garbage\\n'):
                try:
                    socket.send_fds(s, [said], [passed])
                except OSError:
                    pass
    """
    assert (await box.run("print(1)")).ok
    before = len(os.listdir("/proc/self/fd"))
    async with box.session() as session:
        await session.run(textwrap.dedent(forged))
        result = await session.run("print(1)")
        assert result.status in ("ok", "lost")
    assert len(os.listdir("/proc/self/fd")) == before
    assert (await box.run("print(2)")).stdout == "2\n"
